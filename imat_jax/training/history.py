"""How a run went so far: a row per finished epoch, and the early stopping."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from imat_jax import config, tasks
from imat_jax.training.early_stopping import EarlyStopping

_SCORES = ('loss', 'accuracy', 'macro_f1')  # of a task in a row


@dataclasses.dataclass(frozen=True)
class History:
  """The rows of `metrics.jsonl` and the state of the early stopping."""

  rows: tuple[dict[str, Any], ...] = ()
  stopping: EarlyStopping = EarlyStopping()
  seconds: float = 0.0  # of the epoch's steps so far

  def after(self, row: dict[str, Any], knobs: config.Stopping) -> 'History':
    """The course with one more epoch."""
    loss = row['total']['validation']
    stopping = self.stopping.after(row['epoch'], loss, knobs.min_delta)
    return History((*self.rows, row), stopping)

  def later(self, seconds: float) -> 'History':
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
    """JSON has no infinity, which the best loss is before there is one."""
    value = dataclasses.asdict(self)
    if self.stopping.best_loss == math.inf:
      del value['stopping']['best_loss']
    return value

  @classmethod
  def from_json(cls, value: dict[str, Any]) -> 'History':
    stopping = EarlyStopping(**(value['stopping'] or {}))
    return cls(tuple(value['rows']), stopping, value['seconds'])


def epoch_metrics(
  run: config.Run,
  names: Sequence[str],
  *,
  epoch: int,
  step: int,
  seconds: float,
  num_examples: int,
  train: Mapping[str, Any],
  validation: Mapping[str, Any],
  cosines: Sequence[dict[str, Any]],
) -> dict[str, Any]:
  """A row of `metrics.jsonl`.

  Args:
    run: the config.
    names: the run's tasks.
    epoch, step: at whose end this is.
    seconds: the time of the epoch's steps.
    num_examples: in the train split.
    train, validation: what `metrics.compute` found.
    cosines: what `gradient_similarity.read` found.

  Returns:
    the row; `total` is the weighted sum of the tasks' losses, to which one
    without a labelled photo adds 0; None where there is no labelled photo.
  """
  found = {'train': train, 'validation': validation}
  weights = tasks.weights(len(names), run.task_weight_decay)
  shown = {
    split: {
      name: {key: results[name][key] for key in _SCORES} for name in names
    }
    for split, results in found.items()
  }
  totals = {
    split: _total([results[name]['loss'] for name in names], weights)
    for split, results in found.items()
  }
  return {
    'epoch': epoch,
    'step': step,
    'seconds': round(seconds, 3),
    'examples_per_second': round(num_examples / seconds, 1),
    **shown,
    'total': totals,
    'cosines': cosines,
  }


def _total(
  losses: Sequence[float | None], weights: Sequence[float]
) -> float | None:
  if all(loss is None for loss in losses):
    return None
  pairs = zip(losses, weights, strict=True)
  return sum(weight * (loss or 0.0) for loss, weight in pairs)
