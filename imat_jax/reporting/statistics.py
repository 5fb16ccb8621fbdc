"""The statistics of a study: intervals over seeds, paired comparisons.

Seeds are the unit: each is a draw of the initial network, the order and the
augmentation. Runs of one seed share them, so differences are taken per seed.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from imat_jax.reporting.intervals import ALPHA

_RESAMPLES = 10_000
_TWO_LEVEL_RESAMPLES = 2_000  # each is as large as the split
SILENT = 'no evidence either way'


class Interval(NamedTuple):
  """A mean over S seeds with the bounds of its 95% interval."""

  mean: float
  low: float
  high: float


class McNemar(NamedTuple):
  """Of two classifiers on the same photos: where only one is right, and p."""

  only_first: int
  only_second: int
  p_value: float


def bca_interval(value_S: Sequence[float], seed: int = 0) -> Interval:
  """The mean with a bias-corrected and accelerated bootstrap interval.

  Efron, "Better bootstrap confidence intervals" (1987). For a handful of values
  it is too narrow, for two reasons that Hesterberg, "What teachers should know
  about the bootstrap" (2015), section 4.1 gives: the spread of n values is
  underestimated by sqrt((n - 1) / n), and the normal distribution replaces
  Student's t. Stretching the interval about the mean corrects both.

  Args:
    value_S: a number per seed.
    seed: of the resampling.

  Returns:
    bounds that are NaN for fewer than two values.
  """
  value_S = np.asarray(value_S, float)
  number, mean = len(value_S), float(np.mean(value_S))
  if number < 2:
    return Interval(mean, math.nan, math.nan)
  if np.ptp(value_S) == 0:
    return Interval(mean, mean, mean)
  interval = stats.bootstrap(
    (value_S,),
    np.mean,
    n_resamples=_RESAMPLES,
    confidence_level=1 - ALPHA,
    method='BCa',
    rng=np.random.default_rng(seed),
  ).confidence_interval
  student = stats.t.ppf(ALPHA / 2, number - 1) / stats.norm.ppf(ALPHA / 2)
  stretch = student * math.sqrt(number / (number - 1))
  return Interval(
    mean,
    mean + stretch * (float(interval.low) - mean),
    mean + stretch * (float(interval.high) - mean),
  )


def sign_flip_p_value(difference_S: Sequence[float]) -> float:
  """Two-sided p of "the differences are symmetric about 0".

  The exact permutation test of Fisher, "The design of experiments" (1935),
  section 21: the mean under every choice of signs. From 20 seeds on the choices
  are drawn at random.
  """
  # Rounded, so that equal sums of accuracies are equal numbers.
  difference_S = np.round(np.asarray(difference_S, float), 12)
  if len(difference_S) < 2:
    return 1.0
  return float(
    stats.permutation_test(
      (difference_S,),
      np.mean,
      permutation_type='samples',
      n_resamples=2**20 - 1,
      vectorized=True,
      batch=2**14,
      rng=np.random.default_rng(0),
    ).pvalue
  )


def smallest_p_value(num_seeds: int, num_comparisons: int = 1) -> float:
  """The smallest p of the sign-flip test, Holm-corrected."""
  return min(1.0, num_comparisons * 2.0 ** (1 - num_seeds))


def holm(p_values: Sequence[float]) -> list[float]:
  """p values corrected for multiple comparisons.

  Holm, "A simple sequentially rejective multiple test procedure" (1979).
  """
  order = np.argsort(p_values, kind='stable')
  remaining = np.arange(len(p_values), 0, -1)
  adjusted = np.maximum.accumulate(np.asarray(p_values)[order] * remaining)
  result = np.empty(len(p_values))
  result[order] = np.minimum(adjusted, 1)
  return result.tolist()


def mcnemar(first_N: np.ndarray, second_N: np.ndarray) -> McNemar:
  """The exact test of McNemar, "Note on the sampling error …" (1947).

  Args:
    first_N, second_N: whether each classifier is right on each photo.
  """
  only_first = int((first_N & ~second_N).sum())
  only_second = int((~first_N & second_N).sum())
  discordant = only_first + only_second
  p_value = (
    stats.binomtest(only_first, discordant).pvalue if discordant else 1.0
  )
  return McNemar(only_first, only_second, float(p_value))


def two_level_interval(difference_SxN: np.ndarray, seed: int = 0) -> Interval:
  """The mean with an interval for other seeds and other photos.

  Resamples both at once, the "pigeonhole" bootstrap of Owen, "The pigeonhole
  bootstrap" (2007), which errs on the wide side.

  Args:
    difference_SxN: a number per seed and photo, such as 1 where only one of two
      networks is right, -1 where only the other is, and else 0.
    seed: of the resampling.
  """
  rng = np.random.default_rng(seed)
  seeds, photos = difference_SxN.shape
  means = []
  for _ in range(_TWO_LEVEL_RESAMPLES // 500):  # in parts, for memory
    weight_RxS = rng.multinomial(seeds, np.full(seeds, 1 / seeds), 500)
    weight_RxN = rng.multinomial(photos, np.full(photos, 1 / photos), 500)
    means.append(((weight_RxS @ difference_SxN) * weight_RxN).sum(1))
  mean_R = np.concatenate(means) / (seeds * photos)
  low, high = np.quantile(mean_R, [ALPHA / 2, 1 - ALPHA / 2])
  return Interval(float(difference_SxN.mean()), float(low), float(high))


def verdict(gain: float, p_value: float) -> str:
  """The verdict of a comparison: 'better', 'worse', or `SILENT`.

  Args:
    gain: the mean difference, above 0 where it is for the better.
    p_value: corrected.
  """
  if p_value >= ALPHA:
    return SILENT
  return 'better' if gain > 0 else 'worse'
