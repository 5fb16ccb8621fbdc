"""Syncs the files of a run to a bucket while it works on this machine.

The bucket has the run. A start downloads it, unless all of it was uploaded from
here; then a thread checks the folder every few seconds and uploads what is new,
so training is unaware of it.

A bucket has no locks. A start writes a token to `owner.json` in the bucket, and
a process that reads another's token has lost the run: it stops uploading and
exits. So the last start wins, as a machine that replaces a dead one needs.
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

_OWNER = 'owner.json'  # in the bucket
_LOCK, _STATE = 'lock', '.mirror.json'  # on this machine
_LOOK = 5.0  # seconds between two checks of the folder
_LONGEST = 300.0  # seconds until a bucket that failed is tried again
_LAST_TRIES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds between the tries at the end
_PULLS = 3  # tries while another job still writes

Stamp = list[int]  # a file's size in bytes, and when it was written in ns


class _Lost(errors.UserError):
  """Another job owns the run now."""


class Mirror:
  """The files of a run, on this machine and in a bucket.

  Args:
    url: the folder in the bucket.
    folder: that of this machine, locked; its files may be removed.
    marks: names of files that mark others as complete, see
      `storage.RemoteDir.update`.
  """

  def __init__(self, url: str, folder: pathlib.Path, marks: Sequence[str]):
    self._there, self._here, self._marks = storage.RemoteDir(url), folder, marks
    self._token = secrets.token_hex(8)
    self._known: dict[str, Stamp | None] = {}  # in the bucket; None: not ours
    self._ends = threading.Event()
    self._thread = threading.Thread(target=self._follow, daemon=True)

  def begin(self) -> None:
    """Takes ownership of the run, downloads it, and starts uploading.

    Raises:
      UserError: the bucket fails, or has something else there.
    """
    listing = self._there.list()
    names = list(filter(_is_ours, listing))
    if names and not {_OWNER, 'config.json'} & listing.keys():
      raise errors.UserError(
        f'{self._there.url}: there are files, such as {names[0]}, but no run '
        'or study; give another --workdir'
      )
    previous_owner = self._owner()
    job = f'pid {os.getpid()} on {socket.gethostname()}'
    owner = json.dumps({'token': self._token, 'job': job})
    self._there.write(_OWNER, owner.encode())
    state = self._read_state()
    if previous_owner and previous_owner['token'] == state.get('token'):
      run_names = filter(_is_ours, listing)
      self._known = {name: state['known'].get(name) for name in run_names}
    else:
      self._pull()
    self._write_state()
    progress.say(f'{self._there.url}: works in {self._here}')
    self._thread.start()

  def end(self) -> None:
    """Uploads the rest.

    Raises:
      UserError: not all of it is uploaded, or another job owns the run now.
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
      except storage.ConcurrentChange:  # as a checkpoint that is not kept
        continue
      except _Lost as error:
        progress.say(str(error))
        os.kill(os.getpid(), signal.SIGTERM)  # training exits cleanly
        return
      except (errors.UserError, OSError) as error:
        seconds = min(2 * seconds, _LONGEST)
        progress.say(
          f'{error}; training goes on, the next try is in {seconds:.0f} s'
        )

  def _pull(self) -> None:
    """Makes the local folder a copy of the one in the bucket."""
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
    """Makes the folder in the bucket a copy of the local one."""
    current_stamps = self._look()
    changed = [
      name
      for name in current_stamps
      if current_stamps[name] != self._known.get(name)
    ]
    removed = [name for name in self._known if name not in current_stamps]
    if not changed and not removed:
      return
    owner = self._owner() or {'token': None, 'job': 'nobody: it was removed'}
    if owner['token'] != self._token:
      raise _Lost(
        f'{self._there.url}: another job has this run now ({owner["job"]}); '
        'this one ends'
      )
    # If this stops midway, what was uploaded counts as nobody's.
    self._known |= dict.fromkeys(changed)
    self._there.update(self._here, changed, removed, self._marks)
    self._known = current_stamps
    self._write_state()

  def _look(self) -> dict[str, Stamp]:
    """The local files that belong in the bucket."""
    first_stamps = self._walk()
    if checksums.only_complete(first_stamps) == self._known:
      return self._known
    # All that a mark of the first walk stands for is in the second one; a mark
    # that is new by then waits for the next check.
    second_stamps = self._walk()
    return checksums.only_complete(
      {
        name: stamp
        for name, stamp in second_stamps.items()
        if stamp == first_stamps.get(name) or not self._is_mark(name)
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
    """The state of an earlier start on this machine; {} if there was none."""
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
