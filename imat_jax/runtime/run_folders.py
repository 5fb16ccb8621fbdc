"""Recognises the folders of runs and studies; does not import jax."""

import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from imat_jax import errors, options, tasks
from imat_jax.runtime import files

CONFIG = 'config.json'
CHECKPOINTS = 'checkpoints'
LOCK = 'lock'
SEAL = 'SEAL.json'  # of a complete checkpoint
_MAX_DEPTH = 5  # a run of a study is four folders below it
_MAX_FOLDERS = 2000  # in a search
_MAX_NAMED = 3  # runs in a message


def check(path: str | pathlib.Path) -> None:
  """Raises unless a folder is a run's; a bucket is checked when it is read.

  Raises:
    UserError: no run; names runs below, or the one that contains this folder.
  """
  if files.is_url(path):
    return
  path = pathlib.Path(path)
  if (path / CONFIG).is_file() and kind_of(path) != 'study':
    return
  raise errors.UserError(f'{path}: not a trained run{_hint(path)}')


def refuse_foreign(path: str | pathlib.Path) -> None:
  """Raises if a folder has files other than those of a run or a study.

  A run without config.json, or with a damaged one, still has a lock or
  checkpoints and is reported later, as are files in a bucket.

  Raises:
    UserError: names one of the other files.
  """
  if files.is_url(path):
    return
  path = pathlib.Path(path)
  if kind_of(path):
    return
  if _is_lock(path / LOCK) or any(path.glob(f'{CHECKPOINTS}/*/{SEAL}')):
    return
  for file in sorted(path.glob('*')):
    if not files.is_foreign(file.name):
      raise errors.UserError(
        f'{path}: has files of no run or study ({file.name}); choose a new '
        'folder for --workdir'
      )


def kind_of(path: pathlib.Path) -> str:
  """What a folder is of, `run` or `study`; empty if its config does not say.

  A run has one model, a study several.
  """
  try:
    stored = files.read_json(path / CONFIG)
  except errors.UserError:
    return ''
  match stored:
    case {'config': {'models': _}, 'tasks': _, 'data_set': _}:
      return 'study'
    case {'config': {'model': _}, 'tasks': _, 'data_set': _}:
      return 'run'
  return ''


def read_config(path: pathlib.Path, kind: type) -> dict[str, Any]:
  """The content of `config.json`.

  Raises:
    UserError: missing, damaged, or of another kind.
  """
  stored = files.read_json(path / CONFIG)
  try:
    options.from_json(kind, stored['config'])
    tasks.TaskSet.from_json(stored['tasks'])
    if not isinstance(stored['data_set'], str):
      raise ValueError('data_set is not a fingerprint')
    if not isinstance(stored.get('image_size', 0), int):
      raise ValueError('image_size is no number')
  except (ValueError, KeyError, TypeError) as error:
    raise errors.UserError(
      f'{path / CONFIG}: damaged, or of another version: {error}'
    ) from None
  return stored


def _is_lock(path: pathlib.Path) -> bool:
  """Whether a file is one of `file_lock`'s, not just of that name."""
  if not path.is_file():
    return False
  with path.open('rb') as file:
    return bool(re.fullmatch(rb'(pid \d+ on .*)?', file.read(1000)))


def _hint(path: pathlib.Path) -> str:
  if not path.exists():
    return ': no such folder'
  parents = pathlib.Path(os.path.abspath(path)).parents
  outer_runs = [folder for folder in parents if _looks_like_run(folder)]
  if outer_runs:
    return f'; it is part of the run {outer_runs[0]}'
  if not path.is_dir():
    return ': a file; pass the --workdir of a training'
  runs = sorted(_below(path))
  if not runs:
    return f': no {CONFIG}; pass the --workdir of a training'
  number = len(runs)
  examples = ', '.join(runs[:_MAX_NAMED]) + (
    ', …' if number > _MAX_NAMED else ''
  )
  return (
    f', but {number:,} {"is" if number == 1 else "are"} below it: {examples}'
  )


def _looks_like_run(path: pathlib.Path) -> bool:
  has_files = (path / CONFIG).is_file() and (path / CHECKPOINTS).is_dir()
  return has_files and kind_of(path) != 'study'


def _below(path: pathlib.Path) -> Iterator[str]:
  """The outermost runs below a folder."""
  top = len(path.parts)
  for number, (parent, folders, _) in enumerate(os.walk(path)):
    folder = pathlib.Path(parent)
    if number and _looks_like_run(folder):
      yield parent
      folders.clear()
    if len(folder.parts) - top >= _MAX_DEPTH:
      folders.clear()
    if number >= _MAX_FOLDERS:
      return
