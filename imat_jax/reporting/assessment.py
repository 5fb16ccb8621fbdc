"""How far the scores of a run can be trusted: intervals and calibration."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from imat_jax import tasks
from imat_jax.reporting import calibration, statistics
from imat_jax.training import scores, scoring
from imat_jax.training.trained_model import TrainedModel

_INTERVALS = {
  'accuracy_interval': scores.accuracies,
  'macro_f1_interval': scores.macro_f1s,
}


class Labelled(NamedTuple):
  """What a network says of a task's N labelled photos."""

  logits_NxK: np.ndarray  # -inf behind the last label
  label_N: np.ndarray


def assess(
  trained: TrainedModel, said: scoring.Outputs, split: str
) -> dict[str, Any]:
  """A run's evaluation, with intervals and calibration for every task."""
  evaluation = scoring.score(trained, said, split)
  for name, found in evaluation['tasks'].items():
    photos = labelled(said, trained.task_set, name)
    found |= intervals(np.array(found['confusion_matrix']))
    found['calibration'] = calibrated(photos)
  return evaluation


def rescale(
  task_set: tasks.TaskSet, fitted: scoring.Outputs, tried: scoring.Outputs
) -> dict[str, dict[str, Any] | None]:
  """A temperature per task, and what it does to other photos.

  Args:
    task_set: the tasks of the outputs.
    fitted: on which the temperatures are fitted.
    tried: on which they are tried.

  Returns:
    by task: its `value`, the `fitted_count` of photos, and what `calibrated`
    says `before` and `after`; None where either has no labelled photo.
  """
  return {
    name: _rescale(
      labelled(fitted, task_set, name), labelled(tried, task_set, name)
    )
    for name in task_set.names
  }


def commonest_accuracy(
  found: Mapping[str, Any], train_counts: Mapping[str, int]
) -> float | None:
  """How often a network is right that always says the commonest train label.

  Args:
    found: of `evaluation.json`, a task's `labels`, `support` and `count`.
    train_counts: label → train photos, as in `statistics.json`.
  """
  if not found['count']:
    return None
  commonest = max(found['labels'], key=lambda name: train_counts.get(name, 0))
  return found['support'][found['labels'].index(commonest)] / found['count']


def intervals(
  confusion_KxK: np.ndarray,
) -> dict[str, tuple[float, float] | None]:
  """The 95% intervals of a task's scores, for other photos of the same kind."""
  return {
    name: statistics.photo_interval(confusion_KxK, score)
    for name, score in _INTERVALS.items()
  }


def calibrated(
  photos: Labelled, temperature: float = 1.0
) -> dict[str, Any] | None:
  """How well a task's probabilities fit what is true.

  Args:
    photos: what is said of them.
    temperature: by which the logits are divided.

  Returns:
    the `count` of photos, `loss`, `brier` and what `reliability` says; None
    without a photo.
  """
  label_N = photos.label_N
  if not len(label_N):
    return None
  log_prob_NxK = calibration.log_probabilities(photos.logits_NxK, temperature)
  return {
    'count': len(label_N),
    'loss': calibration.log_loss(log_prob_NxK, label_N),
    'brier': calibration.brier(log_prob_NxK, label_N),
  } | reliability(
    log_prob_NxK.argmax(1) == label_N, np.exp(log_prob_NxK.max(1))
  )


def reliability(
  right_N: np.ndarray, confidence_N: np.ndarray
) -> dict[str, Any]:
  """Whether a network is right as often as it is sure.

  Args:
    right_N: whether each photo's guess is right; at least one photo.
    confidence_N: the probability of that guess.

  Returns:
    the mean `accuracy` and `confidence`, the `ece`, the `ece_by_chance` that
    calibrated probabilities would have, and `bins`, those that hold photos.
  """
  found = calibration.bins(right_N, confidence_N)
  chance = calibration.by_chance(confidence_N)
  return {
    'accuracy': float(right_N.mean()),
    'confidence': float(confidence_N.mean()),
    'ece': calibration.expected_error(found),
    'ece_by_chance': chance.error,
    'bins': [
      {
        'count': int(found.count_M[m]),
        'confidence': float(found.confidence_M[m]),
        'accuracy': float(found.accuracy_M[m]),
        'by_chance': [float(chance.low_M[m]), float(chance.high_M[m])],
      }
      for m in np.flatnonzero(found.count_M)
    ],
  }


def labelled(
  said: scoring.Outputs, task_set: tasks.TaskSet, name: str
) -> Labelled:
  """The photos that have a label of the task."""
  column = task_set.names.index(name)
  label_N = said.label_NxT[:, column]
  kept_N = label_N != tasks.MISSING
  return Labelled(said.logits_NxTxK[kept_N, column], label_N[kept_N])


def halves(said: scoring.Outputs) -> tuple[scoring.Outputs, scoring.Outputs]:
  """The photos in two halves at random, the same ones each time."""
  order_N = np.random.default_rng(0).permutation(len(said.label_NxT))
  first, second = (
    scoring.Outputs(*(part[half] for part in said))
    for half in np.array_split(order_N, 2)
  )
  return first, second


def _rescale(fitted: Labelled, tried: Labelled) -> dict[str, Any] | None:
  if not len(fitted.label_N) or not len(tried.label_N):
    return None
  value = calibration.fit_temperature(*fitted)
  return {
    'value': value,
    'fitted_count': len(fitted.label_N),
    'before': calibrated(tried),
    'after': calibrated(tried, value),
  }
