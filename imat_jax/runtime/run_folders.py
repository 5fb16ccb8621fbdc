"""Whether a folder is a run, a study, or something else, without jax."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

from imat_jax import config, errors, options, tasks
from imat_jax.runtime import files

CONFIG = 'config.json'
CHECKPOINTS = 'checkpoints'
LOCK = 'lock'
SEAL = 'SEAL.json'  # of a complete checkpoint
_DEEPEST = 5  # a run of a study is four folders below it
_MOST_FOLDERS = 2000  # that are looked into
_SHOWN = 3


def check(path: str | pathlib.Path) -> None:
  """Raises unless a run is here; in a bucket its reader checks.

  Raises:
    UserError: no run; names those below, or the one that contains this.
  """
  if files.is_url(path):
    return
  path = pathlib.Path(path)
  if (path / CONFIG).is_file() and not is_of(path, config.Study):
    return
  raise errors.UserError(f'{path}: no trained run here{_hint(path)}')


def refuse_foreign(path: str | pathlib.Path) -> None:
  """Keeps runs and studies out of folders that hold anything else.

  One whose config.json is gone or damaged still has the lock, or checkpoints;
  that is reported later, as are the contents of a bucket.

  Raises:
    UserError: it holds something else; names one of its files.
  """
  if files.is_url(path):
    return
  path = pathlib.Path(path)
  if is_of(path, config.Run) or is_of(path, config.Study):
    return
  if (path / LOCK).exists() or any(path.glob(f'{CHECKPOINTS}/*/{SEAL}')):
    return
  for file in sorted(path.glob('*')):
    if not files.is_foreign(file.name):
      raise errors.UserError(
        f'{path}: holds files of no run or study ({file.name}); give a new '
        'folder as --workdir'
      )


def is_of(path: pathlib.Path, kind: type) -> bool:
  """Whether a folder is one of a run's (`config.Run`), or a study's."""
  try:
    read_config(path, kind)
  except errors.UserError:
    return False
  return True


def read_config(path: pathlib.Path, kind: type) -> dict[str, Any]:
  """What `config.json` holds.

  Raises:
    UserError: there is none, it is damaged, or of another kind.
  """
  stored = files.read_json(path / CONFIG)
  try:
    options.from_json(kind, stored['config'])
    tasks.TaskSet.from_json(stored['tasks'])
    if not isinstance(stored['data_set'], str):
      raise ValueError('data_set is no fingerprint')
  except (ValueError, KeyError, TypeError) as error:
    raise errors.UserError(f'{path / CONFIG}: damaged: {error}') from None
  return stored


def _hint(path: pathlib.Path) -> str:
  if not path.exists():
    return ': there is no such folder'
  parents = pathlib.Path(os.path.abspath(path)).parents
  outer_runs = [folder for folder in parents if _looks_like_one(folder)]
  if outer_runs:
    return f'; it is part of the run {outer_runs[0]}'
  if not path.is_dir():
    return ": it is a file; give a run's folder, the --workdir of its training"
  runs = sorted(_below(path))
  if not runs:
    return f': it has no {CONFIG}; a run is the --workdir of a training'
  number = len(runs)
  examples = ', '.join(runs[:_SHOWN]) + (', …' if number > _SHOWN else '')
  return (
    f', but {number:,} {"is" if number == 1 else "are"} below it: {examples}'
  )


def _looks_like_one(path: pathlib.Path) -> bool:
  has_files = (path / CONFIG).is_file() and (path / CHECKPOINTS).is_dir()
  return has_files and not is_of(path, config.Study)


def _below(path: pathlib.Path) -> Iterator[str]:
  """The runs in a folder, none of which is in another."""
  top = len(path.parts)
  for number, (parent, folders, _) in enumerate(os.walk(path)):
    folder = pathlib.Path(parent)
    if number and _looks_like_one(folder):
      yield parent
      folders.clear()
    if len(folder.parts) - top >= _DEEPEST:
      folders.clear()
    if number >= _MOST_FOLDERS:
      return
