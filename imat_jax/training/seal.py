"""A seal tells a whole checkpoint from a damaged or half-written one.

It lists the SHA-256 of every file of a folder, and is written last.
"""

import hashlib
import json
import pathlib

from imat_jax import files

_NAME = 'SEAL.json'


def write(folder: pathlib.Path) -> None:
  """Seals a folder as it is now."""
  files.write_json(folder / _NAME, _digests(folder))


def fault(folder: pathlib.Path) -> str | None:
  """What is wrong with a sealed folder, naming the file; None if nothing is."""
  try:
    sealed = json.loads((folder / _NAME).read_text())
    names = set(dict(sealed))
  except FileNotFoundError:
    return f'{_NAME} is missing: it was not finished'
  except (OSError, ValueError, TypeError):
    return f'{_NAME} is damaged'
  found = _digests(folder)
  for name in sorted(names | found.keys()):
    if name not in found:
      return f'{name} is missing'
    if name not in names:
      return f'{name} does not belong there'
    if found[name] != sealed[name]:
      return f'{name} is damaged'
  return None


def _digests(folder: pathlib.Path) -> dict[str, str]:
  paths = sorted(path for path in folder.rglob('*') if path.is_file())
  return {
    path.relative_to(folder).as_posix(): _sha256(path)
    for path in paths
    if path.name != _NAME
  }


def _sha256(path: pathlib.Path) -> str:
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()
