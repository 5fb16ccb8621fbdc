"""The folder of a run: what lies where, what it was started with."""

import dataclasses
import functools
import json
import pathlib
from typing import Any, NamedTuple

import jax

from imat_jax import config, errors, files, tasks
from imat_jax.training import checkpoint, state
from imat_jax.training.course import Course

# These may change between two starts of one run.
_MAY_CHANGE = ('data_dir', 'workdir', 'epochs', 'loader')


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


class Trained(NamedTuple):
  """A run that has been trained, at its best epoch."""

  run: config.Run
  task_set: tasks.TaskSet
  params: dict
  course: Course


def claim(
  workdir: Workdir, run: config.Run, task_set: tasks.TaskSet, fingerprint: str
) -> None:
  """Writes `config.json`, or checks that the run there is this one.

  Raises:
    UserError: another config or data set; names what differs, old → new.
  """
  mine = {
    'config': dataclasses.asdict(run),
    'tasks': task_set.to_json(),
    'data_set': fingerprint,
  }
  mine = json.loads(json.dumps(mine))
  if workdir.config.exists():
    there = files.read_json(workdir.config)
    differing = _differences(_fixed(there), _fixed(mine))
    if differing:
      raise errors.UserError(
        f'{workdir.path}: a run with another config is here '
        f'({"; ".join(differing)}); give another --workdir'
      )
  files.write_json(workdir.config, mine)


def load(path: str | pathlib.Path) -> Trained:
  """Reads a trained run.

  Raises:
    UserError: no run, a damaged one, or one without a checkpoint.
  """
  workdir = Workdir(path)
  stored = files.read_json(workdir.config)
  try:
    run = config.from_json(config.Run, stored['config'])
    task_set = tasks.TaskSet.from_json(stored['tasks'])
  except (ValueError, KeyError, TypeError) as error:
    raise errors.UserError(f'{workdir.config}: damaged: {error}') from None
  like = jax.eval_shape(functools.partial(state.create, run, task_set))
  with checkpoint.Store(workdir.checkpoints, read_only=True) as store:
    found = store.restore(checkpoint.Checkpoint(like, like.params))
  if found is None:
    raise errors.UserError(f'{workdir.checkpoints}: no checkpoint is here yet')
  return Trained(run, task_set, found.best_params, found.course)


def write_metrics(workdir: Workdir, course: Course) -> None:
  """Writes `metrics.jsonl` anew: never half a row, never one twice."""
  lines = [json.dumps(row, allow_nan=False) + '\n' for row in course.rows]
  files.write_text(workdir.metrics, ''.join(lines))


def _fixed(stored: Any) -> dict[str, Any]:
  """What must not change, flat."""
  if not isinstance(stored, dict) or not isinstance(stored.get('config'), dict):
    return {}
  knobs = {k: v for k, v in stored['config'].items() if k not in _MAY_CHANGE}
  flat = {'data set': str(stored.get('data_set'))[:12]}
  for name, value in knobs.items():
    flat |= value if isinstance(value, dict) else {name: value}
  return flat


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
  return [
    f'{name}: {old.get(name)} → {new.get(name)}'
    for name in new
    if old.get(name) != new.get(name)
  ]
