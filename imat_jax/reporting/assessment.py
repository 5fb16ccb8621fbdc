"""Confidence intervals and calibration of a run's scores."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from imat_jax import tasks
from imat_jax.reporting import calibration, statistics
from imat_jax.training import scores, scoring
from imat_jax.training.trained_model import TrainedModel


class Labelled(NamedTuple):
  """A network's outputs for a task's N labelled photos."""

  logits_NxK: np.ndarray  # -inf past the last label
  label_N: np.ndarray


def assess(
  trained: TrainedModel, outputs: scoring.Outputs, split: str
) -> dict[str, Any]:
  """A run's evaluation, with intervals and calibration for every task."""
  evaluation = scoring.score(trained, outputs, split)
  for name, metrics in evaluation['tasks'].items():
    photos = labelled(outputs, trained.task_set, name)
    metrics |= intervals(np.array(metrics['confusion_matrix']))
    metrics['calibration'] = calibrated(photos)
  return evaluation


def rescale(
  task_set: tasks.TaskSet,
  calibration_outputs: scoring.Outputs,
  test_outputs: scoring.Outputs,
) -> dict[str, dict[str, Any] | None]:
  """Fits a temperature per task and evaluates it on other photos.

  Args:
    task_set: the tasks of the outputs.
    calibration_outputs: to fit the temperatures on.
    test_outputs: to evaluate them on.

  Returns:
    by task: its `value`, the `fitted_count` of photos, and what `calibrated`
    returns `before` and `after`; None where either has no labelled photo.
  """
  return {
    name: _rescale(
      labelled(calibration_outputs, task_set, name),
      labelled(test_outputs, task_set, name),
    )
    for name in task_set.names
  }


def commonest_accuracy(
  metrics: Mapping[str, Any], train_counts: Mapping[str, int]
) -> float | None:
  """The accuracy of always predicting the commonest train label.

  Args:
    metrics: of `evaluation.json`, a task's `labels`, `support` and `count`.
    train_counts: label → train photos, as in `statistics.json`.
  """
  if not metrics['count']:
    return None
  commonest = max(metrics['labels'], key=lambda name: train_counts.get(name, 0))
  return (
    metrics['support'][metrics['labels'].index(commonest)] / metrics['count']
  )


def intervals(
  confusion_KxK: np.ndarray,
) -> dict[str, tuple[float, float] | None]:
  """The 95% intervals of a task's scores, for other photos of the same kind."""
  return {
    f'{name}_interval': statistics.photo_interval(confusion_KxK, metric.value)
    for name, metric in scores.METRICS.items()
    if not metric.sums
  }


def calibrated(
  photos: Labelled, temperature: float = 1.0
) -> dict[str, Any] | None:
  """The calibration of a task's probabilities.

  Args:
    photos: the outputs for its labelled photos.
    temperature: by which the logits are divided.

  Returns:
    the `count` of photos, `loss`, `brier` and what `reliability` returns;
    None without a photo.
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
  """Whether a network's accuracy equals its confidence.

  Args:
    right_N: whether each photo's prediction is correct; at least one photo.
    confidence_N: the probability of that prediction.

  Returns:
    the mean `accuracy` and `confidence`, the `ece`, the `ece_by_chance`
    expected by chance of calibrated probabilities, and the nonempty `bins`.
  """
  diagram = calibration.bins(right_N, confidence_N)
  chance = calibration.by_chance(confidence_N)
  return {
    'accuracy': float(right_N.mean()),
    'confidence': float(confidence_N.mean()),
    'ece': calibration.expected_error(diagram),
    'ece_by_chance': chance.error,
    'bins': [
      {
        'count': int(diagram.count_M[m]),
        'confidence': float(diagram.confidence_M[m]),
        'accuracy': float(diagram.accuracy_M[m]),
        'by_chance': [float(chance.low_M[m]), float(chance.high_M[m])],
      }
      for m in np.flatnonzero(diagram.count_M)
    ],
  }


def labelled(
  outputs: scoring.Outputs, task_set: tasks.TaskSet, name: str
) -> Labelled:
  """The photos that have a label of the task."""
  column = task_set.names.index(name)
  label_N = outputs.label_NxT[:, column]
  has_label_N = label_N != tasks.MISSING
  return Labelled(
    outputs.logits_NxTxK[has_label_N, column], label_N[has_label_N]
  )


def halves(outputs: scoring.Outputs) -> tuple[scoring.Outputs, scoring.Outputs]:
  """The photos in two random halves, the same ones each time."""
  order_N = np.random.default_rng(0).permutation(len(outputs.label_NxT))
  first, second = (
    scoring.Outputs(*(part[half] for part in outputs))
    for half in np.array_split(order_N, 2)
  )
  return first, second


def _rescale(
  calibration_photos: Labelled, test_photos: Labelled
) -> dict[str, Any] | None:
  if not len(calibration_photos.label_N) or not len(test_photos.label_N):
    return None
  value = calibration.fit_temperature(*calibration_photos)
  return {
    'value': value,
    'fitted_count': len(calibration_photos.label_N),
    'before': calibrated(test_photos),
    'after': calibrated(test_photos, value),
  }
