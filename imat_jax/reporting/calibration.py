"""Calibration: is a network's confidence equal to its accuracy?

Its confidence in a photo is the probability of the label that it predicts. It
is calibrated if it is right on 80% of the photos on which its confidence is
0.8. The measures are those of Guo et al., "On calibration of modern neural
networks" (2017); the fix, temperature scaling, is in `assessment`.
"""

from typing import Any, NamedTuple

import numpy as np

from imat_jax.training import scores

NUM_BINS = 15
_RESAMPLES = 1_000
_AT_ONCE = 100  # resamples, to limit memory


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
  diagram = bins(right_N, confidence_N)
  chance = by_chance(confidence_N)
  return {
    'accuracy': float(right_N.mean()),
    'confidence': float(confidence_N.mean()),
    'ece': expected_error(diagram),
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


def _bin(confidence_N: np.ndarray) -> np.ndarray:
  index_N = np.ceil(confidence_N * NUM_BINS).astype(int) - 1
  return np.clip(index_N, 0, NUM_BINS - 1)
