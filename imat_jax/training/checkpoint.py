"""Checkpoints of a run; the only module that knows orbax.

A checkpoint is a folder, numbered by step, that orbax writes in the background
under another name and renames when it is whole; then it is sealed. Only one
whose seal fits is ever read.
"""

import contextlib
import errno
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator
from concurrent import futures
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from imat_jax import errors
from imat_jax.training import metrics, seal
from imat_jax.training.course import Course
from imat_jax.training.state import TrainState


class Checkpoint(NamedTuple):
  """All that a run needs to go on, or to be used."""

  state: TrainState
  best_params: dict  # those of the best epoch so far
  so_far: metrics.Metrics  # of the epoch's steps so far
  course: Course


def steps(directory: pathlib.Path) -> list[int]:
  """The steps of the checkpoints in a folder, the latest first."""
  if not directory.is_dir():
    return []
  names = (path.name for path in directory.iterdir() if path.is_dir())
  return sorted((int(name) for name in names if name.isdigit()), reverse=True)


def read_latest(
  directory: pathlib.Path, identity: str, like: Checkpoint
) -> Checkpoint | None:
  """The latest whole checkpoint, or None where nothing was saved yet.

  A damaged one is named on stderr and passed over.

  Args:
    directory: where the numbered folders lie.
    identity: what the run is; a checkpoint of another run is refused.
    like: has the shapes and types of the arrays.

  Raises:
    UserError: there are checkpoints, but none is whole, or not of this run.
  """
  found = steps(directory)
  for step in found:
    folder = directory / str(step)
    fault = seal.fault(folder)
    if fault is None:
      return _read(folder, identity, like)
    print(f'{folder}: {fault}; passed over', file=sys.stderr)
  # That of step 0 is there before the first step: nothing is lost without it.
  if any(found):
    raise errors.UserError(
      f'{directory}: no checkpoint is whole; delete the folder to start anew'
    )
  return None


class Store:
  """Saves the checkpoints of one run; a context manager.

  Keeps the last two and that of the best epoch. Each save waits for the one
  before, and leaving the context for the last.
  """

  def __init__(self, directory: pathlib.Path, identity: str):
    self._directory, self._identity = directory.resolve(), identity
    self._kept = _LastTwoAndBest()
    self._background = futures.ThreadPoolExecutor(1)
    self._saved = futures.Future()
    self._saved.set_result(None)

  def __enter__(self) -> 'Store':
    with _reported(self._directory):
      _put_faulty_aside(self._directory)
      self._manager = ocp.CheckpointManager(
        self._directory,
        options=ocp.CheckpointManagerOptions(
          preservation_policy=self._kept,
          cleanup_tmp_directories=True,
        ),
      )
    return self

  def __exit__(self, kind, value, traceback) -> None:
    try:
      if kind is None:
        self.wait()
    finally:
      self._background.shutdown()
      with contextlib.suppress(Exception):  # what a save said, it says again
        self._manager.close()

  def save(self, step: int, checkpoint: Checkpoint) -> None:
    """Begins to save.

    Raises:
      UserError: the disk did not take this one, or the one before.
    """
    self.wait()
    if step in self._manager.all_steps():
      return  # as after a start that did not come to a step
    self._kept.best_step = checkpoint.course.best_step
    facts = {'identity': self._identity, 'course': checkpoint.course.to_json()}
    with _reported(self._directory):
      _check_room(self._directory, checkpoint)
      self._manager.save(
        step,
        args=ocp.args.Composite(
          arrays=ocp.args.StandardSave(_arrays(checkpoint)),
          facts=ocp.args.JsonSave(facts),
        ),
        force=True,
      )
    self._saved = self._background.submit(self._seal, step)

  def wait(self) -> None:
    """Returns when all that was saved is whole and sealed."""
    with _reported(self._directory):
      self._saved.result()

  def _seal(self, step: int) -> None:
    # orbax calls its own callback before the last rename: too early.
    self._manager.wait_until_finished()
    seal.write(self._directory / str(step))

  def latest_step(self) -> int:
    """The last step that was saved."""
    self.wait()
    return steps(self._directory)[0]

  def reached_preemption(self, step: int) -> bool:
    """Whether the distributed runtime announced that the machine will go."""
    return self._manager.reached_preemption(step)


class _LastTwoAndBest:
  """Which checkpoints stay."""

  best_step = -1

  def should_preserve(self, checkpoints, *, context) -> list[bool]:
    last = sorted(found.step for found in checkpoints)[-2:]
    kept = {*last, self.best_step}
    return [found.step in kept for found in checkpoints]


def _read(folder: pathlib.Path, identity: str, like: Checkpoint) -> Checkpoint:
  with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
    found = reader.restore(
      folder.resolve(),
      args=ocp.args.Composite(
        arrays=ocp.args.StandardRestore(_arrays(like)),
        facts=ocp.args.JsonRestore(),
      ),
    )
  if found.facts['identity'] != identity:
    raise errors.UserError(
      f'{folder}: of another run than config.json says; give another --workdir'
    )
  course = Course.from_json(found.facts['course'])
  return Checkpoint(**found.arrays, course=course)


def _arrays(checkpoint: Checkpoint) -> dict[str, Any]:
  arrays = checkpoint._asdict()
  del arrays['course']
  return arrays


def _put_faulty_aside(directory: pathlib.Path) -> None:
  """Renames damaged checkpoints: their numbers will be saved again."""
  for step in steps(directory):
    folder = directory / str(step)
    if seal.fault(folder):
      aside = folder.with_name(f'damaged-{step}')
      number = 1
      while aside.exists():
        number += 1
        aside = folder.with_name(f'damaged-{step}-{number}')
      folder.rename(aside)


def _check_room(directory: pathlib.Path, checkpoint: Checkpoint) -> None:
  """Raises before orbax's threads fail one by one on a full disk."""
  leaves = jax.tree.leaves(_arrays(checkpoint))
  needed = sum(leaf.nbytes for leaf in leaves) + 2**20
  if shutil.disk_usage(directory).free < needed:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def _reported(directory: pathlib.Path) -> Iterator[None]:
  """Turns what a disk does to orbax and tensorstore into one line."""
  try:
    yield
  except Exception as error:
    whole = [s for s in steps(directory) if not seal.fault(directory / str(s))]
    last = f'step {whole[0]} is whole' if whole else 'none is whole yet'
    raise errors.UserError(
      f'{directory}: could not save a checkpoint: {_first_line(error)}; of '
      f'those there, {last}; run again when this is mended'
    ) from error


def _first_line(error: Exception) -> str:
  return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
