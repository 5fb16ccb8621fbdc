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

  def after(self, row: dict[str, Any], knobs: config.Stopping) -> 'Course':
    """The course with one more epoch."""
    loss = row['total']['validation']
    stopping = self.stopping.after(row['epoch'], loss, knobs.min_delta)
    return Course((*self.rows, row), stopping)

  def stopped_early(self, run: config.Run) -> bool:
    patience = run.stopping.epochs_to_wait(run.epochs)
    return self.stopping.waited >= patience and len(self.rows) < run.epochs

  def finished(self, run: config.Run) -> bool:
    return len(self.rows) >= run.epochs or self.stopped_early(run)

  def to_json(self) -> dict[str, Any]:
    return dataclasses.asdict(self)

  @classmethod
  def from_json(cls, value: dict[str, Any]) -> 'Course':
    return cls(tuple(value['rows']), EarlyStopping(**value['stopping']))


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
  found = {'train': metrics.read(train), 'validation': metrics.read(validation)}
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
