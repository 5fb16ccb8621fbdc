"""Syncs the local files of a run to a bucket.

A start downloads the run from the bucket, unless this machine was the last to
upload it; then a thread checks the local folder every few seconds and uploads
changes, transparently to training.

Buckets have no locks. A start writes a token to `owner.json` in the bucket, and
a process that reads another token stops uploading and exits. So the last start
wins, as needed when a machine replaces a dead one.
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
_POLL_S = 5.0  # between two checks of the folder
_MAX_BACKOFF_S = 300.0  # until a failed upload is retried
_FINAL_BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 16.0)  # between the retries at the end
_PULL_ATTEMPTS = 3  # while another job still writes

Stamp = list[int]  # a file's size in bytes, and its modification time in ns


class _OwnerChanged(errors.UserError):
  """Another job owns the run now."""


class Mirror:
  """The files of a run, local and in a bucket.

  Args:
    url: the folder in the bucket.
    folder: the local one, locked; its files may be removed.
    marks: names of files that mark others as complete, see
      `storage.RemoteDir.update`.
  """

  def __init__(self, url: str, folder: pathlib.Path, marks: Sequence[str]):
    self._remote, self._folder, self._marks = (
      storage.RemoteDir(url),
      folder,
      marks,
    )
    self._token = secrets.token_hex(8)
    self._known: dict[str, Stamp | None] = {}  # in the bucket; None: not ours
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._follow, daemon=True)

  def begin(self) -> None:
    """Takes ownership of the run, downloads it, and starts uploading.

    Raises:
      UserError: the bucket fails, or has other files.
    """
    listing = self._remote.list()
    names = list(filter(_is_ours, listing))
    if names and not {_OWNER, 'config.json'} & listing.keys():
      raise errors.UserError(
        f'{self._remote.url}: has files of no run or study ({names[0]}); '
        'choose another --workdir'
      )
    previous_owner = self._owner()
    job = f'pid {os.getpid()} on {socket.gethostname()}'
    owner = json.dumps({'token': self._token, 'job': job})
    self._remote.write(_OWNER, owner.encode())
    state = self._read_state()
    if previous_owner and previous_owner['token'] == state.get('token'):
      run_names = filter(_is_ours, listing)
      self._known = {name: state['known'].get(name) for name in run_names}
    else:
      self._pull()
    self._write_state()
    progress.say(f'{self._remote.url}: working copy in {self._folder}')
    self._thread.start()

  def end(self) -> None:
    """Uploads the remaining changes.

    Raises:
      UserError: the upload is incomplete, or another job owns the run now.
    """
    self._stop.set()
    self._thread.join()
    for seconds in (*_FINAL_BACKOFF_S, None):
      try:
        self._push()
        break
      except _OwnerChanged:
        raise
      except (errors.UserError, OSError) as error:
        if seconds is None:
          raise errors.UserError(
            f'{error}; the upload is incomplete: run the same command again on '
            f'this machine, which has the files in {self._folder}'
          ) from error
        progress.say(f'{error}; retrying in {seconds:.0f} s')
        time.sleep(seconds)
    progress.say(f'{self._remote.url}: upload complete')

  def _follow(self) -> None:
    seconds = _POLL_S
    while not self._stop.wait(seconds):
      try:
        self._push()
        seconds = _POLL_S
      except storage.ConcurrentChange:  # such as a deleted old checkpoint
        continue
      except _OwnerChanged as error:
        progress.say(str(error))
        os.kill(os.getpid(), signal.SIGTERM)  # training exits cleanly
        return
      except (errors.UserError, OSError) as error:
        seconds = min(2 * seconds, _MAX_BACKOFF_S)
        progress.say(
          f'{error}; training continues, retrying in {seconds:.0f} s'
        )

  def _pull(self) -> None:
    """Makes the local folder a copy of the one in the bucket."""
    for _ in range(_PULL_ATTEMPTS):
      for path in self._folder.iterdir():
        if path.is_dir():
          shutil.rmtree(path)
        elif path.name != _LOCK:
          path.unlink()
      listing = {n: f for n, f in self._remote.list().items() if _is_ours(n)}
      try:
        self._remote.get(checksums.only_complete(listing), self._folder)
      except storage.ConcurrentChange:
        continue
      stamps = self._walk()
      self._known = {name: stamps.get(name) for name in listing}
      return
    raise errors.UserError(
      f'{self._remote.url}: another job is still writing; stop it, or try again'
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
    owner = self._owner() or {'token': None, 'job': f'no {_OWNER}'}
    if owner['token'] != self._token:
      raise _OwnerChanged(
        f'{self._remote.url}: another job took over this run ({owner["job"]}); '
        'stopping this one'
      )
    # If this fails midway, the uploaded files count as unknown.
    self._known |= dict.fromkeys(changed)
    self._remote.update(self._folder, changed, removed, self._marks)
    self._known = current_stamps
    self._write_state()

  def _look(self) -> dict[str, Stamp]:
    """The local files to have in the bucket."""
    first_stamps = self._walk()
    if checksums.only_complete(first_stamps) == self._known:
      return self._known
    # The second walk has every file of a mark in the first; newer marks wait
    # for the next check.
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
    stamps, root = {}, len(str(self._folder)) + 1
    for folder, _, names in os.walk(self._folder):
      for path in (os.path.join(folder, name) for name in names):
        with contextlib.suppress(FileNotFoundError):
          stat = os.stat(path)
          stamps[path[root:]] = [stat.st_size, stat.st_mtime_ns]
    return {name: stamps[name] for name in filter(_is_ours, stamps)}

  def _owner(self) -> dict[str, Any] | None:
    content = self._remote.read(_OWNER)
    if content is None:
      return None
    try:
      owner = json.loads(content)
      return {name: str(owner[name]) for name in ('token', 'job')}
    except (ValueError, KeyError, TypeError):
      raise errors.UserError(
        f'{self._remote.url}/{_OWNER}: damaged; remove it if no job is running'
      ) from None

  def _read_state(self) -> dict[str, Any]:
    """The state of an earlier start on this machine, or {}."""
    path = self._folder / _STATE
    if not path.exists():
      return {}
    state = files.read_json(path)
    try:
      return {'token': state['token'], 'known': dict(state['known'])}
    except (KeyError, TypeError, ValueError):
      raise errors.UserError(
        f'{path}: damaged; move {self._folder} away to resume from the bucket'
      ) from None

  def _write_state(self) -> None:
    state = {'token': self._token, 'known': self._known}
    files.write_json(self._folder / _STATE, state)


def _is_ours(name: str) -> bool:
  """Whether a file belongs to the run: no lock, no partial file."""
  foreign = any(map(files.is_foreign, name.split('/')))
  return not foreign and name not in (_LOCK, _OWNER)
