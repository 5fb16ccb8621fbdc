"""Calibration: is a network's confidence equal to its accuracy?

Its confidence in a photo is the probability of the label that it predicts. It
is calibrated if it is right on 80% of the photos on which its confidence is
0.8. The measures, and temperature scaling as the fix, are those of Guo et al.,
"On calibration of modern neural networks" (2017).
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize

from imat_jax.training import scores

NUM_BINS = 15
_RESAMPLES = 1_000
_AT_ONCE = 100  # resamples, to limit memory
# Bounds of the search: an optimum outside is clipped to the nearer one.
_COLDEST, _HOTTEST = 0.05, 20.0


class Bins(NamedTuple):
  """Photos by their confidence, in M bins of equal width: (0, 1/M], …

  An empty bin has the means 0.
  """

  count_M: np.ndarray
  confidence_M: np.ndarray  # its mean
  accuracy_M: np.ndarray


class ByChance(NamedTuple):
  """What is expected by chance of a calibrated network on as many photos."""

  error: float  # the mean of its expected calibration error
  low_M: np.ndarray  # the accuracy of 95% of such networks is in this range
  high_M: np.ndarray


def bins(right_N: np.ndarray, confidence_N: np.ndarray) -> Bins:
  """The reliability diagram.

  Args:
    right_N: whether each photo's prediction is correct.
    confidence_N: the probability of that prediction.
  """
  bin_N = _bin(confidence_N)
  count_M = np.bincount(bin_N, minlength=NUM_BINS)
  confidence_M, accuracy_M = (
    scores.divide(np.bincount(bin_N, weights, NUM_BINS), count_M)
    for weights in (confidence_N, right_N)
  )
  return Bins(count_M, confidence_M, accuracy_M)


def expected_error(diagram: Bins) -> float:
  """The expected calibration error (ECE): the mean gap, weighted by photos.

  Guo et al. (2017), equation 3. Chance alone raises it, see `by_chance`.
  """
  gap_M = np.abs(diagram.accuracy_M - diagram.confidence_M)
  return float(diagram.count_M @ gap_M / diagram.count_M.sum())


def by_chance(confidence_N: np.ndarray, seed: int = 0) -> ByChance:
  """The diagram of calibrated networks that are as confident in each photo.

  Such a network is right about a photo with the probability that it states, as
  in Bröcker and Smith, "Increasing the reliability of reliability diagrams"
  (2007).

  Args:
    confidence_N: the probability of each photo's prediction.
    seed: of the draws.
  """
  rng = np.random.default_rng(seed)
  in_bin_NxM = _bin(confidence_N)[:, None] == np.arange(NUM_BINS)
  count_M = in_bin_NxM.sum(0)
  right_RxM = np.concatenate(
    [
      (rng.random((_AT_ONCE, len(confidence_N))) < confidence_N).astype(float)
      @ in_bin_NxM
      for _ in range(_RESAMPLES // _AT_ONCE)
    ]
  )
  gap_RxM = np.abs(right_RxM - confidence_N @ in_bin_NxM)
  low_M, high_M = np.quantile(right_RxM, [0.025, 0.975], axis=0)
  error = gap_RxM.sum(1).mean() / len(confidence_N)
  low_M, high_M = (scores.divide(x_M, count_M) for x_M in (low_M, high_M))
  return ByChance(float(error), low_M, high_M)


def log_probabilities(
  logits_NxK: np.ndarray, temperature: float = 1.0
) -> np.ndarray:
  """The log of the softmax of logits / temperature, N × K, in float64."""
  scaled_NxK = logits_NxK.astype(np.float64) / temperature
  scaled_NxK -= scaled_NxK.max(1, keepdims=True)
  return scaled_NxK - np.log(np.exp(scaled_NxK).sum(1, keepdims=True))


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


def _bin(confidence_N: np.ndarray) -> np.ndarray:
  index_N = np.ceil(confidence_N * NUM_BINS).astype(int) - 1
  return np.clip(index_N, 0, NUM_BINS - 1)
