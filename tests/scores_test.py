"""Scores agree with scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from imat_jax.training import scores


def _labels(seed: int, size: int, num_labels: int):
  rng = np.random.default_rng(seed)
  # Skewed, so that some labels never occur, as true or as predicted.
  share_K = rng.dirichlet(np.full(num_labels, 0.4))
  true_B = rng.choice(num_labels, size, p=share_K)
  guess_B = rng.choice(num_labels, size, p=rng.permutation(share_K))
  return true_B, np.where(rng.uniform(size=size) < 0.5, true_B, guess_B)


@pytest.mark.filterwarnings('ignore:A single label was found')
@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('num_labels', [1, 4, 15])
def test_agrees_with_sklearn(seed, num_labels):
  true_B, guess_B = _labels(seed, 60, num_labels)
  confusion_KxK = scores.confusion_matrix(true_B, guess_B, num_labels)
  every = range(num_labels)
  np.testing.assert_array_equal(
    confusion_KxK,
    sklearn_metrics.confusion_matrix(true_B, guess_B, labels=every),
  )
  by_label = scores.per_label(confusion_KxK)
  expected = sklearn_metrics.precision_recall_fscore_support(
    true_B, guess_B, labels=every, zero_division=0
  )
  for name, values in zip(
    ('precision', 'recall', 'f1', 'support'), expected, strict=True
  ):
    np.testing.assert_allclose(by_label[name], values, err_msg=name)
  assert scores.accuracy(confusion_KxK) == pytest.approx(
    sklearn_metrics.accuracy_score(true_B, guess_B)
  )
  for average, score in (
    ('macro', scores.macro_f1),
    ('weighted', scores.weighted_f1),
  ):
    assert score(confusion_KxK) == pytest.approx(
      sklearn_metrics.f1_score(
        true_B, guess_B, average=average, zero_division=0
      )
    )


def test_missing_labels_do_not_count():
  true_B = np.array([0, -1, 1, -1])
  guess_B = np.array([0, 1, 0, 0])
  np.testing.assert_array_equal(
    scores.confusion_matrix(true_B, guess_B, 2), [[1, 0], [1, 0]]
  )


@pytest.mark.parametrize('num_labels', [1, 7])
def test_many_matrices_at_once_are_each_alone(num_labels):
  matrices = np.stack(
    [
      scores.confusion_matrix(*_labels(seed, 40, num_labels), num_labels)
      for seed in range(10)
    ]
  )
  by_label = scores.per_label(matrices)
  for r, confusion_KxK in enumerate(matrices):
    for name, value_K in scores.per_label(confusion_KxK).items():
      np.testing.assert_array_equal(by_label[name][r], value_K)
    alone = scores.accuracy(confusion_KxK), scores.macro_f1(confusion_KxK)
    at_once = scores.accuracy(matrices)[r], scores.macro_f1(matrices)[r]
    assert at_once == alone
