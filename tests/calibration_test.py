"""Calibration against published numbers, other packages, simulations."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special, stats
from sklearn import metrics as sklearn_metrics

from imat_jax.reporting import assessment, calibration


def _photos(seed: int, number: int, labels: int, scale: float = 2.0):
  """Logits, and labels that are often the largest of them."""
  rng = np.random.default_rng(seed)
  logits_NxK = rng.normal(0, scale, (number, labels)).astype(np.float32)
  label_N = rng.integers(0, labels, number)
  guessed_N = rng.random(number) < 0.6
  return logits_NxK, np.where(guessed_N, logits_NxK.argmax(1), label_N)


def test_the_published_error():
  """The example of torchmetrics' documentation, 0.2900."""
  bins = calibration.bins(
    np.array([False, False, True, True, True]),
    np.array([0.25, 0.25, 0.55, 0.75, 0.75]),
  )
  assert calibration.expected_error(bins) == pytest.approx(0.29)


@given(
  st.lists(
    st.tuples(st.booleans(), st.integers(0, 1000)), min_size=1, max_size=60
  )
)
def test_bins_against_a_slow_loop(photos):
  bins = calibration.bins(
    np.array([right for right, _ in photos]),
    np.array([thousandths / 1000 for _, thousandths in photos]),
  )
  error = Fraction(0)
  for m in range(15):
    inside = [
      (right, Fraction(thousandths, 1000))
      for right, thousandths in photos
      if Fraction(m, 15) < Fraction(thousandths, 1000) <= Fraction(m + 1, 15)
      or (m == 0 and thousandths == 0)
    ]
    assert bins.count_M[m] == len(inside)
    if inside:
      accuracy = Fraction(sum(right for right, _ in inside), len(inside))
      confidence = sum(sure for _, sure in inside) / len(inside)
      assert bins.accuracy_M[m] == pytest.approx(float(accuracy))
      assert bins.confidence_M[m] == pytest.approx(float(confidence))
      error += abs(accuracy - confidence) * len(inside) / len(photos)
    else:
      assert bins.accuracy_M[m] == bins.confidence_M[m] == 0
  assert calibration.expected_error(bins) == pytest.approx(float(error))


def test_a_confidence_above_one_by_rounding_is_in_the_last_bin():
  bins = calibration.bins(np.array([True]), np.array([1 + 1e-12]))
  assert bins.count_M.tolist() == [0] * 14 + [1]


@pytest.mark.parametrize('confidence', [0.3, 0.8, 0.97])
@pytest.mark.parametrize('number', [20, 200])
def test_by_chance_of_one_confidence_is_binomial(confidence, number):
  by_chance = calibration.by_chance(np.full(number, confidence))
  law = stats.binom(number, confidence)
  error = law.expect(lambda right: abs(right / number - confidence))
  assert by_chance.error == pytest.approx(error, rel=0.1)
  m = int(np.ceil(confidence * 15)) - 1
  # A thousand draws find these to one photo.
  assert abs(by_chance.low_M[m] * number - law.ppf(0.025)) < 1.01
  assert abs(by_chance.high_M[m] * number - law.ppf(0.975)) < 1.01


def test_by_chance_against_calibrated_networks():
  rng = np.random.default_rng(1)
  confidence_N = rng.uniform(0.2, 1, 200)
  chance = calibration.by_chance(confidence_N)
  drawn = [
    calibration.bins(rng.random(200) < confidence_N, confidence_N)
    for _ in range(600)
  ]
  errors = list(map(calibration.expected_error, drawn))
  assert chance.error == pytest.approx(np.mean(errors), rel=0.03)
  filled_M = drawn[0].count_M > 0
  inside_RxM = [
    ((chance.low_M <= d.accuracy_M) & (d.accuracy_M <= chance.high_M))[filled_M]
    for d in drawn
  ]
  # Counts are whole: the range holds at least its 95%.
  assert 0.93 < np.mean(inside_RxM) < 0.985


def test_what_is_no_label_changes_nothing():
  """Behind the labels of a small task stands -inf."""
  logits_NxK, label_N = _photos(8, 60, 3)
  padded_NxK = np.pad(logits_NxK, ((0, 0), (0, 2)), constant_values=-np.inf)
  for measure in (assessment.log_loss, assessment.brier):
    plain, padded = (
      measure(assessment.log_probabilities(logits), label_N)
      for logits in (logits_NxK, padded_NxK)
    )
    assert plain == padded
  plain, padded = (
    assessment.fit_temperature(logits, label_N)
    for logits in (logits_NxK, padded_NxK)
  )
  assert plain == padded


@pytest.mark.parametrize('labels', [2, 3, 14])
def test_losses_against_sklearn(labels):
  logits_NxK, label_N = _photos(labels, 90, labels)
  log_prob_NxK = assessment.log_probabilities(logits_NxK)
  prob_NxK, every = np.exp(log_prob_NxK), list(range(labels))
  assert assessment.log_loss(log_prob_NxK, label_N) == pytest.approx(
    sklearn_metrics.log_loss(label_N, prob_NxK, labels=every)
  )
  assert assessment.brier(log_prob_NxK, label_N) == pytest.approx(
    sklearn_metrics.brier_score_loss(
      label_N, prob_NxK, labels=every, scale_by_half=False
    )
  )


def _sklearn_loss(logits_NxK, label_N, temperature: float) -> float:
  prob_NxK = special.softmax(logits_NxK.astype(float) / temperature, 1)
  every = list(range(logits_NxK.shape[1]))
  return sklearn_metrics.log_loss(label_N, prob_NxK, labels=every)


@pytest.mark.parametrize('labels', [2, 4, 14])
@pytest.mark.parametrize('scale', [0.3, 1, 5])
def test_the_temperature_has_the_least_log_loss(labels, scale):
  logits_NxK, label_N = _photos(labels, 300, labels, scale)
  temperature = assessment.fit_temperature(logits_NxK, label_N)
  least = optimize.minimize(
    lambda t: _sklearn_loss(logits_NxK, label_N, float(t[0])),
    [1.0],
    method='Nelder-Mead',
    bounds=[(0.05, 20)],
    options={'xatol': 1e-6, 'fatol': 1e-12},
  )
  assert temperature == pytest.approx(least.x[0], rel=1e-3)
  assert 0.1 < temperature < 15  # no end of the range


def test_where_no_temperature_is_best_an_end_is_taken():
  logits_NxK, _ = _photos(7, 100, 4)
  best_N, worst_N = logits_NxK.argmax(1), logits_NxK.argmin(1)
  cold, hot = (
    assessment.fit_temperature(logits_NxK, label_N)
    for label_N in (best_N, worst_N)
  )
  assert (cold, hot) == (pytest.approx(0.05, 1e-3), pytest.approx(20, 1e-3))
  # One photo, one label, equal logits: nothing to find, nothing that fails.
  for logits in ([[1.0, 0.0]], [[4.0]], [[0.0, 0.0]]):
    temperature = assessment.fit_temperature(np.array(logits), np.array([0]))
    assert 0.05 <= temperature <= 20
