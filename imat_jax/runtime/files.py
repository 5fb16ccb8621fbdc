"""Files that are complete or absent: text and JSON, written and read."""

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


# What file managers, notebooks, archives and network disks add to folders.
_FOREIGN_FOLDERS = frozenset({'__MACOSX', '@eaDir', '$RECYCLE.BIN'})
_FOREIGN_FILES = frozenset({'thumbs.db', 'desktop.ini'})


@contextlib.contextmanager
def atomic_write(path: pathlib.Path) -> Iterator[IO[bytes]]:
  """A file to write to, under a temporary name that is renamed at the end.

  A reader sees the old file or the new one, never half of one.
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
  """Writes readable JSON; NaN and infinity are refused, as JSON has none."""
  write_text(path, json_text(value))


def json_text(value: Any) -> str:
  """Readable JSON; NaN and infinity are a `ValueError`, as JSON has none."""
  return json.dumps(value, indent=2, allow_nan=False) + '\n'


def read_json(path: pathlib.Path) -> Any:
  """Reads JSON; a missing or broken file is a `UserError` that names it."""
  try:
    return json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
  except FileNotFoundError:
    raise errors.UserError(f'{path}: there is no such file') from None
  except OSError as error:
    raise errors.UserError(f'{path}: {error.strerror}') from None
  except (ValueError, RecursionError) as error:
    raise errors.UserError(f'{path}: not JSON: {error}') from None


def cache_folder() -> pathlib.Path:
  """This program's folder in the user's cache.

  A user without a home folder, or with one that is not writable (as in many
  containers), has `temporary_folder`.
  """
  home = os.environ.get('XDG_CACHE_HOME', '')
  if not os.path.isabs(home):  # as the XDG specification has it
    home = os.path.expanduser('~/.cache')
  folder = pathlib.Path(home, 'imat_jax')
  usable = folder.is_absolute() and is_writable(folder)
  return folder if usable else temporary_folder()


def is_url(place: str | pathlib.Path) -> bool:
  """Whether a folder is in a bucket; `config` checks how its URL is written."""
  return '://' in str(place)


def working_folder(url: str) -> pathlib.Path:
  """The local working copy of a folder in a bucket."""
  return cache_folder() / 'remote' / url.replace('://', '/')


@functools.cache
def temporary_folder() -> pathlib.Path:
  """A folder of this user alone below the system's temporary folder."""
  folder = pathlib.Path(tempfile.gettempdir(), f'imat_jax-{os.getuid()}')
  with contextlib.suppress(FileExistsError):
    folder.mkdir(mode=0o700)
  # Anyone may have made it, and compiled programs are cached in it.
  status = folder.lstat()
  is_private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
  if is_private and status.st_uid == os.getuid():
    return folder
  return pathlib.Path(tempfile.mkdtemp(prefix='imat_jax-'))


def is_writable(path: pathlib.Path) -> bool:
  """Whether a folder is one to write in, or can be made."""
  for folder in (path, *path.parents):
    if os.path.lexists(folder):
      return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
  return False


def is_foreign(name: str) -> bool:
  """Whether a file or folder is hidden, or was added by another program."""
  return (
    name.startswith('.')
    or name in _FOREIGN_FOLDERS
    or name.lower() in _FOREIGN_FILES
  )


def bounded_name(name: str) -> str:
  """The name, or if it is too long for a folder, its beginning and a digest.

  Args:
    name: of characters that any file system accepts.
  """
  if len(name.encode()) <= _LONGEST_FOLDER:
    return name
  digest = hashlib.sha256(name.encode()).hexdigest()[:16]
  # Drops what remains of a character, or of its %-escape, that was cut.
  start = name.encode()[: _LONGEST_FOLDER - 17].decode(errors='ignore')
  return f'{re.sub("%.?$", "", start)}-{digest}'


def is_safe_name(name: str) -> bool:
  """Whether a name from elsewhere names a file in its folder, nowhere else."""
  return (
    name.isprintable()
    and not name.startswith('.')
    and not set('/\\:') & set(name)
    and name.partition('.')[0].strip().upper() not in _DEVICES
    and 0 < len(name.encode()) <= _LONGEST_NAME
  )
