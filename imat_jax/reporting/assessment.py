"""An evaluation with intervals, calibration, and temperature scaling."""

from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, special

from imat_jax import tasks
from imat_jax.reporting import calibration, intervals
from imat_jax.training import scoring
from imat_jax.training.trained_model import TrainedModel

# Bounds of the search: an optimum outside is clipped to the nearer one.
_COLDEST, _HOTTEST = 0.05, 20.0


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
    metrics |= intervals.of_scores(metrics)
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


def calibrated(
  photos: Labelled, temperature: float = 1.0
) -> dict[str, Any] | None:
  """The calibration of a task's probabilities.

  Args:
    photos: the outputs for its labelled photos.
    temperature: by which the logits are divided.

  Returns:
    the `count` of photos, `loss`, `brier` and what `calibration.reliability`
    returns; None without a photo.
  """
  label_N = photos.label_N
  if not len(label_N):
    return None
  log_prob_NxK = log_probabilities(photos.logits_NxK, temperature)
  return {
    'count': len(label_N),
    'loss': log_loss(log_prob_NxK, label_N),
    'brier': brier(log_prob_NxK, label_N),
  } | calibration.reliability(
    log_prob_NxK.argmax(1) == label_N, np.exp(log_prob_NxK.max(1))
  )


def log_probabilities(
  logits_NxK: np.ndarray, temperature: float = 1.0
) -> np.ndarray:
  """The log of the softmax of logits / temperature, N × K, in float64."""
  scaled_NxK = logits_NxK.astype(np.float64) / temperature
  return special.log_softmax(scaled_NxK, axis=1)


def log_loss(log_prob_NxK: np.ndarray, label_N: np.ndarray) -> float:
  """The mean negative log likelihood of the labels, in nats."""
  return float(-np.take_along_axis(log_prob_NxK, label_N[:, None], 1).mean())


def brier(log_prob_NxK: np.ndarray, label_N: np.ndarray) -> float:
  """The mean squared distance from probabilities to truth, between 0 and 2.

  The sum over the labels of Brier, "Verification of forecasts expressed in
  terms of probability" (1950); for two labels some halve it.
  """
  true_NxK = label_N[:, None] == np.arange(log_prob_NxK.shape[1])
  return float(((np.exp(log_prob_NxK) - true_NxK) ** 2).sum(1).mean())


def fit_temperature(logits_NxK: np.ndarray, label_N: np.ndarray) -> float:
  """The temperature that minimizes the log loss of logits / temperature.

  Guo et al. (2017), section 4.2. The loss is convex in 1 / temperature, so
  it has one minimum.

  Args:
    logits_NxK: of photos that the network was not trained on.
    label_N: their labels, none missing.

  Returns:
    between 0.05 and 20; above 1 for an overconfident network.
  """

  def loss(log_temperature: float) -> float:
    temperature = np.exp(log_temperature)
    return log_loss(log_probabilities(logits_NxK, temperature), label_N)

  bounds = np.log([_COLDEST, _HOTTEST])
  return float(np.exp(optimize.minimize_scalar(loss, bounds=bounds).x))


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
  value = fit_temperature(*calibration_photos)
  return {
    'value': value,
    'fitted_count': len(calibration_photos.label_N),
    'before': calibrated(test_photos),
    'after': calibrated(test_photos, value),
  }
