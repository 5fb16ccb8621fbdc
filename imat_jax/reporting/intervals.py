"""Intervals of a run's scores, for other photos of the same kind."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special  # scipy.stats takes a second to import

from imat_jax.training import scores

ALPHA = 0.05  # so intervals are of 95%
_RESAMPLES = 10_000

# Of each of R confusion matrices, such as `scores.accuracy`.
Score = Callable[[np.ndarray], np.ndarray]


def of_scores(
  metrics: Mapping[str, Any],
) -> dict[str, tuple[float, float] | None]:
  """The 95% interval of each score of a task, by SCORE_interval.

  Args:
    metrics: of `evaluation.json`.
  """
  confusion_KxK = np.array(metrics['confusion_matrix'])
  return {
    f'{name}_interval': photo_interval(confusion_KxK, metric.value)
    for name, metric in scores.METRICS.items()
    if not metric.sums
  }


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
  bias = special.ndtri(np.clip(share_below, smallest, 1 - smallest))
  bound = bias + special.ndtri([ALPHA / 2, 1 - ALPHA / 2])
  # The divisor is above 0: the bounds are within ±6, acceleration within ±1/6.
  bound /= 1 - _acceleration(confusion_KxK, score) * bound
  low, high = np.quantile(score_R, special.ndtr(bias + bound))
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
