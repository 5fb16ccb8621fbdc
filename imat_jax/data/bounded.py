"""Calls in processes of their own, whose CPU time is bounded.

A small file can keep a decoder busy for minutes or crash it. A thread cannot be
ended, a process can. What counts is CPU time, so no photo is lost to a machine
that is busy with other things.

The processes know neither jax nor the caller's main module, and wait for the
next call. They end with the process that started them.
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

# Of CPU time for each call, beside what it is granted (`grant`): a hundred
# times what an ordinary photo takes, so that slow machines keep theirs.
SECONDS = 3.0

_SERVE = (
  'import sys; sys.path[:] = {path!r}; from imat_jax.data import bounded; '
  'bounded.serve({pipe}, {lock})'
)

_idle: collections.deque['_Worker'] = collections.deque()
# A child has no right to the workers of the process that it was forked from.
os.register_at_fork(after_in_child=_idle.clear)
_one_thread = threading.Lock()
# Locked by one worker at a time, see `alone`.
_lock_file: Any = None
_making_lock_file = threading.Lock()
_is_worker = False


class TooSlowError(Exception):
  """A call used up its CPU time."""


class CrashError(Exception):
  """A call killed its process, twice."""


def call(function: Callable[..., Any], *arguments: Any) -> Any:
  """What a function of a module returns or raises, made in a worker.

  Threads may call at once; there are as many workers as calls at once.

  Args:
    function: can be pickled, as its arguments and all that it returns.

  Raises:
    TooSlowError: it took more CPU time than `SECONDS` and what it was granted.
    CrashError: it ended the process by a fault.
    UserError: no process starts.
  """
  if _is_worker:
    return function(*arguments)
  for _ in range(2):  # one that waited may have been killed meanwhile
    worker = _waiting_or_new()
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
  """Gives the call that is being served more CPU time; else does nothing."""
  if _is_worker:
    seconds_left, _ = signal.getitimer(signal.ITIMER_PROF)
    signal.setitimer(signal.ITIMER_PROF, seconds_left + seconds)


@contextlib.contextmanager
def alone() -> Iterator[None]:
  """Held by one worker at a time, or by one thread of another process."""
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
  """What a worker does: answers calls until its caller is gone.

  Args:
    pipe: file descriptor of the connection to the caller.
    lock: file descriptor for `alone`.
  """
  global _is_worker, _lock_file
  _is_worker, _lock_file = True, lock
  signal.signal(signal.SIGPROF, signal.SIG_DFL)  # it ends the process
  # A process that is gone leaves an end of file, or a broken pipe.
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
    self.status = status  # of the process; -N: by the signal N


class _Worker:
  def __init__(self):
    self._pipe, worker_end = connection.Pipe()
    lock = _shared_lock_file().fileno()
    # The last for entries that are relative to where the caller once was.
    path = [*map(str, sys.path), str(pathlib.Path(__file__).parents[2])]
    code = _SERVE.format(path=path, pipe=worker_end.fileno(), lock=lock)
    with worker_end:
      self._process = subprocess.Popen(
        [sys.executable, '-c', code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[worker_end.fileno(), lock],
        start_new_session=True,  # Ctrl-C is for the command, not for it
      )

  def call(self, function: Callable[..., Any], arguments: tuple) -> Any:
    try:
      self._pipe.send((function, arguments))
      return self._pipe.recv()
    except (EOFError, OSError):
      status = self.close()
    if status >= 0:  # a signal ends those that have started
      raise errors.UserError(
        'a process that decodes photos does not start (status '
        f'{status}); its error is above'
      )
    raise _Ended(status)

  def close(self) -> int:
    """Ends it; returns the status."""
    self._pipe.close()
    return self._process.wait()


def _waiting_or_new() -> _Worker:
  try:
    return _idle.pop()
  except IndexError:
    return _Worker()


def _shared_lock_file() -> Any:
  global _lock_file
  with _making_lock_file:
    if _lock_file is None:
      _lock_file = tempfile.TemporaryFile()  # noqa: SIM115 (to the end)
  return _lock_file


@atexit.register
def _close_idle() -> None:
  while _idle:
    _idle.pop().close()
