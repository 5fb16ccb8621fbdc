"""Simulates the statistics of a study: do they keep what they promise?

  python -m benchmarks.study_statistics

Prints the tables of docs/study.md: coverage of intervals, false positives of a
whole study, and power, for seeds of several shapes. But for power the truth is
0. Beside Student's, which the study uses, is what it could use.
"""

import itertools
import math

import numpy as np
from scipy import stats

from imat_jax.reporting import statistics

SHAPES = {
  'normal': lambda rng, size: rng.normal(0, 1, size),
  'uniform': lambda rng, size: rng.uniform(-1, 1, size),
  'exponential': lambda rng, size: rng.exponential(1, size) - 1,
  'lognormal': lambda rng, size: rng.lognormal(0, 1, size) - math.exp(0.5),
  'of 100 photos': lambda rng, size: rng.binomial(100, 0.5, size) - 50.0,
}


def main() -> None:
  rng = np.random.default_rng(0)
  print('Coverage of 95% intervals over seeds')
  print('seeds shape         Student  difference  BCa    stretched')
  for seeds, (name, draw) in itertools.product((2, 3, 5, 8), SHAPES.items()):
    _coverage(rng, seeds, name, draw)
  print('\nStudies that find a difference where none is, 5% promised')
  print('seeds comparisons shape         t, Holm  per model  sign flips, Holm')
  for seeds, (models, added) in itertools.product((5, 8), ((3, 2), (3, 4))):
    for name, draw in SHAPES.items():
      _false_positives(rng, seeds, models, added, name, draw)
  print('\nCoverage of 95% intervals over seeds and photos')
  print('seeds photos spread  study  pigeonhole bootstrap')
  for seeds, photos in itertools.product((3, 5, 8), (372, 3000)):
    for spread in (0.0, 0.3):
      _two_levels(rng, seeds, photos, spread)
  print('\nPower: found by 8 seeds, of 6 comparisons, by size in deviations')
  print('size   t, Holm  sign flips, Holm')
  for size in (1, 1.5, 2, 3):
    _power(rng, size)


def _coverage(rng, seeds, name, draw, number=100_000) -> None:
  of_mean = _covered(draw(rng, (number, seeds)))
  with_, alone = draw(rng, (2, number, seeds))
  line = f'{of_mean:.3f}    {_covered(with_ - alone):.3f}     '
  if seeds >= 5:
    for stretched in (False, True):
      line += f'  {_bootstrapped(rng, draw(rng, (4000, seeds)), stretched):.3f}'
  print(f'{seeds:<5} {name:13} {line}', flush=True)


def _covered(values) -> float:
  """By Student's interval, or what stands for it where all are equal."""
  return float((_p_values(values) > 0.05).mean())


def _p_values(values) -> np.ndarray:
  """As of `statistics.p_value`, of many means at once."""
  seeds, equal = values.shape[-1], np.ptp(values, axis=-1) == 0
  error = np.where(equal, 1, values.std(-1, ddof=1) / math.sqrt(seeds))
  p_values = 2 * stats.t.sf(abs(values.mean(-1)) / error, seeds - 1)
  p_values[equal] = [
    statistics.p_value(statistics.over_seeds(v)) for v in values[equal]
  ]
  return p_values


def _bootstrapped(rng, values, stretched) -> float:
  """By BCa, as it is and stretched to the width of Student's interval."""
  bounds = stats.bootstrap(
    (values,), np.mean, n_resamples=2000, batch=50, method='BCa', rng=rng,
    axis=-1,
  ).confidence_interval  # fmt: skip
  mean, seeds = values.mean(-1), values.shape[-1]
  by = 1.0
  if stretched:
    student = stats.t.isf(0.025, seeds - 1) / stats.norm.isf(0.025)
    by = student * math.sqrt(seeds / (seeds - 1))
  low, high = (mean + by * (bound - mean) for bound in bounds)
  return float(((low <= 0) & (high >= 0)).mean())


def _false_positives(
  rng, seeds, models, added, name, draw, number=10_000
) -> None:
  base = draw(rng, (number, models, 1, seeds))
  difference = draw(rng, (number, models, added, seeds)) - base
  p_values = _p_values(difference.reshape(-1, seeds))
  p_values = p_values.reshape(number, models, added)
  flips = _flips(difference).reshape(number, -1)
  comparisons = models * added
  # Holm's first step decides whether there is any.
  of_study = (p_values.min((1, 2)) * comparisons < 0.05).mean()
  of_models = (p_values.min((1, 2)) * added < 0.05).mean()
  of_flips = (flips.min(1) * comparisons < 0.05).mean()
  print(
    f'{seeds:<5} {models} x {added}       {name:13} {of_study:.3f}    '
    f'{of_models:.3f}      {of_flips:.3f}',
    flush=True,
  )


def _flips(difference) -> np.ndarray:
  """p of Fisher's sign-flip test."""
  seeds = difference.shape[-1]
  signs = np.array([*itertools.product((1, -1), repeat=seeds)])
  parts = np.array_split(difference.reshape(-1, seeds), 50)
  sums = (abs(part @ signs.T) for part in parts)
  p_values = [(s >= s[:, :1] - 1e-9).mean(1) for s in sums]
  return np.concatenate(p_values)


def _two_levels(rng, seeds, photos, spread, number=400) -> None:
  """Of two networks; `spread` is how much their photos differ."""
  covered = []
  for _ in range(number):
    hard_N = rng.normal(0, 1, photos)
    of_network = []
    for _ in range(2):
      seed_Sx1 = rng.normal(0, 0.15, (seeds, 1))
      photo_N = rng.normal(0, spread, photos)
      rest_SxN = rng.normal(0, 0.7, (seeds, photos))
      of_network.append(hard_N + seed_Sx1 + photo_N + rest_SxN > 0)
    difference_SxN = of_network[0].astype(int) - of_network[1]
    estimate = statistics.over_seeds_and_photos(difference_SxN)
    low, high = _pigeonhole(rng, difference_SxN)
    covered.append((statistics.p_value(estimate) > 0.05, low <= 0 <= high))
  ours, bootstrap = np.mean(covered, 0)
  print(
    f'{seeds:<5} {photos:<6} {spread:<7} {ours:.3f}  {bootstrap:.3f}',
    flush=True,
  )


def _pigeonhole(rng, difference_SxN) -> np.ndarray:
  """Owen's bootstrap of both levels, 95% percentiles."""
  seeds, photos = difference_SxN.shape
  weight_RxS = rng.multinomial(seeds, np.full(seeds, 1 / seeds), 300)
  weight_RxN = rng.multinomial(photos, np.full(photos, 1 / photos), 300)
  mean_RxN = weight_RxS.astype(float) @ difference_SxN.astype(float)
  mean_R = np.einsum('rn,rn->r', mean_RxN, weight_RxN)
  return np.quantile(mean_R, [0.025, 0.975]) / (seeds * photos)


def _power(rng, size, number=10_000) -> None:
  difference = rng.normal(size, 1, (number, 8))
  by_t = (_p_values(difference) < 0.05 / 6).mean()
  by_flips = (_flips(difference) < 0.05 / 6).mean()
  print(f'{size:<6} {by_t:.3f}    {by_flips:.3f}', flush=True)


if __name__ == '__main__':
  main()
