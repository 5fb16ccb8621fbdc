"""A seal distinguishes a complete checkpoint from a damaged or partial one.

It lists the SHA-256 of every file of a folder, and is written last. Files that
are added later, such as those of file managers, are ignored.
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
  """Seals a folder in its current state."""
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
    # Earlier versions sealed system files, too, which may have changed since.
    if not _is_foreign(name) and (problem := _verify(folder / name, digest)):
      return f'{name} {problem}'
  return None


def _verify(path: pathlib.Path, digest: str) -> str | None:
  try:
    if not path.is_file():
      return 'is missing'
    return None if _sha256(path) == digest else 'is damaged'
  except OSError as error:
    return f'cannot be read: {error.strerror}'


def only_complete(listing: Mapping[str, File]) -> dict[str, File]:
  """Drops the files of checkpoints without a seal.

  Args:
    listing: the files of a run or a study, by their names in its folder.
  """
  return {
    name: file
    for name, file in listing.items()
    if (folder := _checkpoint(name)) is None or f'{folder}/{NAME}' in listing
  }


def _checkpoint(name: str) -> str | None:
  """The checkpoint that a file belongs to."""
  head, separator, tail = f'/{name}'.rpartition('/checkpoints/')
  step, inside, _ = tail.partition('/')
  return (
    f'{head}{separator}{step}'.lstrip('/') if separator and inside else None
  )


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
