"""The statistics against published examples, other packages, simulations."""

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula import api as formula
from statsmodels.stats import (
  anova,
  contingency_tables,
  multitest,
  weightstats,
)
from statsmodels.stats import power as stats_power

from imat_jax.reporting import (
  comparison,
  intervals,
  power,
  results,
  statistics,
)
from imat_jax.training import scores

# Darwin's maize: crossed less self-fertilised, in eighths of an inch; Fisher,
# "The design of experiments" (1935), section 17, gives t = 2.148.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def test_fishers_t():
  estimate = statistics.over_seeds(DARWIN)
  assert estimate.mean / estimate.error == pytest.approx(2.148, abs=5e-4)
  assert statistics.p_value(estimate) == pytest.approx(0.0497, abs=5e-5)


VALUES = st.lists(
  st.integers(-40, 40).map(lambda number: number / 372), min_size=2, max_size=9
).filter(lambda values: np.ptp(values) > 0)


@given(VALUES)
def test_one_sample_against_scipy(value_S):
  expected = stats.ttest_1samp(value_S, 0)
  estimate = statistics.over_seeds(value_S)
  assert statistics.p_value(estimate) == pytest.approx(expected.pvalue)
  bounds = expected.confidence_interval()
  np.testing.assert_allclose(statistics.interval(estimate)[1:], bounds)


@given(VALUES, st.floats(0.001, 0.2))
def test_equivalence_against_statsmodels(value_S, margin):
  expected = weightstats.DescrStatsW(value_S).ttost_mean(-margin, margin)[0]
  p_value = statistics.equivalence_p_value(
    statistics.over_seeds(value_S), margin
  )
  assert p_value == pytest.approx(expected)


def test_intervals_end_where_a_score_does():
  wide = statistics.over_seeds([0.97, 0.999])
  assert statistics.interval(wide).high > 1
  assert statistics.interval(wide, (0, 1)) == pytest.approx(
    (0.9845, 0.9845 - 12.706 * 0.0145, 1), abs=1e-4
  )


def test_values_that_tell_no_error():
  for value_S in ([0.5], [0.5, 0.5], [0.5] * 8):
    interval = statistics.interval(statistics.over_seeds(value_S))
    assert interval.mean == 0.5
    assert np.isnan([interval.low, interval.high]).all()
  # All on one side: as of the sign test.
  same = statistics.over_seeds([0.1] * 8)
  expected = stats.binomtest(8, 8).pvalue
  assert statistics.p_value(same) == pytest.approx(expected)
  assert statistics.equivalence_p_value(same, 0.2) == pytest.approx(2**-8)
  assert statistics.equivalence_p_value(same, 0.05) == 1
  assert statistics.p_value(statistics.over_seeds([0.0] * 8)) == 1
  assert statistics.p_value(statistics.over_seeds([0.5])) == 1


@pytest.mark.parametrize('number', range(1, 9))
def test_holm_against_statsmodels(number):
  p_values = list(np.random.default_rng(number).random(number) ** 3)
  expected = multitest.multipletests(p_values, method='holm')[1]
  np.testing.assert_allclose(statistics.holm(p_values), expected)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_mcnemar_against_statsmodels(seed, number):
  rng = np.random.default_rng(seed)
  first_N, second_N = rng.random((2, number)) < [[0.7], [0.5]]
  table = [
    [(first_N & second_N).sum(), (first_N & ~second_N).sum()],
    [(~first_N & second_N).sum(), (~first_N & ~second_N).sum()],
  ]
  expected = contingency_tables.mcnemar(table, exact=True)
  result = statistics.mcnemar(first_N, second_N)
  assert result.p_value == pytest.approx(expected.pvalue)
  assert (result.only_first, result.only_second) == (table[0][1], table[1][0])


# The truth is 0. Of scores, exponential and lognormal ones are far more skewed
# than any seen; differences of two alike are symmetric.
SHAPES = {
  'normal': lambda rng, size: rng.normal(0, 0.03, size),
  'uniform': lambda rng, size: rng.uniform(-0.05, 0.05, size),
  'exponential': lambda rng, size: rng.exponential(1, size) - 1,
  'lognormal': lambda rng, size: rng.lognormal(0, 1, size) - np.exp(0.5),
}
# As benchmarks/study_statistics.py measures it, and docs/study.md says: of a
# mean over 5 and 8 seeds, and of a mean difference.
COVERAGE = {
  'normal': ((0.951, 0.949), (0.951, 0.951)),
  'uniform': ((0.935, 0.943), (0.948, 0.948)),
  'exponential': ((0.883, 0.895), (0.965, 0.960)),
  'lognormal': ((0.822, 0.833), (0.974, 0.970)),
}


@pytest.mark.parametrize('shape', SHAPES)
def test_coverage_is_as_documented(shape):
  rng, number = np.random.default_rng(11), 2000
  for place, seeds in enumerate((5, 8)):
    with_, alone = SHAPES[shape](rng, (2, number, seeds))
    for values, expected in zip(
      (alone, with_ - alone), COVERAGE[shape], strict=True
    ):
      p_values = [statistics.p_value(statistics.over_seeds(v)) for v in values]
      covered = np.mean(np.array(p_values) > 0.05)  # so the interval has 0
      error = np.sqrt(0.05 * 0.95 / number)
      assert covered == pytest.approx(expected[place], abs=4 * error)


def test_the_interval_is_what_the_test_does_not_reject():
  for value_S in np.random.default_rng(2).normal(0.01, 0.02, (50, 5)):
    estimate = statistics.over_seeds(value_S)
    _, low, high = statistics.interval(estimate)
    assert (low <= 0 <= high) == (statistics.p_value(estimate) >= 0.05)


@pytest.mark.parametrize('seeds', [5, 8])
@pytest.mark.parametrize('shape', SHAPES)
def test_a_study_says_something_false_in_five_of_a_hundred(shape, seeds):
  """Three models, two comparisons with a baseline each, and no effect."""
  rng, number = np.random.default_rng(13), 1000
  base, *others = SHAPES[shape](rng, (3, number, 3, seeds))
  difference = np.concatenate([other - base for other in others], axis=1)
  p_values = [
    [statistics.p_value(statistics.over_seeds(d)) for d in of_study]
    for of_study in difference
  ]
  wrong = np.mean([min(statistics.holm(p)) < 0.05 for p in p_values])
  error = np.sqrt(0.05 * 0.95 / number)
  assert wrong < 0.05 + 0.01 + 2 * error
  if shape == 'normal':  # what the correction per model let through
    by_model = [
      min(min(statistics.holm(p[model::3])) for model in range(3)) < 0.05
      for p in p_values
    ]
    assert np.mean(by_model) > 0.1


@pytest.mark.parametrize('seeds', [5, 8])
def test_a_study_rules_a_margin_out_wrongly_in_five_of_a_hundred(seeds):
  """Every difference is the margin itself, so none is less."""
  rng, number, margin = np.random.default_rng(17), 1000, 0.1
  base, *others = rng.normal(0, 0.03, (3, number, 3, seeds))
  difference = margin + np.concatenate([x - base for x in others], axis=1)
  wrong = np.mean(
    [
      min(
        statistics.holm(
          [
            statistics.equivalence_p_value(statistics.over_seeds(d), margin)
            for d in of_study
          ]
        )
      )
      < 0.05
      for of_study in difference
    ]
  )
  error = np.sqrt(0.05 * 0.95 / number)
  assert 0.02 < wrong < 0.05 + 0.01 + 2 * error


def _photos(rng, seeds, photos, spread_of_photos):
  """Differences of two networks on the same photos, without an effect."""
  hard_N = rng.normal(0, 1, photos)
  right = []
  for _ in range(2):
    seed_Sx1 = rng.normal(0, 0.15, (seeds, 1))
    photo_N = rng.normal(0, spread_of_photos, photos)
    rest_SxN = rng.normal(0, 0.7, (seeds, photos))
    right.append(hard_N + seed_Sx1 + photo_N + rest_SxN > 0)
  return right[0].astype(int) - right[1]


@pytest.mark.parametrize('seeds', [3, 5, 8])
@pytest.mark.parametrize('spread', [0.0, 0.3, 1.0])
def test_two_levels_cover_other_seeds_and_other_photos(seeds, spread):
  rng = np.random.default_rng(14)
  p_values = [
    statistics.p_value(
      statistics.over_seeds_and_photos(_photos(rng, seeds, 372, spread))
    )
    for _ in range(400)
  ]
  # It errs on the wide side, up to all.
  assert np.mean(np.array(p_values) > 0.05) > 0.95 - 0.035


def test_components_against_statsmodels():
  """The mean squares of a table with two crossed factors."""
  difference_SxN = _photos(np.random.default_rng(3), 4, 25, 0.5)
  seed, photo = np.indices(difference_SxN.shape)
  table = anova.anova_lm(
    formula.ols(
      'y ~ C(seed) + C(photo)',
      pandas.DataFrame(
        {
          'y': difference_SxN.ravel(),
          'seed': seed.ravel(),
          'photo': photo.ravel(),
        }
      ),
    ).fit()
  )
  of_seeds, of_photos, rest = table['mean_sq']
  components = statistics.components(difference_SxN)
  assert components == pytest.approx(
    (of_seeds / 25, (of_photos - rest) / 4, rest, 25)
  )
  # Owen's: the variances of both means, the rest counted in each.
  error, _ = components.error(4)
  assert error**2 == pytest.approx((of_seeds + of_photos) / 100)


def test_two_levels_without_a_difference_between_seeds():
  photo_N = np.random.default_rng(2).integers(-1, 2, 300)
  estimate = statistics.over_seeds_and_photos(np.tile(photo_N, (8, 1)))
  expected = stats.ttest_1samp(photo_N, 0)
  assert statistics.p_value(estimate) == pytest.approx(expected.pvalue)


def test_two_levels_of_many_photos_are_those_of_seeds():
  seed_S = np.random.default_rng(4).normal(0, 0.1, 6)
  estimate = statistics.over_seeds_and_photos(np.tile(seed_S[:, None], (1, 50)))
  assert estimate == pytest.approx(statistics.over_seeds(seed_S))


def _judged(margin=0.02):
  """Six comparisons: of sizes from none to large."""
  rng, facts, tables = np.random.default_rng(6), [], []
  for effect in (0, 0, 0.02, 0.05, 0.1, 0.2):
    difference_SxN = rng.choice(
      [-1, 0, 1], (8, 400), p=[0.2 - effect / 2, 0.6, 0.2 + effect / 2]
    )
    difference_S = difference_SxN.mean(1)
    both = statistics.over_seeds_and_photos(difference_SxN)
    of_seeds = statistics.p_value(statistics.over_seeds(difference_S))
    facts.append(
      {
        'scores': {
          'accuracy': {'mean': difference_S.mean(), 'p_value': of_seeds},
          'loss': {'mean': 0.1, 'p_value': of_seeds},
        },
        'photos': {'two_level': {'p_value': statistics.p_value(both)}},
      }
    )
    tables.append(difference_SxN)
  comparison.judge(
    [*map(comparison.Comparison, facts, tables)],
    {
      'accuracy': results.Score('accuracy', 1, (0, 1)),
      'loss': results.Score('loss', -1, (0, np.inf)),
    },
    margin,
  )
  return facts


def test_the_family_is_the_study():
  facts = _judged()
  for name in ('accuracy', 'loss'):
    scores = [f['scores'][name] for f in facts]
    p_values = [s['p_value'] for s in scores]
    if name == 'accuracy':  # which also has to hold for other photos
      two_level = [f['photos']['two_level']['p_value'] for f in facts]
      assert np.greater(two_level, p_values).any()
      p_values = np.maximum(p_values, two_level)
    expected = multitest.multipletests(p_values, method='holm')[1]
    assert [s['p_holm'] for s in scores] == pytest.approx(expected)
  assert facts[-1]['scores']['accuracy']['verdict'] == 'better'
  assert facts[-1]['scores']['loss']['verdict'] == 'worse'


def test_equivalence_has_its_own_verdict():
  first = [f['scores']['accuracy'] for f in _judged(margin=0.1)][0]
  assert (first['verdict'], first['within_margin']) == (
    'less than the margin',
    True,
  )
  silent = [f['scores']['accuracy'] for f in _judged(margin=0.01)][0]
  assert (silent['verdict'], silent['within_margin']) == (
    'no evidence either way',
    False,
  )


@pytest.mark.parametrize('comparisons', [1, 6])
@pytest.mark.parametrize('seeds', [5, 8, 40])
def test_detectable_differences_against_statsmodels(seeds, comparisons):
  smallest = power.detectable(seeds**-0.5, seeds - 1, comparisons)
  expected = stats_power.TTestPower().solve_power(
    nobs=seeds, alpha=0.05 / comparisons, power=0.8
  )
  assert smallest == pytest.approx(expected, rel=1e-3)


def _found(rng, seeds, mean, margin=None, comparisons=6, number=2000):
  """How often the tests themselves find a difference, or none."""
  values = rng.normal(mean, 0.02, (number, seeds))
  estimates = [statistics.over_seeds(value_S) for value_S in values]
  p_values = [
    statistics.equivalence_p_value(e, margin)
    if margin
    else statistics.p_value(e)
    for e in estimates
  ]
  return np.mean(np.array(p_values) < 0.05 / comparisons)


def test_the_power_of_the_design():
  """A difference that is called detectable is found in 80 of 100 studies."""
  size = power.detectable(0.02 / np.sqrt(8), 7, 6)
  share = _found(np.random.default_rng(7), 8, size)
  assert share == pytest.approx(0.8, abs=4 * np.sqrt(0.8 * 0.2 / 2000))


def test_the_seeds_that_a_margin_takes():
  components = statistics.Components(0.02**2, 0, 0, 10**9)
  seeds = power.seeds_needed(components, 0.02, 6)
  rng, error = np.random.default_rng(8), np.sqrt(0.8 * 0.2 / 2000)

  def least(seeds):
    return min(_found(rng, seeds, 0.02), _found(rng, seeds, 0, margin=0.02))

  assert least(seeds) > 0.8 - 3 * error
  assert least(seeds - 1) < 0.8 + 3 * error


def test_no_number_of_seeds_stands_in_for_photos():
  """The margin is two standard errors of the photos, whatever the seeds."""
  of_photos = statistics.Components(0.02**2, 400 * 0.01**2, 0, 400)
  assert power.seeds_needed(of_photos, 0.02, 6) is None
  assert power.seeds_needed(of_photos._replace(num_photos=4000), 0.02, 6) < 100


# Two scores of a network on N photos, from the photos and not from a matrix.


def _accuracy(true_N, guess_N, axis=-1):
  return (true_N == guess_N).mean(axis)


def _macro_f1(true_N, guess_N, axis=-1):
  total, occurring = 0, 0
  for label in range(4):
    is_N, said_N = true_N == label, guess_N == label
    both = is_N.sum(axis) + said_N.sum(axis)
    total = total + 2 * (is_N & said_N).sum(axis) / np.maximum(both, 1)
    occurring = occurring + (both > 0)
  return total / occurring


def _guesses(seed: int, number: int):
  """Labels of which one is rare, told right in 6 of 10 photos."""
  rng = np.random.default_rng(seed)
  share_K = [0.5, 0.25, 0.15, 0.1]
  true_N, other_N = rng.choice(4, (2, number), p=share_K)
  return true_N, np.where(rng.random(number) < 0.6, true_N, other_N)


@pytest.mark.parametrize(
  ('of_photos', 'of_matrices'),
  [(_accuracy, scores.accuracy), (_macro_f1, scores.macro_f1)],
)
@pytest.mark.parametrize('number', [40, 250])
def test_the_interval_over_photos_is_scipys(of_photos, of_matrices, number):
  true_N, guess_N = _guesses(number, number)
  expected = stats.bootstrap(
    (true_N, guess_N),
    of_photos,
    paired=True,
    vectorized=True,
    n_resamples=10_000,
    batch=1000,
    method='BCa',
    rng=np.random.default_rng(5),
  ).confidence_interval
  interval = intervals.photo_interval(
    scores.confusion_matrix(true_N, guess_N, 4), of_matrices
  )
  width = expected.high - expected.low
  # An accuracy moves in steps of a photo.
  tolerance = max(0.05 * width, 1.01 / number)
  np.testing.assert_allclose(interval, expected, atol=tolerance)


@pytest.mark.parametrize('score', [scores.accuracy, scores.macro_f1])
def test_intervals_over_photos_cover_the_truth(monkeypatch, score):
  monkeypatch.setattr(intervals, '_RESAMPLES', 1000)
  share_K = np.array([0.5, 0.25, 0.15, 0.1])
  share_KxK = 0.6 * np.diag(share_K) + 0.4 * np.outer(share_K, share_K)
  rng, truth = np.random.default_rng(15), score(share_KxK)
  drawn = rng.multinomial(150, share_KxK.ravel(), 600).reshape(-1, 4, 4)
  bounds = [intervals.photo_interval(matrix, score) for matrix in drawn]
  covered = [low <= truth <= high for low, high in bounds]
  assert np.mean(covered) == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize('score', [scores.accuracy, scores.macro_f1])
@pytest.mark.parametrize(
  'counts',
  [
    [[0, 0], [0, 0]],
    [[0, 1], [0, 0]],
    [[40, 0], [0, 2]],  # all right
    [[0, 40], [2, 0]],  # all wrong
    [[7]],  # one label
  ],
)
def test_photos_that_say_nothing_have_no_interval(score, counts):
  assert intervals.photo_interval(np.array(counts), score) is None


@pytest.mark.parametrize('score', [scores.accuracy, scores.macro_f1])
@given(st.lists(st.integers(0, 6), min_size=9, max_size=9))
@settings(max_examples=30)
def test_intervals_over_few_photos_are_scores(score, counts):
  confusion_KxK = np.reshape(counts, (3, 3))
  interval = intervals.photo_interval(confusion_KxK, score)
  if interval is not None:
    low, high = interval
    assert 0 <= low <= high <= 1
