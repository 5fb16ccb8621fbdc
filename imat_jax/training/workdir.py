"""The folder of a run: what lies where, what it was started with."""

import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import json
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

from imat_jax import config, errors, files, tasks
from imat_jax.training import checkpoint, loop
from imat_jax.training.course import Course

# These may change between two starts of one run.
_MAY_CHANGE = (
  'data_dir',
  'workdir',
  'epochs',
  'loader',
  'saving',
  'profile',
)


class Workdir:
  """The paths of a run's files."""

  def __init__(self, path: str | pathlib.Path):
    self.path = pathlib.Path(path)
    self.config = self.path / 'config.json'
    self.checkpoints = self.path / 'checkpoints'
    self.metrics = self.path / 'metrics.jsonl'
    self.evaluation = self.path / 'evaluation.json'
    self.report = self.path / 'report.html'
    self.plots = self.path / 'plots'
    self.starts = self.path / 'starts.jsonl'
    self.lock = self.path / 'lock'


class Trained(NamedTuple):
  """A run that has been trained, at its best epoch."""

  run: config.Run
  task_set: tasks.TaskSet
  params: dict
  course: Course


@contextlib.contextmanager
def locked(workdir: Workdir) -> Iterator[None]:
  """Holds the run's folder; the lock goes with the process, however it ends.

  Raises:
    UserError: another process has it; names its pid and host.
  """
  workdir.path.mkdir(parents=True, exist_ok=True)
  with workdir.lock.open('a+') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      file.seek(0)
      raise errors.UserError(
        f'{workdir.path}: another process is at work here ({file.read()})'
      ) from None
    file.truncate(0)
    file.write(f'pid {os.getpid()} on {socket.gethostname()}')
    file.flush()
    yield


def claim(
  workdir: Workdir, run: config.Run, task_set: tasks.TaskSet, fingerprint: str
) -> str:
  """Writes `config.json`, or checks that the run there is this one.

  Returns:
    the run's identity: a digest of all that must not change.

  Raises:
    UserError: another config or data set; names what differs, old → new.
  """
  mine = {
    'config': dataclasses.asdict(run),
    'tasks': task_set.to_json(),
    'data_set': fingerprint,
  }
  mine = json.loads(json.dumps(mine))
  # Before anything was saved a run may still become another.
  if checkpoint.steps(workdir.checkpoints) and workdir.config.exists():
    there = _read_config(workdir)
    differing = _differences(_fixed(there), _fixed(mine))
    if run.epochs < there['config']['epochs']:
      differing.append(f'epochs: {there["config"]["epochs"]} → {run.epochs}')
    if differing:
      raise errors.UserError(
        f'{workdir.path}: a run with another config is here '
        f'({"; ".join(differing)}); give another --workdir'
      )
  files.write_json(workdir.config, mine)
  return _identity(mine)


def load(path: str | pathlib.Path) -> Trained:
  """Reads a trained run.

  Raises:
    UserError: no run, a damaged one, or one without a finished epoch.
  """
  workdir = Workdir(path)
  stored = _read_config(workdir)
  run = config.from_json(config.Run, stored['config'])
  task_set = tasks.TaskSet.from_json(stored['tasks'])
  found = checkpoint.read_latest(
    workdir.checkpoints,
    _identity(stored),
    like=loop.start_shapes(run, task_set),
  )
  if found is None or not found.course.rows:
    raise errors.UserError(f'{workdir.path}: no epoch of this run is finished')
  return Trained(run, task_set, found.best_params, found.course)


def note_start(workdir: Workdir, step: int) -> None:
  """Appends a line to `starts.jsonl`: from which step, when, where."""
  line = {
    'step': step,
    'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'host': socket.gethostname(),
    'pid': os.getpid(),
  }
  with workdir.starts.open('a') as file:
    file.write(json.dumps(line) + '\n')


def times_resumed(workdir: Workdir) -> int:
  """How often the run was started again before it was done."""
  if not workdir.starts.exists():
    return 0
  return max(len(workdir.starts.read_text().splitlines()) - 1, 0)


def write_metrics(workdir: Workdir, course: Course) -> None:
  """Writes `metrics.jsonl` anew: never half a row, never one twice."""
  lines = [json.dumps(row, allow_nan=False) + '\n' for row in course.rows]
  files.write_text(workdir.metrics, ''.join(lines))


def _read_config(workdir: Workdir) -> dict[str, Any]:
  stored = files.read_json(workdir.config)
  try:
    config.from_json(config.Run, stored['config'])
    tasks.TaskSet.from_json(stored['tasks'])
    if not isinstance(stored['data_set'], str):
      raise ValueError('data_set is no fingerprint')
  except (ValueError, KeyError, TypeError) as error:
    raise errors.UserError(f'{workdir.config}: damaged: {error}') from None
  return stored


def _identity(stored: dict[str, Any]) -> str:
  fixed = json.dumps(_fixed(stored), sort_keys=True)
  return hashlib.sha256(fixed.encode()).hexdigest()


def _fixed(stored: dict[str, Any]) -> dict[str, Any]:
  """What must not change, flat."""
  flat = {'data set': stored['data_set'][:12]}
  for name, value in stored['config'].items():
    if name not in _MAY_CHANGE:
      flat |= value if isinstance(value, dict) else {name: value}
  return flat


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
  return [
    f'{name}: {old.get(name)} → {new.get(name)}'
    for name in new
    if old.get(name) != new.get(name)
  ]
