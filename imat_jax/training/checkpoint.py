"""Checkpoints of a run; the only module that knows orbax."""

import pathlib
from typing import NamedTuple

import orbax.checkpoint as ocp

from imat_jax import errors
from imat_jax.training.course import Course
from imat_jax.training.state import TrainState


class Checkpoint(NamedTuple):
  """All that a run needs to go on, or to be used."""

  state: TrainState
  best_params: dict  # those of the best epoch so far
  course: Course = Course()


class Store:
  """The checkpoints of one run, numbered by step; a context manager.

  Saving goes on in the background; leaving the context waits for it.
  """

  def __init__(self, directory: pathlib.Path, *, read_only: bool = False):
    self._directory = pathlib.Path(directory)
    if read_only and not self._directory.is_dir():
      raise errors.UserError(f'{directory}: there are no checkpoints here')
    options = ocp.CheckpointManagerOptions(
      max_to_keep=2, read_only=read_only, create=not read_only
    )
    self._manager = ocp.CheckpointManager(
      self._directory.resolve(), options=options
    )

  def __enter__(self) -> 'Store':
    return self

  def __exit__(self, kind, value, traceback) -> None:
    self._manager.wait_until_finished()
    self._manager.close()

  def save(self, step: int, checkpoint: Checkpoint) -> None:
    """Begins to save; the checkpoint appears once it is whole."""
    self._manager.save(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(checkpoint.state),
        best_params=ocp.args.StandardSave(checkpoint.best_params),
        course=ocp.args.JsonSave(checkpoint.course.to_json()),
      ),
    )

  def restore(self, like: Checkpoint) -> Checkpoint | None:
    """The latest checkpoint, or None where there is none.

    Args:
      like: shapes and types of the arrays; its `course` is not read.
    """
    step = self._manager.latest_step()
    if step is None:
      return None
    found = self._manager.restore(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardRestore(like.state),
        best_params=ocp.args.StandardRestore(like.best_params),
        course=ocp.args.JsonRestore(),
      ),
    )
    course = Course.from_json(found.course)
    return Checkpoint(found.state, found.best_params, course)
