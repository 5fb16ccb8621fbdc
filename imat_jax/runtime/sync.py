"""Keeps the files of a run in a bucket while it works on this machine.

The bucket has the run. A start brings here what is there, unless all that is
there came from here; then a thread looks at the folder every few seconds and
copies what is new, so training knows nothing of it.

A bucket has no locks. Who starts a run leaves a token there, in `owner.json`,
and whoever finds another's has lost the run: it copies no more, and ends. So
the last start wins, which is what a machine needs that follows a dead one.
"""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from imat_jax import errors
from imat_jax.runtime import checksums, files, progress, storage

_OWNER = 'owner.json'  # there
_LOCK, _STATE = 'lock', '.mirror.json'  # here
_LOOK = 5.0  # seconds between two looks
_LONGEST = 300.0  # seconds until a bucket that refused is tried again
_LAST_TRIES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds between those at the end
_PULLS = 3  # tries, where another job still writes

Stamp = list[int]  # a file's size in bytes, and when it was written in ns


class _Lost(errors.UserError):
  """The run is another job's now."""


class Mirror:
  """The files of a run, here and in a bucket.

  Args:
    url: the folder in the bucket.
    folder: that of this machine, locked; what is in it may go.
    marks: names of files that say of others that they are whole, see
      `storage.RemoteDir.update`.
  """

  def __init__(self, url: str, folder: pathlib.Path, marks: Sequence[str]):
    self._there, self._here, self._marks = storage.RemoteDir(url), folder, marks
    self._token = secrets.token_hex(8)
    self._known: dict[str, Stamp | None] = {}  # what is there; None: not ours
    self._ends = threading.Event()
    self._thread = threading.Thread(target=self._follow, daemon=True)

  def begin(self) -> None:
    """Takes the run, brings it here, and copies from now on.

    Raises:
      UserError: the bucket refuses, or has something else there.
    """
    listing = self._there.list()
    others = list(filter(_is_ours, listing))
    if others and not {_OWNER, 'config.json'} & listing.keys():
      raise errors.UserError(
        f'{self._there.url}: there are files, such as {others[0]}, but no run '
        'or study; give another --workdir'
      )
    before = self._owner()
    me = f'pid {os.getpid()} on {socket.gethostname()}'
    owner = json.dumps({'token': self._token, 'job': me})
    self._there.write(_OWNER, owner.encode())
    state = self._read_state()
    if before and before['token'] == state.get('token'):
      names = filter(_is_ours, listing)
      self._known = {name: state['known'].get(name) for name in names}
    else:
      self._pull()
    self._write_state()
    progress.say(f'{self._there.url}: works in {self._here}')
    self._thread.start()

  def end(self) -> None:
    """Copies the rest.

    Raises:
      UserError: not all of it is there, or the run is another job's now.
    """
    self._ends.set()
    self._thread.join()
    for seconds in (*_LAST_TRIES, None):
      try:
        self._push()
        break
      except _Lost:
        raise
      except (errors.UserError, OSError) as error:
        if seconds is None:
          raise errors.UserError(
            f'{error}; what is not there yet lies in {self._here}, and the '
            'same command on this machine copies it'
          ) from error
        progress.say(f'{error}; the next try is in {seconds:.0f} s')
        time.sleep(seconds)
    progress.say(f'{self._there.url}: all of it is there')

  def _follow(self) -> None:
    seconds = _LOOK
    while not self._ends.wait(seconds):
      try:
        self._push()
        seconds = _LOOK
      except storage.ConcurrentChange:  # as a checkpoint that is no longer kept
        continue
      except _Lost as error:
        progress.say(str(error))
        os.kill(os.getpid(), signal.SIGTERM)  # training leaves in good order
        return
      except (errors.UserError, OSError) as error:
        seconds = min(2 * seconds, _LONGEST)
        progress.say(
          f'{error}; training goes on, the next try is in {seconds:.0f} s'
        )

  def _pull(self) -> None:
    """Makes the folder here what is there."""
    for _ in range(_PULLS):
      for path in self._here.iterdir():
        if path.is_dir():
          shutil.rmtree(path)
        elif path.name != _LOCK:
          path.unlink()
      listing = {n: f for n, f in self._there.list().items() if _is_ours(n)}
      try:
        self._there.get(checksums.only_complete(listing), self._here)
      except storage.ConcurrentChange:
        continue
      stamps = self._walk()
      self._known = {name: stamps.get(name) for name in listing}
      return
    raise errors.UserError(
      f'{self._there.url}: another job still writes there; end it, or try again'
    )

  def _push(self) -> None:
    """Makes the folder there what is here."""
    now = self._look()
    changed = [name for name in now if now[name] != self._known.get(name)]
    gone = [name for name in self._known if name not in now]
    if not changed and not gone:
      return
    owner = self._owner() or {'token': None, 'job': 'nobody: it was removed'}
    if owner['token'] != self._token:
      raise _Lost(
        f'{self._there.url}: another job has this run now ({owner["job"]}); '
        'this one ends'
      )
    # Should this end midway, what came there is known as nobody's.
    self._known |= dict.fromkeys(changed)
    self._there.update(self._here, changed, gone, self._marks)
    self._known = now
    self._write_state()

  def _look(self) -> dict[str, Stamp]:
    """What of the folder here belongs there."""
    first = self._walk()
    if checksums.only_complete(first) == self._known:
      return self._known
    # All that a mark of the first walk stands for is in the second one; a mark
    # that is new by then waits for the next look.
    now = self._walk()
    return checksums.only_complete(
      {
        name: stamp
        for name, stamp in now.items()
        if stamp == first.get(name) or not self._is_mark(name)
      }
    )

  def _is_mark(self, name: str) -> bool:
    return name.rpartition('/')[2] in self._marks

  def _walk(self) -> dict[str, Stamp]:
    stamps, root = {}, len(str(self._here)) + 1
    for folder, _, names in os.walk(self._here):
      for path in (os.path.join(folder, name) for name in names):
        with contextlib.suppress(FileNotFoundError):
          stat = os.stat(path)
          stamps[path[root:]] = [stat.st_size, stat.st_mtime_ns]
    return {name: stamps[name] for name in filter(_is_ours, stamps)}

  def _owner(self) -> dict[str, Any] | None:
    content = self._there.read(_OWNER)
    if content is None:
      return None
    try:
      owner = json.loads(content)
      return {name: str(owner[name]) for name in ('token', 'job')}
    except (ValueError, KeyError, TypeError):
      raise errors.UserError(
        f'{self._there.url}/{_OWNER}: damaged; remove it if no job is at work'
      ) from None

  def _read_state(self) -> dict[str, Any]:
    """What an earlier start here knew; {} where there was none."""
    path = self._here / _STATE
    if not path.exists():
      return {}
    state = files.read_json(path)
    try:
      return {'token': state['token'], 'known': dict(state['known'])}
    except (KeyError, TypeError, ValueError):
      raise errors.UserError(
        f'{path}: damaged; move {self._here} away to go on from the bucket'
      ) from None

  def _write_state(self) -> None:
    state = {'token': self._token, 'known': self._known}
    files.write_json(self._here / _STATE, state)


def _is_ours(name: str) -> bool:
  """Whether a file is of the run: no lock, none that is being written."""
  foreign = any(map(files.is_foreign, name.split('/')))
  return not foreign and name not in (_LOCK, _OWNER)
