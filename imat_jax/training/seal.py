"""A seal tells a whole checkpoint from a damaged or half-written one.

It lists the SHA-256 of every file of a folder, and is written last. Files that
came later, as those of file managers, do not count.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import TypeVar

from imat_jax import files

NAME = 'SEAL.json'

File = TypeVar('File')


def write(folder: pathlib.Path) -> None:
  """Seals a folder as it is now."""
  files.write_json(folder / NAME, _digests(folder))


def fault(folder: pathlib.Path) -> str | None:
  """What is wrong with a sealed folder, naming the file; None if nothing is."""
  try:
    sealed = dict(json.loads((folder / NAME).read_text(encoding='utf-8')))
  except FileNotFoundError:
    return f'{NAME} is missing: it was not finished'
  except (OSError, ValueError, TypeError):
    return f'{NAME} is damaged'
  if not sealed:
    return f'{NAME} is empty'
  for name, digest in sorted(sealed.items()):
    path = folder / name
    if not path.is_file():
      return f'{name} is missing'
    if _sha256(path) != digest:
      return f'{name} is damaged'
  return None


def sealed(found: Mapping[str, File]) -> dict[str, File]:
  """Without the files of checkpoints that have no seal.

  Args:
    found: the files of a run or a study, by their names in its folder.
  """
  return {
    name: file
    for name, file in found.items()
    if (folder := _checkpoint(name)) is None or f'{folder}/{NAME}' in found
  }


def _checkpoint(name: str) -> str | None:
  """The checkpoint that a file is of."""
  head, found, tail = f'/{name}'.rpartition('/checkpoints/')
  step, inside, _ = tail.partition('/')
  return f'{head}{found}{step}'.lstrip('/') if found and inside else None


def _digests(folder: pathlib.Path) -> dict[str, str]:
  paths = sorted(path for path in folder.rglob('*') if path.is_file())
  return {
    path.relative_to(folder).as_posix(): _sha256(path)
    for path in paths
    if path.name != NAME
  }


def _sha256(path: pathlib.Path) -> str:
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()
