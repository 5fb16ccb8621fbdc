"""Writes files to folders where users may have others.

No command overwrites a file that it did not write. Each output folder has a
hidden record, a line per write with name, SHA-256 and command; a file is
replaced only if the record has its current content, of the same command. Photos
in SPLIT/ are recorded in
`SPLIT.manifest.jsonl` instead.
"""

import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from imat_jax import errors
from imat_jax.runtime import files

RECORD = '.imat_jax.jsonl'


def check(path: str | pathlib.Path) -> None:
  """Raises unless `path` is free, or has a file that a command wrote.

  Raises:
    UserError: another file, or one that was changed; or the folder is not
      writable.
  """
  path = pathlib.Path(path)
  if not files.is_writable(path.parent):
    raise errors.UserError(
      f'{path}: the folder is not writable; choose another one'
    )
  if not os.path.lexists(path):
    return
  if path.is_dir():
    raise errors.UserError(f'{path}: is a folder; give the name of a file')
  if path.exists() and not path.is_file():  # reading a pipe would block
    raise errors.UserError(f'{path}: not a regular file; choose another name')
  recorded = _recorded(path.parent)
  writer = recorded.get((path.name, _digest(path.read_bytes())))
  if writer is None or (writer and _command() and writer != _command()):
    raise errors.UserError(
      f'{path}: exists, and this command did not write it or it was changed '
      'since; move it away or choose another name'
    )


def write_bytes(path: str | pathlib.Path, content: bytes) -> None:
  """Writes a file atomically and records it, see `check`."""
  check(path)
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  # The record first: if killed in between, the file can still be replaced.
  _record(path, content)
  files.write_bytes(path, content)


def adopt(path: str | pathlib.Path, is_ours: Callable[[bytes], bool]) -> None:
  """Records a file of a version that had no record.

  Args:
    path: a file; nothing happens if it is missing or recorded.
    is_ours: whether a command wrote it, by its content.
  """
  path = pathlib.Path(path)
  names = {name for name, _ in _recorded(path.parent)}
  if not path.is_file() or path.name in names:
    return
  content = path.read_bytes()
  if is_ours(content):
    _record(path, content)


def write_text(path: str | pathlib.Path, text: str) -> None:
  """`write_bytes` in UTF-8."""
  write_bytes(path, text.encode())


def write_json(path: str | pathlib.Path, value: Any) -> None:
  """`write_bytes` of readable JSON, see `files.json_text`."""
  write_text(path, files.json_text(value))


def check_apart(
  targets: Mapping[str, str | pathlib.Path],
  sources: Mapping[str, str | pathlib.Path],
) -> None:
  """Raises if an output folder overlaps an input.

  Args:
    targets: flag → output folder.
    sources: flag → input folder or file.

  Raises:
    UserError: names the two flags.
  """
  for flag, target in targets.items():
    for other, source in sources.items():
      if overlaps(target, source):
        raise errors.UserError(
          f'{flag}={target} and {other}={source} overlap: the output must not '
          f'be in the input, or around it; choose another {flag}'
        )


def overlaps(one: str | pathlib.Path, two: str | pathlib.Path) -> bool:
  """Whether one path is the other or inside it; follows symbolic links."""
  one, two = (pathlib.Path(os.path.realpath(path)) for path in (one, two))
  return one.is_relative_to(two) or two.is_relative_to(one)


def _record(path: pathlib.Path, content: bytes) -> None:
  line = {'name': path.name, 'sha256': _digest(content), 'command': _command()}
  key = line['name'], line['sha256']
  if _recorded(path.parent).get(key) != line['command']:
    with (path.parent / RECORD).open('a', encoding='utf-8') as file:
      file.write(json.dumps(line) + '\n')


def _command() -> str:
  """The module that `python -m` runs, if it is one of ours."""
  spec = sys.modules['__main__'].__spec__
  name = spec.name.removesuffix('.__main__') if spec else ''
  return name if name.startswith(('imat_jax.', 'experiments.')) else ''


def _recorded(folder: pathlib.Path) -> dict[tuple[str, str], str]:
  """Name and digest → the command that wrote it, empty if it is not known."""
  try:
    lines = (folder / RECORD).read_bytes().splitlines()
  except FileNotFoundError:
    return {}
  return dict(_parsed(lines))


def _parsed(lines: Iterable[bytes]) -> Iterable[tuple[tuple[str, str], str]]:
  for line in lines:
    try:
      record = json.loads(line)
      key = record['name'], record['sha256']
      yield key, record.get('command', '')
    except (ValueError, TypeError, KeyError):  # incomplete after a kill
      continue


def _digest(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()
