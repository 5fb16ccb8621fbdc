"""What a run has behind it: a row per finished epoch, and early stopping."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from imat_jax import config, tasks
from imat_jax.strategies import Strategy
from imat_jax.training import scores


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
  """The best epoch so far, and how long ago it was.

  As in Keras's callback, an epoch is better when its loss is lower than the
  best by more than `min_delta`; the parameters of the best epoch are kept.
  """

  best_loss: float = math.inf
  best_epoch: int = 0
  waited: int = 0

  def update(
    self, epoch: int, loss: float | None, min_delta: float
  ) -> 'EarlyStopping':
    """The state after one more epoch, numbered from 1.

    Without a loss, as no validation photo has a label, the last epoch is kept
    and nothing stops.
    """
    if loss is None:
      return EarlyStopping(math.inf, epoch, 0)
    if loss < self.best_loss - min_delta:
      return EarlyStopping(loss, epoch, 0)
    return dataclasses.replace(self, waited=self.waited + 1)


@dataclasses.dataclass(frozen=True)
class History:
  """The rows of `metrics.jsonl` and the state of the early stopping."""

  rows: tuple[dict[str, Any], ...] = ()
  stopping: EarlyStopping = EarlyStopping()
  seconds: float = 0.0  # of the epoch's steps so far
  look_ahead: tuple[dict[str, Any], ...] = ()  # of the epoch so far

  def append(
    self,
    row: dict[str, Any],
    stopping: config.Stopping,
    may_be_best: bool = True,
  ) -> 'History':
    """The history with one more epoch.

    Args:
      row: of the epoch.
      stopping: how the best one is chosen.
      may_be_best: else it is only kept until another one is there.
    """
    loss = selection_loss(row, stopping) if may_be_best else None
    state = self.stopping.update(row['epoch'], loss, stopping.min_delta)
    return History((*self.rows, row), state)

  def add_seconds(self, seconds: float) -> 'History':
    """The history after so many more seconds of training."""
    return dataclasses.replace(self, seconds=self.seconds + seconds)

  def add_look_ahead(self, gains: dict[str, float]) -> 'History':
    """The history with the gain of each task that could be looked at."""
    return dataclasses.replace(self, look_ahead=(*self.look_ahead, gains))

  @property
  def best_step(self) -> int:
    """The step of the best epoch; 0 before the first one ends."""
    epoch = self.stopping.best_epoch
    return self.rows[epoch - 1]['step'] if epoch else 0

  def stopped_early(self, run: config.Run) -> bool:
    # Of the config, not stored: more --epochs wake a run that had stopped.
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
    look_ahead = tuple(value.get('look_ahead', ()))
    return cls(tuple(value['rows']), stopping, value['seconds'], look_ahead)


def selection_loss(
  row: Mapping[str, Any], stopping: config.Stopping
) -> float | None:
  """The validation loss of a row by which epochs are compared; None: no label.

  In a study it is that of the compared task for every arm: chosen by the total,
  an arm with more tasks would stop where these do best.
  """
  if stopping.select_by == 'main':
    main = next(iter(row['validation'].values()))  # the first task
    return main['loss']
  # Strategies weigh the tasks, so it is theirs to say what the total is.
  return row['total']['validation']


def epoch_metrics(
  run: config.Run,
  names: Sequence[str],
  strategy: Strategy,
  *,
  epoch: int,
  step: int,
  seconds: float,
  num_examples: int,
  train: Mapping[str, Any],
  validation: Mapping[str, Any],
  cosines: Sequence[dict[str, Any]],
  look_ahead: Sequence[dict[str, float]],
) -> dict[str, Any]:
  """A row of `metrics.jsonl`.

  Args:
    run: the config.
    names: the run's tasks.
    strategy: whose total is the objective of early stopping.
    epoch, step: at whose end this is.
    seconds: the time of the epoch's steps.
    num_examples: in the train split.
    train, validation: what `scoring.compute` gives.
    cosines: what `gradient_similarity.read` gives.
    look_ahead: at each step that looked ahead, the gain of each task.

  Returns:
    the row; a `total` is None where there is no labelled photo.
  """
  by_split = {'train': train, 'validation': validation}
  weights = tasks.weights(len(names), run.task_weight_decay)
  shown = ['loss'] + [
    name for name, metric in scores.METRICS.items() if metric.every_epoch
  ]
  by_task = {
    split: {name: {key: results[name][key] for key in shown} for name in names}
    for split, results in by_split.items()
  }
  totals = {
    split: strategy.total([results[name]['loss'] for name in names], weights)
    for split, results in by_split.items()
  }
  return {
    'epoch': epoch,
    'step': step,
    'seconds': round(seconds, 3),
    'examples_per_second': round(num_examples / seconds, 1),
    **by_task,
    'total': totals,
    'cosines': cosines,
    **({'look_ahead': list(look_ahead)} if look_ahead else {}),
  }
