"""Files written where a user may have files of their own.

No command overwrites a file that it did not write. Each folder that receives
such files has a hidden record of them, a line per write with name and SHA-256;
a file is replaced only where the record has it as it is now. The photos of
SPLIT/ have a record of their own, `SPLIT.manifest.jsonl`.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from imat_jax import errors
from imat_jax.runtime import files

RECORD = '.imat_jax.jsonl'


def check(path: str | pathlib.Path) -> None:
  """Raises unless `path` is free, or holds what a command wrote there.

  Raises:
    UserError: another file, or one that was changed since, is there; or the
      folder is not writable.
  """
  path = pathlib.Path(path)
  if not files.is_writable(path.parent):
    raise errors.UserError(
      f'{path}: no file can be written there; give another folder'
    )
  if not os.path.lexists(path):
    return
  if path.is_dir():
    raise errors.UserError(f'{path}: is a folder; give the name of a file')
  if path.exists() and not path.is_file():  # reading a pipe has no end
    raise errors.UserError(f'{path}: is no regular file; give another name')
  if (path.name, _digest(path.read_bytes())) not in _recorded(path.parent):
    raise errors.UserError(
      f'{path}: a file that this command did not write, or that was changed '
      'since, is there; move it away or give another name'
    )


def write_bytes(path: str | pathlib.Path, content: bytes) -> None:
  """Writes a complete file and records it, see `check`."""
  check(path)
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  # The record comes first: killed in between, the file can still be replaced.
  _record(path, content)
  files.write_bytes(path, content)


def adopt(path: str | pathlib.Path, is_ours: Callable[[bytes], bool]) -> None:
  """Records a file as one that a command wrote, if its content says so.

  For files of versions that had no record: a file with a record is left as it
  is.
  """
  path = pathlib.Path(path)
  if not path.is_file() or path.name in dict(_recorded(path.parent)):
    return
  content = path.read_bytes()
  if is_ours(content):
    _record(path, content)


def write_text(path: str | pathlib.Path, text: str) -> None:
  """`write_bytes` in UTF-8."""
  write_bytes(path, text.encode())


def write_json(path: str | pathlib.Path, value: Any) -> None:
  """`write_bytes` of readable JSON, without NaN and infinity."""
  write_text(path, files.json_text(value))


def check_apart(
  targets: Mapping[str, str | pathlib.Path],
  sources: Mapping[str, str | pathlib.Path],
) -> None:
  """Raises where a folder that is written overlaps one that is read.

  Args:
    targets: flag → the folder that it names; all that it holds may change.
    sources: the same of folders and files that are read.

  Raises:
    UserError: one is the other, or inside of it, symbolic links followed.
  """
  for flag, target in targets.items():
    for other, source in sources.items():
      if overlaps(target, source):
        raise errors.UserError(
          f'{flag}={target} and {other}={source} overlap: what is written must '
          f'lie apart from what is read; give another {flag}'
        )


def overlaps(one: str | pathlib.Path, two: str | pathlib.Path) -> bool:
  """Whether a path is the other or inside of it, symbolic links followed."""
  one, two = (pathlib.Path(os.path.realpath(path)) for path in (one, two))
  return one.is_relative_to(two) or two.is_relative_to(one)


def _record(path: pathlib.Path, content: bytes) -> None:
  line = {'name': path.name, 'sha256': _digest(content)}
  if tuple(line.values()) not in _recorded(path.parent):
    with (path.parent / RECORD).open('a', encoding='utf-8') as file:
      file.write(json.dumps(line) + '\n')


def _recorded(folder: pathlib.Path) -> set[tuple[str, str]]:
  try:
    lines = (folder / RECORD).read_bytes().splitlines()
  except FileNotFoundError:
    return set()
  return set(_parsed(lines))


def _parsed(lines: Iterable[bytes]) -> Iterable[tuple[str, str]]:
  for line in lines:
    try:
      record = json.loads(line)
      yield record['name'], record['sha256']
    except (ValueError, TypeError, KeyError):  # torn by a kill
      continue


def _digest(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()
