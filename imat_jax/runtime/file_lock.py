"""A lock that ends with its process, however that ends."""

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
  """Holds the lock of a file, in which the holder writes who it is.

  On a file system without locks nothing is locked.

  Args:
    path: of the file; its folder exists.
    when_held: is called with who holds it, to raise an error; where it
      returns, this waits.
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
