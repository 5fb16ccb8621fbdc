"""Whether training ended too early: the slope of the last epochs."""

import math
from collections.abc import Sequence

import numpy as np

from imat_jax.reporting import statistics

_FEWEST = 3  # epochs through which a line is laid


def slope(curves: Sequence[Sequence[float]]) -> statistics.Interval | None:
  """By how much a loss changes per epoch at the end of training.

  The slope of the least-squares line through the last third of a run's epochs;
  its interval is over seeds: their spread is the noise.

  Args:
    curves: a loss per epoch of each seed.

  Returns:
    None for one seed, and where a run has too few epochs.
  """
  if len(curves) < 2 or min(map(len, curves)) < _FEWEST:
    return None
  return statistics.interval(statistics.over_seeds([*map(_slope, curves)]))


def _slope(curve: Sequence[float]) -> float:
  number = max(_FEWEST, math.ceil(len(curve) / 3))
  return float(np.polyfit(np.arange(number), curve[-number:], 1)[0])


def still_falls(of_loss: statistics.Interval, min_delta: float) -> bool:
  """Whether more epochs would go on to improve a loss.

  Args:
    of_loss: its slope.
    min_delta: a smaller fall per epoch is no change, as for early stopping.
  """
  return of_loss.high < -min_delta  # not where it is NaN
