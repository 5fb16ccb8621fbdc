"""Folders for work in progress that a killed process does not leave for ever.

Each holds a lock as long as its process lives; the next one that makes a folder
beside it removes those whose lock is free.
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
    prefix: how its name begins; `parent` has no other such folders.
  """
  _remove_leftovers(parent, prefix)
  made = pathlib.Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
  try:
    # It has its name only when it is locked: nobody sees a free lock.
    unnamed = made / 'lock.new'
    with unnamed.open('w') as lock:
      with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(lock, fcntl.LOCK_EX)
        unnamed.rename(made / _LOCK)
      (made / 'work').mkdir()
      yield made / 'work'
  finally:
    shutil.rmtree(made, ignore_errors=True)


def _remove_leftovers(parent: pathlib.Path, prefix: str) -> None:
  for path in parent.glob(f'{prefix}*'):
    try:
      with (path / _LOCK).open('r+') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # no lock: not ours; or that of a living process
      continue
    shutil.rmtree(path, ignore_errors=True)
