"""The statistics of a study: means over seeds, paired comparisons.

Seeds are the unit: each is a draw of the initial network, the order and the
augmentation. Runs of one seed share them, so differences are taken per seed.
Everything follows from one assumption, that the error of such a mean has
Student's distribution; docs/study.md says where it was measured to hold.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special  # scipy.stats takes a second to import

from imat_jax.reporting.intervals import ALPHA

BETTER, WORSE = 'better', 'worse'
SMALL = 'less than the margin'
SILENT = 'no evidence either way'


class Estimate(NamedTuple):
  """A mean with its standard error, NaN where nothing tells it."""

  mean: float
  error: float
  dof: float  # degrees of freedom of the error


class Interval(NamedTuple):
  """A mean with the bounds of its 95% interval; NaN where it has none."""

  mean: float
  low: float
  high: float


class McNemar(NamedTuple):
  """Of two classifiers on the same photos: where only one is right, and p."""

  only_first: int
  only_second: int
  p_value: float


class Components(NamedTuple):
  """What spreads a table of S seeds × N photos, as variances.

  Attributes:
    seeds: of the means of seeds.
    photos: of the photos' effects, without `rest`.
    rest: of what neither explains.
    num_photos: N.
  """

  seeds: float
  photos: float
  rest: float
  num_photos: int

  def error(self, num_seeds: int) -> tuple[float, float]:
    """Standard error of the mean over so many seeds, degrees of freedom.

    The sum of two errors, of the means of seeds and of the means of photos.
    Each has the rest, which so counts twice: as in the pigeonhole bootstrap of
    Owen (2007), that errs on the wide side. The degrees of freedom of the sum
    are those of Satterthwaite, "An approximate distribution of estimates of
    variance components" (1946).
    """
    of_seeds = self.seeds / num_seeds
    of_photos = (self.photos + self.rest / num_seeds) / self.num_photos
    square = of_seeds + of_photos
    if not square:
      return 0.0, num_seeds - 1
    dof = square**2 / (
      of_seeds**2 / (num_seeds - 1) + of_photos**2 / (self.num_photos - 1)
    )
    return math.sqrt(square), dof


def over_seeds(value_S: Sequence[float]) -> Estimate:
  """The mean for other seeds, on the same photos."""
  value_S = np.asarray(value_S, float)
  mean, number = float(value_S.mean()), len(value_S)
  if number < 2:
    return Estimate(mean, math.nan, 0)
  # Rounded, so that equal differences of accuracies are equal numbers.
  equal = np.ptp(np.round(value_S, 12)) == 0
  error = 0.0 if equal else value_S.std(ddof=1) / math.sqrt(number)
  return Estimate(mean, float(error), number - 1)


def over_seeds_and_photos(value_SxN: np.ndarray) -> Estimate:
  """The mean for other seeds and other photos of the same kind.

  Args:
    value_SxN: a number per seed and photo, such as 1 where only one of two
      networks is right, -1 where only the other is, and else 0.
  """
  mean, number = float(value_SxN.mean()), len(value_SxN)
  if min(value_SxN.shape) < 2:
    return Estimate(mean, math.nan, 0)
  return Estimate(mean, *components(value_SxN).error(number))


def components(value_SxN: np.ndarray) -> Components:
  """By the analysis of variance of two crossed factors, one value per cell."""
  seeds, photos = value_SxN.shape
  seed_S, photo_N = value_SxN.mean(1), value_SxN.mean(0)
  rest_SxN = value_SxN - seed_S[:, None] - photo_N + value_SxN.mean()
  rest = (rest_SxN**2).sum() / ((seeds - 1) * (photos - 1))
  of_photos = max(photo_N.var(ddof=1) - rest / seeds, 0)
  return Components(seed_S.var(ddof=1), of_photos, rest, photos)


def interval(
  estimate: Estimate, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
  """Student's interval, cut where the score ends.

  Args:
    estimate: the mean and its error. One of equal values has no interval: they
      do not tell how far others are.
    bounds: the lowest and the highest possible mean.
  """
  mean, error, dof = estimate
  if not error > 0:
    return Interval(mean, math.nan, math.nan)
  half = -special.stdtrit(dof, ALPHA / 2) * error
  low, high = np.clip([mean - half, mean + half], *bounds)
  return Interval(mean, float(low), float(high))


def p_value(estimate: Estimate) -> float:
  """Two-sided p of "the mean is 0": the t test."""
  return min(1.0, 2 * min(_above(estimate, 0), _below(estimate, 0)))


def equivalence_p_value(estimate: Estimate, margin: float) -> float:
  """p of "the mean is as far from 0 as the margin, or farther".

  Two one-sided tests of Schuirmann, "A comparison of the two one-sided tests
  procedure …" (1987).
  """
  return max(_above(estimate, -margin), _below(estimate, margin))


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
  fewer = min(only_first, only_second)
  one_sided = special.bdtr(fewer, discordant, 0.5)
  return McNemar(only_first, only_second, min(1.0, 2 * float(one_sided)))


def verdict(gain: float, p_value: float, p_equivalence: float = 1.0) -> str:
  """The verdict of a comparison: one of the constants above.

  Args:
    gain: the mean difference, above 0 where it is for the better.
    p_value: corrected.
    p_equivalence: corrected.
  """
  if p_value < ALPHA:
    return BETTER if gain > 0 else WORSE
  return SMALL if p_equivalence < ALPHA else SILENT


def _above(estimate: Estimate, bound: float) -> float:
  """One-sided p of "the mean is the bound, or less".

  Without an error that of the sign test: all values are on one side.
  """
  mean, error, dof = estimate
  if math.isnan(error):
    return 1.0
  if error == 0:
    return 0.5 ** (dof + 1) if mean > bound else 1.0
  return float(special.stdtr(dof, (bound - mean) / error))


def _below(estimate: Estimate, bound: float) -> float:
  mean, error, dof = estimate
  return _above(Estimate(-mean, error, dof), -bound)
