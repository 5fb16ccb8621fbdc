"""Atomic writes, JSON files, and names and folders that are safe to use."""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import re
import stat
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from imat_jax import errors

# Prefix of files that are being written.
WRITING = '.writing-'
_LONGEST_FOLDER = 200  # bytes; a file system takes 143 to 255
_LONGEST_NAME = 200  # bytes; a file's name may have 255, with the ending
# Devices on Windows, with any ending: a folder may be copied there.
_DEVICES = {'CON', 'PRN', 'AUX', 'NUL'} | {
  f'{port}{number}' for port in ('COM', 'LPT') for number in range(1, 10)
}


# Added to folders by file managers, notebooks, archives and network disks.
_FOREIGN_FOLDERS = frozenset({'__MACOSX', '@eaDir', '$RECYCLE.BIN'})
_FOREIGN_FILES = frozenset({'thumbs.db', 'desktop.ini'})


@contextlib.contextmanager
def atomic_write(path: pathlib.Path) -> Iterator[IO[bytes]]:
  """A temporary file to write to, renamed to `path` at the end.

  A reader sees the old file or the new one, never a partial one.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=WRITING)
  try:
    with os.fdopen(handle, 'wb') as file:
      yield file
    os.chmod(temporary, 0o644)
    try:
      os.replace(temporary, path)
    except OSError as error:  # names the temporary file first
      raise OSError(error.errno, error.strerror, str(path)) from None
  except BaseException:
    os.unlink(temporary)
    raise


def write_bytes(path: pathlib.Path, content: bytes) -> None:
  """Writes a complete file, see `atomic_write`."""
  with atomic_write(path) as file:
    file.write(content)


def write_text(path: pathlib.Path, text: str) -> None:
  """`write_bytes` in UTF-8."""
  write_bytes(path, text.encode())


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes readable JSON, see `json_text`."""
  write_text(path, json_text(value))


def json_text(value: Any) -> str:
  """Readable JSON; NaN and infinity raise a `ValueError`, as JSON has none."""
  return json.dumps(value, indent=2, allow_nan=False) + '\n'


def read_json(path: pathlib.Path) -> Any:
  """Reads JSON; a missing or broken file is a `UserError` that names it."""
  try:
    return json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
  except FileNotFoundError:
    raise errors.UserError(f'{path}: no such file') from None
  except OSError as error:
    raise errors.UserError(f'{path}: {error.strerror}') from None
  except (ValueError, RecursionError) as error:
    raise errors.UserError(f'{path}: not JSON: {error}') from None


def cache_folder() -> pathlib.Path:
  """This program's folder in the user's cache.

  Falls back to `temporary_folder` if the home folder is missing or not
  writable, as in many containers.
  """
  home = os.environ.get('XDG_CACHE_HOME', '')
  if not os.path.isabs(home):  # ignored, by the XDG specification
    home = os.path.expanduser('~/.cache')
  folder = pathlib.Path(home, 'imat_jax')
  usable = folder.is_absolute() and is_writable(folder)
  return folder if usable else temporary_folder()


def is_url(place: str | pathlib.Path) -> bool:
  """Whether a folder is in a bucket; `config` checks the URL's syntax."""
  return '://' in str(place)


def working_folder(url: str) -> pathlib.Path:
  """The local working copy of a folder in a bucket."""
  return cache_folder() / 'remote' / url.replace('://', '/')


@functools.cache
def temporary_folder() -> pathlib.Path:
  """This user's private folder in the system's temporary folder."""
  folder = pathlib.Path(tempfile.gettempdir(), f'imat_jax-{os.getuid()}')
  with contextlib.suppress(FileExistsError):
    folder.mkdir(mode=0o700)
  # Compiled programs are cached in it, and another user may have made it.
  status = folder.lstat()
  is_private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
  if is_private and status.st_uid == os.getuid():
    return folder
  return pathlib.Path(tempfile.mkdtemp(prefix='imat_jax-'))


def is_writable(path: pathlib.Path) -> bool:
  """Whether a folder is writable, or can be made."""
  for folder in (path, *path.parents):
    if os.path.lexists(folder):
      return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
  return False


def is_foreign(name: str) -> bool:
  """Whether a file or folder is hidden, or of a file manager or the like."""
  return (
    name.startswith('.')
    or name in _FOREIGN_FOLDERS
    or name.lower() in _FOREIGN_FILES
  )


def bounded_name(name: str) -> str:
  """The name; if too long for a folder, its beginning and a digest.

  Args:
    name: of characters that any file system accepts.
  """
  if len(name.encode()) <= _LONGEST_FOLDER:
    return name
  digest = hashlib.sha256(name.encode()).hexdigest()[:16]
  # Drops the rest of a cut character or %-escape.
  start = name.encode()[: _LONGEST_FOLDER - 17].decode(errors='ignore')
  return f'{re.sub("%.?$", "", start)}-{digest}'


def is_safe_name(name: str) -> bool:
  """Whether an untrusted name is that of a file directly in its folder."""
  return (
    name.isprintable()
    and not name.startswith('.')
    and not set('/\\:') & set(name)
    and name.partition('.')[0].strip().upper() not in _DEVICES
    and 0 < len(name.encode()) <= _LONGEST_NAME
  )
