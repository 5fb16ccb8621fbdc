"""A file lock that is released when its process exits or dies."""

import contextlib
import fcntl
import os
import pathlib
import socket
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def file_lock(
  path: pathlib.Path, when_held: Callable[[str], None]
) -> Iterator[None]:
  """Locks a file and writes the pid and host to it.

  A no-op on file systems without locks.

  Args:
    path: of the file, in an existing folder.
    when_held: called with the holder if the file is locked; may raise. If it
      returns, waits for the lock.
  """
  with path.open('a+', encoding='utf-8', errors='replace') as file:
    with contextlib.suppress(OSError):
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError:
        file.seek(0)
        when_held(file.read())
        fcntl.flock(file, fcntl.LOCK_EX)
    file.truncate(0)
    file.write(f'pid {os.getpid()} on {socket.gethostname()}')
    file.flush()
    yield
