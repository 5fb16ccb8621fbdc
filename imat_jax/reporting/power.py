"""What a study can see: the power of its comparisons."""

import bisect

import numpy as np
from scipy import optimize, special

from imat_jax.reporting.intervals import ALPHA
from imat_jax.reporting.statistics import Components

POWER = 0.8
MOST_SEEDS = 100  # of which `seeds_needed` tells


def detectable(error: float, dof: float, comparisons: int) -> float:
  """The smallest difference that a comparison finds with 80% probability.

  In the first step of Holm's correction: as where nothing else differs.

  Args:
    error: standard error of the difference, above 0.
    dof: its degrees of freedom.
    comparisons: of the study.
  """
  alpha = ALPHA / comparisons
  far = -10 * special.stdtrit(dof, alpha / 2)
  shift = optimize.brentq(
    lambda shift: _of_difference(shift, dof, alpha) - POWER, 0, far
  )
  return float(shift * error)


def seeds_needed(
  components: Components, margin: float, comparisons: int
) -> int | None:
  """How many seeds make a comparison conclusive at the margin.

  Where the difference is the margin they find one, where there is none they
  show that it is smaller, each with 80% probability or more.

  Args:
    components: of the difference between two networks, from the runs so far.
    margin: the smallest difference that matters.
    comparisons: of the study.

  Returns:
    None if `MOST_SEEDS` are too few, as where it takes more photos.
  """
  alpha = ALPHA / comparisons

  def is_enough(seeds: int) -> bool:
    error, dof = components.error(seeds)
    shift = margin / max(error, 1e-9)
    return (
      _of_difference(shift, dof, alpha) >= POWER
      and _of_equivalence(shift, dof, alpha) >= POWER
    )

  numbers = range(2, MOST_SEEDS + 1)
  place = bisect.bisect_left(numbers, True, key=is_enough)
  return numbers[place] if place < len(numbers) else None


# The mean is normal, about `shift` errors from 0 or about 0; what it is divided
# by has the distribution of chi, which stands here as its quantiles.


def _of_difference(shift: float, dof: float, alpha: float) -> float:
  """Of the two-sided t test, if the mean is `shift` errors from 0."""
  bound_Q = -special.stdtrit(dof, alpha / 2) * _chi(dof)
  seen_Q = special.ndtr(shift - bound_Q) + special.ndtr(-shift - bound_Q)
  return float(seen_Q.mean())


def _of_equivalence(shift: float, dof: float, alpha: float) -> float:
  """Of the two one-sided tests, if the mean is 0, the margin `shift` errors."""
  room_Q = shift + special.stdtrit(dof, alpha) * _chi(dof)
  return float(np.maximum(2 * special.ndtr(room_Q) - 1, 0).mean())


def _chi(dof: float) -> np.ndarray:
  """Estimated over true standard error, in quantiles."""
  share_Q = (np.arange(1000) + 0.5) / 1000
  return np.sqrt(special.chdtri(dof, 1 - share_Q) / dof)
