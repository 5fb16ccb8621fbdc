"""Runs calls in worker processes with bounded CPU time.

A small file can keep a decoder busy for minutes or crash it, and threads cannot
be killed. The limit is CPU time, so a busy machine fails no photo.

Workers import neither jax nor the caller's main module, wait for the next call,
and end with the process that started them.
"""

import atexit
import collections
import contextlib
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing import connection
from typing import Any

from imat_jax import errors

# CPU time per call, beside `grant`: a hundred times that of an ordinary photo,
# so that slow machines decode theirs.
SECONDS = 3.0

_SERVE = (
  'import sys; sys.path[:] = {path!r}; from imat_jax.data import bounded; '
  'bounded.serve({pipe}, {lock})'
)

_idle: collections.deque['_Worker'] = collections.deque()
# A forked child must not use its parent's workers.
os.register_at_fork(after_in_child=_idle.clear)
_one_thread = threading.Lock()
# Locked by one worker at a time, see `exclusive`.
_lock_file: Any = None
_making_lock_file = threading.Lock()
_is_worker = False


class TooSlowError(Exception):
  """A call used up its CPU time."""


class CrashError(Exception):
  """A call killed its process, twice."""


def call(function: Callable[..., Any], *arguments: Any) -> Any:
  """Calls a module's function in a worker; returns or raises what it does.

  Thread-safe; there are as many workers as concurrent calls.

  Args:
    function: picklable, as are its arguments and results.

  Raises:
    TooSlowError: it took more CPU time than `SECONDS` plus `grant`.
    CrashError: it crashed the process, twice.
    UserError: no process starts.
  """
  if _is_worker:
    return function(*arguments)
  for _ in range(2):  # an idle worker may have been killed meanwhile
    worker = _idle_or_new()
    try:
      is_result, value = worker.call(function, arguments)
    except _Ended as ended:
      if ended.status == -signal.SIGPROF:
        raise TooSlowError from None
      continue
    _idle.append(worker)
    if is_result:
      return value
    raise value
  raise CrashError


def grant(seconds: float) -> None:
  """In a worker, gives the current call more CPU time; else does nothing."""
  if _is_worker:
    seconds_left, _ = signal.getitimer(signal.ITIMER_PROF)
    signal.setitimer(signal.ITIMER_PROF, seconds_left + seconds)


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
  """Held by one worker at a time, or by one thread of any other process."""
  with _one_thread:
    if not _is_worker:
      yield
      return
    fcntl.lockf(_lock_file, fcntl.LOCK_EX)
    try:
      yield
    finally:
      fcntl.lockf(_lock_file, fcntl.LOCK_UN)


def serve(pipe: int, lock: int) -> None:
  """A worker's main loop: answers calls until its caller is gone.

  Args:
    pipe: file descriptor of the connection to the caller.
    lock: file descriptor for `exclusive`.
  """
  global _is_worker, _lock_file
  _is_worker, _lock_file = True, lock
  signal.signal(signal.SIGPROF, signal.SIG_DFL)  # kills the process
  # If the caller is gone, the pipe is at its end or broken.
  with (
    connection.Connection(pipe) as caller,
    contextlib.suppress(EOFError, OSError),
  ):
    while True:
      function, arguments = caller.recv()
      signal.setitimer(signal.ITIMER_PROF, SECONDS)
      try:
        reply = True, function(*arguments)
      except Exception as error:
        reply = False, error
      signal.setitimer(signal.ITIMER_PROF, 0)
      caller.send(reply)


class _Ended(Exception):
  def __init__(self, status: int):
    super().__init__(status)
    self.status = status  # of the process; -N: killed by signal N


class _Worker:
  def __init__(self):
    self._pipe, worker_end = connection.Pipe()
    lock = _shared_lock_file().fileno()
    # The last, as relative entries may no longer lead to this package.
    path = [*map(str, sys.path), str(pathlib.Path(__file__).parents[2])]
    code = _SERVE.format(path=path, pipe=worker_end.fileno(), lock=lock)
    with worker_end:
      self._process = subprocess.Popen(
        [sys.executable, '-c', code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[worker_end.fileno(), lock],
        start_new_session=True,  # Ctrl-C is for the command alone
      )

  def call(self, function: Callable[..., Any], arguments: tuple) -> Any:
    try:
      self._pipe.send((function, arguments))
      return self._pipe.recv()
    except (EOFError, OSError):
      status = self.close()
    if status >= 0:  # one that has started ends by a signal
      raise errors.UserError(
        f'a photo decoder process failed to start (status {status}); see its '
        'error above'
      )
    raise _Ended(status)

  def close(self) -> int:
    """Ends the worker; returns its exit status."""
    self._pipe.close()
    return self._process.wait()


def _idle_or_new() -> _Worker:
  try:
    return _idle.pop()
  except IndexError:
    return _Worker()


def _shared_lock_file() -> Any:
  global _lock_file
  with _making_lock_file:
    if _lock_file is None:
      _lock_file = tempfile.TemporaryFile()  # noqa: SIM115 (open to the end)
  return _lock_file


@atexit.register
def _close_idle() -> None:
  while _idle:
    _idle.pop().close()
