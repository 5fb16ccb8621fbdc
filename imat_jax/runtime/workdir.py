"""The folder of a run: its paths, and the config it was started with."""

import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from imat_jax import config, errors, options, tasks
from imat_jax.runtime import (
  checksums,
  distributed,
  file_lock,
  files,
  progress,
  run_folders,
)

# The keys of a row of metrics.jsonl that pages and tables read.
_ROW_KEYS = {'epoch', 'step', 'seconds', 'train', 'validation', 'total'}


class Workdir:
  """The paths of a run's files; local copies if the run is in a bucket."""

  def __init__(self, path: str | pathlib.Path):
    self.url = path if files.is_url(path) else None
    self.path = files.working_folder(path) if self.url else pathlib.Path(path)
    self.config = self.path / run_folders.CONFIG
    self.checkpoints = self.path / run_folders.CHECKPOINTS
    self.metrics = self.path / 'metrics.jsonl'
    self.evaluation = self.path / 'evaluation.json'
    self.report = self.path / 'report.html'
    self.card = self.path / 'README.md'
    self.predictions = self.path / 'predictions.npz'
    self.provenance = self.path / 'provenance.json'
    self.starts = self.path / 'starts.jsonl'
    self.tensorboard = self.path / 'tensorboard'
    self.wandb = self.path / 'wandb.json'
    self.lock = self.path / run_folders.LOCK


@contextlib.contextmanager
def lock(workdir: Workdir) -> Iterator[None]:
  """Locks the run's folder for this job; released when the process exits.

  Raises:
    UserError: another job holds it; names its pid and host.
  """
  with contextlib.ExitStack() as stack:
    distributed.broadcast_from_primary(
      lambda: stack.enter_context(_file_lock(workdir))
    )
    yield


@contextlib.contextmanager
def synced(workdir: Workdir) -> Iterator[None]:
  """Syncs a run to its bucket; a no-op for a run without one.

  Must be entered with the folder locked. Only the primary process syncs.

  Raises:
    UserError: the bucket fails; at the end, not all is uploaded.
  """
  if not workdir.url:
    yield
    return
  from imat_jax.runtime import sync  # only a run in a bucket needs it

  marks = (checksums.NAME, workdir.evaluation.name)
  mirror = sync.Mirror(workdir.url, workdir.path, marks)
  distributed.broadcast_from_primary(mirror.begin)
  try:
    yield
  except errors.Interrupted:  # in all processes, at the same step
    distributed.broadcast_from_primary(mirror.end)
    raise
  except BaseException:  # the other processes may be gone
    if distributed.is_primary():
      try:
        mirror.end()
      except errors.UserError as error:
        progress.say(str(error))
    raise
  distributed.broadcast_from_primary(mirror.end)


@contextlib.contextmanager
def _file_lock(workdir: Workdir) -> Iterator[None]:

  def refuse(holder: str) -> None:
    raise errors.UserError(
      f'{workdir.path}: locked by another process ({holder})'
    )

  run_folders.refuse_foreign(workdir.path)
  workdir.path.mkdir(parents=True, exist_ok=True)
  with file_lock.file_lock(workdir.lock, refuse):
    yield


def init_or_check(
  workdir: Workdir,
  settings: config.Training,
  task_set: tasks.TaskSet,
  data_set: dict[str, Any],
  begun: bool,
) -> str:
  """Writes `config.json`, or checks that the existing one is the same.

  Args:
    workdir: of a run or a study.
    settings: its config.
    task_set: its tasks.
    data_set: see `source.identity`.
    begun: whether something was saved; before that the config may change.

  Returns:
    the config hash: a digest of everything that must not change.

  Raises:
    UserError: another config or data set; names the differences, old → new.
  """
  current, kind = describe(settings, task_set, data_set), type(settings)
  _refuse_other_kind(workdir, kind)
  if begun and workdir.config.exists():
    stored = run_folders.read_config(workdir.path, kind)
    differing = _differences(_fixed(kind, stored), _fixed(kind, current))
    epochs = stored['config']['epochs']
    may_grow = not settings.optimizer.needs_num_steps
    if settings.epochs != epochs and (settings.epochs < epochs or not may_grow):
      differing.append(f'epochs: {epochs} → {settings.epochs}')
    if differing:
      raise errors.UserError(
        f'{workdir.path}: has a {kind.__name__.lower()} with another config '
        f'({"; ".join(differing)}); choose another --workdir'
      )
  files.write_json(workdir.config, current)
  return config_hash(kind, current)


def describe(
  settings: config.Training, task_set: tasks.TaskSet, data_set: dict[str, Any]
) -> dict[str, Any]:
  """The content of `config.json`."""
  return {
    'config': options.to_json(settings),
    'tasks': task_set.to_json(),
    **data_set,
  }


def config_hash(kind: type, described: dict[str, Any]) -> str:
  """A digest of everything that must not change between two starts."""
  fixed = json.dumps(_fixed(kind, described), sort_keys=True)
  return hashlib.sha256(fixed.encode()).hexdigest()


def read_run(workdir: Workdir) -> tuple[config.Run, tasks.TaskSet]:
  """The config and the tasks in a run's `config.json`.

  Raises:
    UserError: missing or damaged.
  """
  stored = run_folders.read_config(workdir.path, config.Run)
  run = options.from_json(config.Run, stored['config'])
  return run, tasks.TaskSet.from_json(stored['tasks'])


def log_start(workdir: Workdir, step: int) -> None:
  """Appends a line to `starts.jsonl`: step, time, host, pid."""
  line = {
    'step': step,
    'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'host': socket.gethostname(),
    'pid': os.getpid(),
  }
  with workdir.starts.open('a') as file:
    file.write(json.dumps(line) + '\n')


def times_resumed(workdir: Workdir) -> int:
  """How often the run was restarted before it finished."""
  if not workdir.starts.exists():
    return 0
  return max(len(workdir.starts.read_bytes().splitlines()) - 1, 0)


def write_metrics(workdir: Workdir, rows: Sequence[dict[str, Any]]) -> None:
  """Rewrites `metrics.jsonl`: no partial row, no duplicate."""
  lines = [json.dumps(row, allow_nan=False) + '\n' for row in rows]
  files.write_text(workdir.metrics, ''.join(lines))


def read_rows(workdir: Workdir) -> list[dict[str, Any]]:
  """The rows of `metrics.jsonl`.

  Raises:
    ValueError: it is damaged.
  """
  text = workdir.metrics.read_text(encoding='utf-8')
  rows = [json.loads(line) for line in text.splitlines()]
  for row in rows:
    if not isinstance(row, dict) or not row.keys() >= _ROW_KEYS:
      raise ValueError(f'{workdir.metrics.name}: a line is not an epoch')
  return rows


def _refuse_other_kind(workdir: Workdir, kind: type) -> None:
  """Raises if a study is started in a run's folder, or a run in a study's."""
  stored = run_folders.kind_of(workdir.path)
  if stored not in ('', kind.__name__.lower()):
    raise errors.UserError(
      f'{workdir.path}: has a {stored}; choose another --workdir'
    )


def _fixed(kind: type, stored: dict[str, Any]) -> dict[str, Any]:
  """What must not change, flat."""
  settings = options.from_json(kind, stored['config'])
  return {'data set': stored['data_set'][:12], **options.fixed(settings)}


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
  """A later option that one of them lacks has its default there."""
  return [
    f'{name}: {old.get(name, "default")} → {new.get(name, "default")}'
    for name in dict.fromkeys([*new, *old])
    if old.get(name) != new.get(name)
  ]
