"""Checkpoints of an ensemble of runs; the only module that imports orbax.

Where a job has several processes each of them has all arrays, so the first
alone reads and writes.

A checkpoint is a folder, numbered by step, that orbax writes in the background
under another name and renames when it is complete; then its checksums are
written. Only one whose checksums match is ever read.
"""

import contextlib
import errno
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Iterator
from concurrent import futures
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from imat_jax import errors
from imat_jax.runtime import checksums, distributed
from imat_jax.training import gradient_similarity, metrics
from imat_jax.training.history import History
from imat_jax.training.state import TrainState

# How the folder of a checkpoint is named.
_STEP = re.compile('0|[1-9][0-9]*')
# What the running sums are called on disk, where the name is another.
_ON_DISK = {'nonfinite_T': 'broken_T'}
# For the first process alone: orbax shall not wait for the others.
_ALONE = ocp.options.MultiprocessingOptions(
  primary_host=0, active_processes={0}, barrier_sync_key_prefix='first'
)


class Checkpoint(NamedTuple):
  """All that R runs need to go on, or to be used; arrays have R in front."""

  state: TrainState
  best_variables: dict[str, Any]  # those of each run's best epoch so far
  metrics: metrics.Metrics  # of the epoch's steps so far
  cosines: gradient_similarity.Cosines  # the same
  histories: tuple[History, ...]

  @property
  def step(self) -> int:
    """The step; a run that stopped early stays behind."""
    return int(jax.device_get(self.state.step).max())


def steps(directory: pathlib.Path) -> list[int]:
  """The steps of the checkpoints in a folder, the latest first."""
  if not directory.is_dir():
    return []
  names = [path.name for path in directory.iterdir() if path.is_dir()]
  # Other folders are not ours, as `007`, or a `²` that `isdigit` takes.
  numbers = [int(name) for name in names if _STEP.fullmatch(name)]
  return sorted(numbers, reverse=True)


def restore_latest(
  directory: pathlib.Path, config_hash: str, like: Checkpoint
) -> Checkpoint | None:
  """The latest complete checkpoint, or None where nothing was saved yet.

  A damaged one is skipped, with a line on stderr.

  Args:
    directory: where the numbered folders lie.
    config_hash: of the run; a checkpoint of another run is refused.
    like: has the shapes and types of the arrays.

  Raises:
    UserError: there are checkpoints, but none is complete, or of this run.
  """
  folder = _latest_complete(directory)
  if folder is None:
    return None
  with _read(folder):
    return _restore(folder, config_hash, like)


def _latest_complete(directory: pathlib.Path) -> pathlib.Path | None:
  saved = steps(directory)
  for step in saved:
    folder = directory / str(step)
    problem = checksums.verify(folder)
    if problem is None:
      return folder
    print(f'{folder}: {problem}; skipping this checkpoint', file=sys.stderr)
  # That of step 0 is there before the first step: nothing is lost without it.
  if any(saved):
    raise errors.UserError(
      f'{directory}: no checkpoint is complete; put back what is missing or '
      'damaged, or give another --workdir to start anew'
    )
  return None


def restore_best(
  directory: pathlib.Path, config_hash: str, like: dict[str, Any]
) -> tuple[dict[str, Any], tuple[History, ...]] | None:
  """The best variables and the histories of the latest complete checkpoint.

  As `restore_latest`; `like` has the shapes of the variables.
  """
  folder = _latest_complete(directory)
  if folder is None:
    return None
  with _read(folder):
    return _restore_best(folder, config_hash, like)


def save_best(
  directory: pathlib.Path,
  config_hash: str,
  variables: dict[str, Any],
  history: History,
) -> None:
  """Saves a finished run without what only its training needs.

  Args:
    directory: where numbered folders lie.
    config_hash: of the run.
    variables: those of the best epoch, with R = 1 in front.
    history: of the run.
  """
  folder = directory.resolve() / str(history.rows[-1]['step'])
  with _reported(directory):
    shutil.rmtree(folder, ignore_errors=True)  # left by a start that was killed
    with _orbax_checkpointer() as writer:
      writer.save(
        folder,
        args=ocp.args.Composite(
          **_best_to_disk(variables),
          facts=ocp.args.JsonSave(_metadata(config_hash, (history,))),
        ),
      )
    checksums.write(folder)


class Checkpointer:
  """Saves the checkpoints of a group; a context manager.

  Keeps the last two and that of the first run's best epoch. Each save waits for
  the one before, and leaving the context for the last. In all processes but
  the first it does nothing.
  """

  def __init__(self, directory: pathlib.Path, config_hash: str):
    self._directory, self._identity = directory.resolve(), config_hash
    self._kept = _LastTwoAndBest()
    self._background = futures.ThreadPoolExecutor(1)
    self._saved = futures.Future()
    self._saved.set_result(None)

  def __enter__(self) -> 'Checkpointer':
    if not distributed.is_primary():
      return self
    with _reported(self._directory):
      self._directory.mkdir(parents=True, exist_ok=True)
      _quarantine_corrupt(self._directory)
      self._manager = ocp.CheckpointManager(
        self._directory,
        options=ocp.CheckpointManagerOptions(
          preservation_policy=self._kept,
          cleanup_tmp_directories=True,
          create=False,
          multiprocessing_options=_ALONE,
        ),
      )
    return self

  def __exit__(self, kind, value, traceback) -> None:
    try:
      if kind is None:
        self.wait()
    finally:
      self._background.shutdown()
      # Closing raises a failed save's error once more.
      with contextlib.suppress(Exception):
        self._manager.close()

  def save(self, step: int, checkpoint: Checkpoint) -> None:
    """Begins to save.

    Raises:
      UserError: the disk did not take this one, or the one before.
    """
    if not distributed.is_primary():
      return
    self.wait()
    if step in self._manager.all_steps():
      return  # as after a start that did not come to a step
    self._kept.best_step = checkpoint.histories[0].best_step
    with _reported(self._directory):
      _check_room(self._directory, checkpoint)
      self._manager.save(
        step,
        args=ocp.args.Composite(
          training=ocp.args.StandardSave(_copied(_to_disk(checkpoint))),
          **_best_to_disk(checkpoint.best_variables),
          facts=ocp.args.JsonSave(
            _metadata(self._identity, checkpoint.histories)
          ),
        ),
        force=True,
      )
    self._saved = self._background.submit(self._write_checksums, step)

  def wait(self) -> None:
    """Returns when all that was saved is complete, with checksums."""
    with _reported(self._directory):
      self._saved.result()

  def _write_checksums(self, step: int) -> None:
    # orbax calls its own callback before the last rename: too early.
    self._manager.wait_until_finished()
    checksums.write(self._directory / str(step))

  def latest(self) -> int:
    """The last step that was saved."""
    self.wait()
    return steps(self._directory)[0]


class _LastTwoAndBest:
  """Which checkpoints stay."""

  best_step = -1

  def should_preserve(self, checkpoints, *, context) -> list[bool]:
    last = sorted(checkpoint.step for checkpoint in checkpoints)[-2:]
    preserved = {*last, self.best_step}
    return [checkpoint.step in preserved for checkpoint in checkpoints]


def _restore(
  folder: pathlib.Path, config_hash: str, like: Checkpoint
) -> Checkpoint:
  best, histories = _restore_best(folder, config_hash, like.best_variables)
  if not (folder / 'training').is_dir():
    raise errors.UserError(
      f'{folder}: a trained network that cannot be trained further'
    )
  with _orbax_checkpointer() as reader:
    restored = reader.restore(
      folder.resolve(),
      args=ocp.args.Composite(
        training=ocp.args.StandardRestore(_arrays(_to_disk(like)))
      ),
    )
  _check_shapes(restored.training, _to_disk(like))
  arrays = _from_disk(restored.training, like)
  return Checkpoint(**arrays, best_variables=best, histories=histories)


def _restore_best(
  folder: pathlib.Path, config_hash: str, like: dict[str, Any]
) -> tuple[dict[str, Any], tuple[History, ...]]:
  with _orbax_checkpointer() as reader:
    metadata = reader.restore(
      folder.resolve(), args=ocp.args.Composite(facts=ocp.args.JsonRestore())
    ).facts
    if metadata['identity'] != config_hash:
      raise errors.UserError(
        f'{folder}: of another run than config.json says; give another '
        '--workdir'
      )
    params, collections = _split(like)
    wanted = {'best': params, 'best_collections': collections}
    restored = reader.restore(
      folder.resolve(),
      args=ocp.args.Composite(
        **{
          name: ocp.args.StandardRestore(_arrays(arrays))
          for name, arrays in wanted.items()
          if arrays
        }
      ),
    )
  for name, arrays in wanted.items():
    if arrays:
      _check_shapes(restored[name], arrays)
  histories = tuple(map(History.from_json, metadata['courses']))
  if len(histories) != jax.tree.leaves(like)[0].shape[0]:
    raise ValueError('facts are of another number of runs')
  collections = restored.best_collections if collections else {}
  return {'params': restored.best, **collections}, histories


def _check_shapes(restored: Any, like: Any) -> None:
  """Raises if the code makes other arrays, which orbax does not look at."""
  leaves = jax.tree_util.tree_leaves_with_path
  for (path, array), (_, shape) in zip(
    leaves(restored), leaves(like), strict=True
  ):
    if array.shape != shape.shape:
      raise ValueError(
        f'{jax.tree_util.keystr(path)} is {list(array.shape)}, not '
        f'{list(shape.shape)}'
      )


def _split(variables: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
  """The parameters, and the collections."""
  others = {name: v for name, v in variables.items() if name != 'params'}
  return variables['params'], others


def _best_to_disk(
  variables: dict[str, Any],
) -> dict[str, ocp.args.CheckpointArgs]:
  """As ever only the parameters, where there are no collections."""
  params, collections = _split(variables)
  items = {'best': ocp.args.StandardSave(_copied(params))}
  if collections:
    items['best_collections'] = ocp.args.StandardSave(_copied(collections))
  return items


def _orbax_checkpointer() -> ocp.Checkpointer:
  options = ocp.CompositeOptions(multiprocessing_options=_ALONE)
  return ocp.Checkpointer(
    ocp.CompositeCheckpointHandler(composite_options=options),
    multiprocessing_options=_ALONE,
  )


def _copied(arrays: Any) -> Any:
  """Copies in host memory: the next step overwrites the arrays."""
  return jax.tree.map(np.array, jax.device_get(arrays))


def _arrays(shapes: Any) -> Any:
  """What orbax restores into numpy."""
  return jax.tree.map(lambda x: np.empty(x.shape, x.dtype), shapes)


def _to_disk(checkpoint: Checkpoint) -> dict[str, Any]:
  """What only training needs, under the names that it has always had on disk.

  Parts of the state without an array are not there: no checkpoint from before
  there were strategies has one. Which runs are active the histories say.
  """
  parts = vars(checkpoint.state.replace(active=None)).items()
  sums = vars(checkpoint.metrics)
  return {
    'state': {name: part for name, part in parts if jax.tree.leaves(part)},
    'so_far': {
      _ON_DISK.get(name, name): sum
      for name, sum in sums.items()
      if jax.tree.leaves(sum)
    },
    'cosines': checkpoint.cosines,
  }


def _from_disk(arrays: dict[str, Any], like: Checkpoint) -> dict[str, Any]:
  """The fields of a `Checkpoint` that `_to_disk` wrote."""
  sums = {
    name: arrays['so_far'][_ON_DISK.get(name, name)]
    for name, sum in vars(like.metrics).items()
    if jax.tree.leaves(sum)
  }
  # Which runs are active only their config can say.
  active_R = np.ones(like.state.active.shape, bool)
  return {
    'state': like.state.replace(**arrays['state'], active=active_R),
    'metrics': like.metrics.replace(**sums),
    'cosines': arrays['cosines'],
  }


def _metadata(
  config_hash: str, histories: tuple[History, ...]
) -> dict[str, Any]:
  # The names that they have always had on disk.
  return {
    'identity': config_hash,
    'courses': [history.to_json() for history in histories],
  }


def _quarantine_corrupt(directory: pathlib.Path) -> None:
  """Renames damaged checkpoints: their numbers will be saved again."""
  for step in steps(directory):
    folder = directory / str(step)
    if checksums.verify(folder):
      aside = folder.with_name(f'damaged-{step}')
      number = 1
      while aside.exists():
        number += 1
        aside = folder.with_name(f'damaged-{step}-{number}')
      folder.rename(aside)


def _check_room(directory: pathlib.Path, checkpoint: Checkpoint) -> None:
  """Raises before orbax's threads fail one by one on a full disk."""
  leaves = jax.tree.leaves(checkpoint._replace(histories=()))
  needed = sum(leaf.nbytes for leaf in leaves) + 2**20
  if shutil.disk_usage(directory).free < needed:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def _reported(directory: pathlib.Path) -> Iterator[None]:
  """Turns errors of orbax and tensorstore, as on a full disk, into one line."""
  try:
    yield
  except Exception as error:
    complete = [
      s for s in steps(directory) if not checksums.verify(directory / str(s))
    ]
    last = f'step {complete[0]}' if complete else 'none'
    raise errors.UserError(
      f'{directory}: could not save a checkpoint: '
      f'{errors.first_line(error)}; latest complete one: {last}; fix this and '
      'run the same command again'
    ) from error


@contextlib.contextmanager
def _read(folder: pathlib.Path) -> Iterator[None]:
  """Turns orbax's errors about an altered folder into one line."""
  try:
    yield
  except errors.UserError:
    raise
  except Exception as error:
    raise errors.UserError(
      f'{folder}: not a checkpoint of this network, optimizer and strategy '
      f'({errors.first_line(error)}); if the code has changed give another '
      '--workdir, else move the folder away to use the one before'
    ) from error
