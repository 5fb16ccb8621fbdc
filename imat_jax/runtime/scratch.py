"""Temporary folders that are removed even after a kill.

Each is locked while its process lives; the next process that makes one in the
same place removes those that are not locked.
"""

import contextlib
import fcntl
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

_LOCK = 'lock'


@contextlib.contextmanager
def folder(parent: pathlib.Path, prefix: str) -> Iterator[pathlib.Path]:
  """An empty folder in `parent`, removed at the end.

  Args:
    parent: an existing folder.
    prefix: of its name; reserved in `parent` for such folders.
  """
  _remove_leftovers(parent, prefix)
  path = pathlib.Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
  try:
    # The lock gets its name once it is held, so it is never seen unlocked.
    unnamed_lock = path / 'lock.new'
    with unnamed_lock.open('w') as lock:
      with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(lock, fcntl.LOCK_EX)
        unnamed_lock.rename(path / _LOCK)
      (path / 'work').mkdir()
      yield path / 'work'
  finally:
    shutil.rmtree(path, ignore_errors=True)


def _remove_leftovers(parent: pathlib.Path, prefix: str) -> None:
  for path in parent.glob(f'{prefix}*'):
    try:
      with (path / _LOCK).open('r+') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # no lock, so not ours; or held by a live process
      continue
    shutil.rmtree(path, ignore_errors=True)
