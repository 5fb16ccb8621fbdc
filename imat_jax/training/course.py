"""How a run went so far: a row per finished epoch, and the early stopping."""

import dataclasses
from typing import Any

from imat_jax import config, tasks
from imat_jax.training import metrics
from imat_jax.training.early_stopping import EarlyStopping


@dataclasses.dataclass(frozen=True)
class Course:
  """The rows of `metrics.jsonl` and the state of the early stopping."""

  rows: tuple[dict[str, Any], ...] = ()
  stopping: EarlyStopping = EarlyStopping()
  seconds: float = 0.0  # of the epoch's steps so far

  def after(self, row: dict[str, Any], knobs: config.Stopping) -> 'Course':
    """The course with one more epoch."""
    loss = row['total']['validation']
    stopping = self.stopping.after(row['epoch'], loss, knobs.min_delta)
    return Course((*self.rows, row), stopping)

  def later(self, seconds: float) -> 'Course':
    """The course after so many more seconds of training."""
    return dataclasses.replace(self, seconds=self.seconds + seconds)

  @property
  def best_step(self) -> int:
    """The step of the best epoch; 0 before the first one ends."""
    epoch = self.stopping.best_epoch
    return self.rows[epoch - 1]['step'] if epoch else 0

  def stopped_early(self, run: config.Run) -> bool:
    patience = run.stopping.epochs_to_wait(run.epochs)
    return self.stopping.waited >= patience and len(self.rows) < run.epochs

  def finished(self, run: config.Run) -> bool:
    return len(self.rows) >= run.epochs or self.stopped_early(run)

  def to_json(self) -> dict[str, Any]:
    """JSON has no infinity, which the best loss is before the first epoch."""
    value = dataclasses.asdict(self)
    if not self.rows:
      value['stopping'] = None
    return value

  @classmethod
  def from_json(cls, value: dict[str, Any]) -> 'Course':
    stopping = EarlyStopping(**(value['stopping'] or {}))
    return cls(tuple(value['rows']), stopping, value['seconds'])


def row(
  run: config.Run,
  task_set: tasks.TaskSet,
  *,
  epoch: int,
  step: int,
  seconds: float,
  num_examples: int,
  train: metrics.Metrics,
  validation: metrics.Metrics,
) -> dict[str, Any]:
  """A row of `metrics.jsonl`.

  `seconds` is the time of the epoch's steps; `total` the weighted sum of the
  tasks' losses.
  """
  weights = tasks.weights(len(task_set), run.task_weight_decay)
  found = {
    'train': metrics.read(train, task_set),
    'validation': metrics.read(validation, task_set),
  }
  shown = {
    split: {
      task.name: {key: result[key] for key in ('loss', 'accuracy')}
      for task, result in zip(task_set, results, strict=True)
    }
    for split, results in found.items()
  }
  totals = {s: metrics.total(results, weights) for s, results in found.items()}
  return {
    'epoch': epoch,
    'step': step,
    'seconds': round(seconds, 3),
    'examples_per_second': round(num_examples / seconds, 1),
    **shown,
    'total': totals,
  }
