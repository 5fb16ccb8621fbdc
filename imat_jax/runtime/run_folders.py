"""What a folder is: a run, a study, or something else; told without jax."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

from imat_jax import config, errors, tasks
from imat_jax.runtime import files, storage

CONFIG = 'config.json'
CHECKPOINTS = 'checkpoints'
LOCK = 'lock'
SEAL = 'SEAL.json'  # of a whole checkpoint
_DEEPEST = 5  # a run of a study is four folders below it
_MOST_FOLDERS = 2000  # that are looked into
_SHOWN = 3


def check(path: str | pathlib.Path) -> None:
  """Raises unless a run is here; in a bucket its reader says so.

  Raises:
    UserError: no run; names those below, and the one that this is inside of.
  """
  if storage.is_url(path):
    return
  path = pathlib.Path(path)
  if (path / CONFIG).is_file() and not is_of(path, config.Study):
    return
  raise errors.UserError(f'{path}: no trained run here{_hint(path)}')


def refuse_foreign(path: str | pathlib.Path) -> None:
  """Keeps runs and studies out of folders that hold anything else.

  Of one whose config.json is gone or damaged there still are the lock, or
  checkpoints; what that means is told later, as what a bucket holds is.

  Raises:
    UserError: something else is here; names a file of it.
  """
  if storage.is_url(path):
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
    config.from_json(kind, stored['config'])
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
  inside_of = [folder for folder in parents if _looks_like_one(folder)]
  if inside_of:
    return f'; it is part of the run {inside_of[0]}'
  if not path.is_dir():
    return ": it is a file; give a run's folder, the --workdir of its training"
  below = sorted(_below(path))
  if not below:
    return f': it has no {CONFIG}; a run is the --workdir of a training'
  number = len(below)
  shown = ', '.join(below[:_SHOWN]) + (', …' if number > _SHOWN else '')
  return f', but {number:,} {"is" if number == 1 else "are"} below it: {shown}'


def _looks_like_one(path: pathlib.Path) -> bool:
  is_one = (path / CONFIG).is_file() and (path / CHECKPOINTS).is_dir()
  return is_one and not is_of(path, config.Study)


def _below(path: pathlib.Path) -> Iterator[str]:
  """The runs in a folder, none of which is in another."""
  top = len(path.parts)
  for number, (parent, folders, _) in enumerate(os.walk(path)):
    here = pathlib.Path(parent)
    if number and _looks_like_one(here):
      yield parent
      folders.clear()
    if len(here.parts) - top >= _DEEPEST:
      folders.clear()
    if number >= _MOST_FOLDERS:
      return
