"""When a study warns that training ended too early."""

import numpy as np
import pytest
from scipy import stats

from imat_jax.reporting import convergence

EPOCH = np.arange(20)
# What the loss does without noise, and whether more epochs would help.
CURVES = {
  'still falling': (1.3 * np.exp(-EPOCH / 20), True),
  'in a straight line': (1.3 - 0.01 * EPOCH, True),
  'converged': (1 + np.exp(-EPOCH / 2), False),
  'flat': (np.ones(20), False),
  'overfitting': (1 + 0.001 * (EPOCH - 8) ** 2, False),
  'by less than min_delta': (1.3 - 0.0005 * EPOCH, False),
}


def _noisy(curve, seed=0, seeds=8):
  """Each epoch of each seed with noise of its own."""
  return curve + np.random.default_rng(seed).normal(0, 0.03, (seeds, 20))


@pytest.mark.parametrize('name', CURVES)
def test_constructed_curves(name):
  curve, expected = CURVES[name]
  slope = convergence.slope(_noisy(curve))
  assert convergence.still_falls(slope, 0.001) == expected


def test_noise_alone_is_no_fall():
  slopes = [convergence.slope(_noisy(np.ones(20), n)) for n in range(1000)]
  alarms = [convergence.still_falls(slope, 0.001) for slope in slopes]
  # The best epoch is among the last three in 15% of them.
  assert np.mean(alarms) < 0.025 + 0.015


def test_the_slope_is_scipys_over_seeds():
  curves = _noisy(CURVES['still falling'][0])
  slope_S = [stats.linregress(range(7), curve[-7:]).slope for curve in curves]
  expected = stats.ttest_1samp(slope_S, 0).confidence_interval()
  slope = convergence.slope(curves)
  assert slope == pytest.approx((np.mean(slope_S), *expected))


def test_runs_that_stopped_early_and_those_too_short():
  curves = [curve[:n] for n, curve in enumerate(_noisy(EPOCH), 12)]
  assert convergence.slope(curves).mean == pytest.approx(1, abs=0.05)
  assert convergence.slope([curve[:2] for curve in curves]) is None
  assert convergence.slope(curves[:1]) is None
