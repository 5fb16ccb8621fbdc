"""A seal tells a whole checkpoint from a damaged or half-written one.

It lists the SHA-256 of every file of a folder, and is written last. Files that
came later, as those of file managers, do not count.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import TypeVar

from imat_jax.runtime import files, run_folders

NAME = run_folders.SEAL

File = TypeVar('File')


def write(folder: pathlib.Path) -> None:
  """Seals a folder as it is now."""
  files.write_json(folder / NAME, _digests(folder))


def verify(folder: pathlib.Path) -> str | None:
  """What is wrong with a sealed folder, naming the file; None if nothing is."""
  try:
    sealed = json.loads((folder / NAME).read_text(encoding='utf-8'))
  except FileNotFoundError:
    return f'{NAME} is missing: it was not finished'
  except (OSError, ValueError, RecursionError):
    return f'{NAME} is damaged'
  if not isinstance(sealed, dict) or not sealed:
    return f'{NAME} is damaged'
  for name, digest in sorted(sealed.items()):
    # One that an earlier version sealed may have changed or gone since.
    if not _is_foreign(name) and (what := _verify(folder / name, digest)):
      return f'{name} {what}'
  return None


def _verify(path: pathlib.Path, digest: str) -> str | None:
  try:
    if not path.is_file():
      return 'is missing'
    return None if _sha256(path) == digest else 'is damaged'
  except OSError as error:
    return f'cannot be read: {error.strerror}'


def only_complete(found: Mapping[str, File]) -> dict[str, File]:
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
  names = {path.relative_to(folder).as_posix(): path for path in paths}
  return {
    name: _sha256(path)
    for name, path in names.items()
    if name != NAME and not _is_foreign(name)
  }


def _is_foreign(name: str) -> bool:
  return any(map(files.is_foreign, name.split('/')))


def _sha256(path: pathlib.Path) -> str:
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()
