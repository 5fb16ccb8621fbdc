"""The statistics of a study: intervals over seeds, paired comparisons.

Seeds are the unit: each is a draw of the initial network, the order and the
augmentation. Runs of one seed share them, so differences are taken per seed.
Of a run alone there are intervals over photos.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

ALPHA = 0.05  # so intervals are of 95%
_RESAMPLES = 10_000
_TWO_LEVEL_RESAMPLES = 2_000  # each is as large as the split
SILENT = 'no evidence either way'

# Of each of R confusion matrices, such as `scores.accuracy`.
Score = Callable[[np.ndarray], np.ndarray]


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


def photo_interval(
  confusion_KxK: np.ndarray,
  score: Score,
  seed: int = 0,
) -> tuple[float, float] | None:
  """The 95% interval of a network's score for other photos of the same kind.

  The bias-corrected and accelerated bootstrap over photos of Efron, "Better
  bootstrap confidence intervals" (1987). Drawing photos with replacement equals
  drawing the cells of their confusion matrix from a multinomial distribution;
  leaving one out equals subtracting 1 from a cell: both are exact, and fast.

  The correction is for the macro F1: where labels are rare, that of a resample
  tends to be too low, and its plain percentiles miss the truth. It does not fix
  everything: in simulations (docs/evaluation.md) the interval of a macro F1
  covers the truth in 95% where each label has ten photos, with three in 90%.

  Args:
    confusion_KxK: counts of photos.
    score: whose interval to compute.
    seed: of the resampling.

  Returns:
    the bounds; None for fewer than two photos, or where every resample has the
    same score (such as where each photo is classified correctly).
  """
  photos = int(confusion_KxK.sum())
  if photos < 2:
    return None
  score_R = _of_resamples(confusion_KxK, score, seed)
  if np.ptp(score_R) == 0:
    return None
  observed = score(confusion_KxK)
  share_below = ((score_R < observed).mean() + (score_R <= observed).mean()) / 2
  # At least half a resample is assumed to lie on either side.
  smallest = 0.5 / _RESAMPLES
  bias = stats.norm.ppf(np.clip(share_below, smallest, 1 - smallest))
  bound = bias + stats.norm.ppf([ALPHA / 2, 1 - ALPHA / 2])
  # The divisor is above 0: the bounds are within ±6, acceleration within ±1/6.
  bound /= 1 - _acceleration(confusion_KxK, score) * bound
  low, high = np.quantile(score_R, stats.norm.cdf(bias + bound))
  return float(low), float(high)


def _of_resamples(
  confusion_KxK: np.ndarray, score: Score, seed: int
) -> np.ndarray:
  """The scores of as many photos each, drawn with replacement."""
  rng = np.random.default_rng(seed)
  photos, cells = confusion_KxK.sum(), np.nonzero(confusion_KxK)
  parts = []
  for _ in range(_RESAMPLES // 500):  # in parts, for memory
    drawn_RxKxK = np.zeros((500, *confusion_KxK.shape), int)
    drawn_RxKxK[:, *cells] = rng.multinomial(
      photos, confusion_KxK[cells] / photos, 500
    )
    parts.append(score(drawn_RxKxK))
  return np.concatenate(parts)


def _acceleration(confusion_KxK: np.ndarray, score: Score) -> float:
  """From the leave-one-out scores; those of a cell's photos are equal."""
  cells = np.nonzero(confusion_KxK)
  number_C = confusion_KxK[cells]
  without_CxKxK = np.repeat(confusion_KxK[None], len(number_C), 0)
  without_CxKxK[np.arange(len(number_C)), *cells] -= 1
  score_C = score(without_CxKxK)
  influence_C = number_C @ score_C / number_C.sum() - score_C
  spread = (number_C @ influence_C**2) ** 1.5
  return float(number_C @ influence_C**3 / (6 * spread)) if spread else 0.0


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
