"""The statistics against published examples, other packages, simulations."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats import contingency_tables, multitest

from imat_jax.reporting import intervals, statistics
from imat_jax.training import scores

# Darwin's maize: crossed less self-fertilised, in eighths of an inch; Fisher,
# "The design of experiments" (1935), gives 835 + 28 of 2**14 signs as at least
# as large in one direction, so p = 2 * 863 / 32768.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def test_sign_flips_give_fishers_answer():
  found = statistics.sign_flip_p_value(DARWIN)
  assert found == pytest.approx(2 * 863 / 2**15)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=7))
def test_sign_flips_against_every_choice_of_signs(difference_S):
  signs = itertools.product((1, -1), repeat=len(difference_S))
  means = [abs(np.dot(sign, difference_S)) for sign in signs]
  expected = np.mean(np.array(means) >= abs(sum(difference_S)))
  assert statistics.sign_flip_p_value(difference_S) == pytest.approx(expected)


@pytest.mark.parametrize(('seeds', 'number'), [(5, 1), (6, 1), (8, 4), (3, 9)])
def test_the_smallest_p_value(seeds, number):
  least = statistics.sign_flip_p_value(np.arange(1.0, seeds + 1))
  expected = multitest.multipletests([least] * number, method='holm')[1][0]
  found = statistics.smallest_p_value(seeds, number)
  assert found == pytest.approx(expected)


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
  found = statistics.mcnemar(first_N, second_N)
  assert found.p_value == pytest.approx(expected.pvalue)
  assert (found.only_first, found.only_second) == (table[0][1], table[1][0])


def test_an_interval_of_many_values_is_scipys():
  value_S = np.random.default_rng(0).gamma(2, 1, 400)
  found = statistics.bca_interval(value_S)
  expected = stats.bootstrap(
    (value_S,), np.mean, method='BCa', rng=np.random.default_rng(5)
  ).confidence_interval
  width = expected.high - expected.low
  assert found.low == pytest.approx(expected.low, abs=0.05 * width)
  assert found.high == pytest.approx(expected.high, abs=0.05 * width)
  assert found.mean == value_S.mean()


def test_an_interval_of_eight_values_is_about_as_wide_as_students():
  value_S = np.random.default_rng(3).normal(size=8)
  found = statistics.bca_interval(value_S)
  low, high = stats.t.interval(0.95, 7, value_S.mean(), stats.sem(value_S))
  assert 0.8 < (found.high - found.low) / (high - low) < 1.2


def test_intervals_without_spread_or_with_one_value():
  assert statistics.bca_interval([0.5] * 8) == (0.5, 0.5, 0.5)
  alone = statistics.bca_interval([0.5])
  assert alone.mean == 0.5
  assert np.isnan([alone.low, alone.high]).all()


def _seeds(seed: int, number: int) -> np.ndarray:
  """What the differences of a study look like: 8 seeds, of no effect."""
  return np.random.default_rng(seed).normal(0, 0.03, (number, 8))


def test_intervals_cover_the_truth(monkeypatch):
  monkeypatch.setattr(statistics, '_RESAMPLES', 2000)
  covered = [
    found.low <= 0 <= found.high
    for found in map(statistics.bca_interval, _seeds(11, 3000))
  ]
  assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_the_familys_false_positives_are_below_the_level():
  """Four comparisons with one baseline, as a study makes them."""
  rng = np.random.default_rng(13)
  wrong = []
  for _ in range(600):
    base_S, *others = rng.normal(0, 0.03, (5, 8))
    found = [statistics.sign_flip_p_value(x - base_S) for x in others]
    wrong.append(min(statistics.holm(found)) < 0.05)
  assert np.mean(wrong) < 0.05 + 0.02


def test_two_levels_cover_other_seeds_and_other_photos(monkeypatch):
  monkeypatch.setattr(statistics, '_TWO_LEVEL_RESAMPLES', 1000)
  rng = np.random.default_rng(14)
  covered = []
  for _ in range(300):
    seed_Sx1 = rng.normal(0, 0.5, (8, 1))
    photo_1xN = rng.normal(0, 1, (1, 60))
    noise_SxN = rng.normal(0, 1, (8, 60))
    found = statistics.two_level_interval(seed_Sx1 + photo_1xN + noise_SxN)
    covered.append(found.low <= 0 <= found.high)
  assert np.mean(covered) > 0.9


def test_two_levels_without_a_difference_between_seeds():
  photo_N = np.random.default_rng(2).integers(-1, 2, 300)
  found = statistics.two_level_interval(np.tile(photo_N, (8, 1)))
  error = photo_N.std() / np.sqrt(300)
  assert found.mean == photo_N.mean()
  assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_verdicts():
  assert statistics.verdict(0.1, 0.04) == 'better'
  assert statistics.verdict(-0.1, 0.04) == 'worse'
  assert statistics.verdict(0.1, 0.05) == 'no evidence either way'


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
  found = intervals.photo_interval(
    scores.confusion_matrix(true_N, guess_N, 4), of_matrices
  )
  width = expected.high - expected.low
  # An accuracy moves in steps of a photo.
  tolerance = max(0.05 * width, 1.01 / number)
  np.testing.assert_allclose(found, expected, atol=tolerance)


@pytest.mark.parametrize('score', [scores.accuracy, scores.macro_f1])
def test_intervals_over_photos_cover_the_truth(monkeypatch, score):
  monkeypatch.setattr(intervals, '_RESAMPLES', 1000)
  share_K = np.array([0.5, 0.25, 0.15, 0.1])
  share_KxK = 0.6 * np.diag(share_K) + 0.4 * np.outer(share_K, share_K)
  rng, truth = np.random.default_rng(15), score(share_KxK)
  drawn = rng.multinomial(150, share_KxK.ravel(), 600).reshape(-1, 4, 4)
  found = [intervals.photo_interval(matrix, score) for matrix in drawn]
  covered = [low <= truth <= high for low, high in found]
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
  found = intervals.photo_interval(confusion_KxK, score)
  if found is not None:
    low, high = found
    assert 0 <= low <= high <= 1
