"""Is this folder a trained run? Told before jax is loaded."""

import os
import pathlib
from collections.abc import Iterator

from imat_jax import config, errors, files, remote

CONFIG = 'config.json'
CHECKPOINTS = 'checkpoints'
_DEEPEST = 5  # a run of a study is four folders below it
_MOST_FOLDERS = 2000  # that are looked into
_SHOWN = 3


def check(path: str | pathlib.Path) -> None:
  """Raises unless a run is here; in a bucket its reader says so.

  Raises:
    UserError: no run; names those below, and the one that this is inside of.
  """
  if remote.is_url(path):
    return
  path = pathlib.Path(path)
  if (path / CONFIG).is_file() and not _is_study(path):
    return
  raise errors.UserError(f'{path}: no trained run here{_hint(path)}')


def _is_study(path: pathlib.Path) -> bool:
  try:
    config.from_json(config.Study, files.read_json(path / CONFIG)['config'])
  except (errors.UserError, ValueError, KeyError, TypeError):
    return False
  return True


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
  return is_one and not _is_study(path)


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
