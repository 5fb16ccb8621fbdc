"""Scores from a confusion matrix: rows are true labels, columns predicted.

Where a score divides by zero it is 0, as scikit-learn's `zero_division=0`;
averages run over the labels that occur, as true or as predicted.
"""

import numpy as np


def confusion_matrix(
  true_B: np.ndarray, predicted_B: np.ndarray, num_labels: int
) -> np.ndarray:
  """Counts pairs; examples whose true label is -1 do not count.

  Returns:
    int64, K × K.
  """
  labelled_B = true_B >= 0
  pairs = true_B[labelled_B] * num_labels + predicted_B[labelled_B]
  counts = np.bincount(pairs, minlength=num_labels * num_labels)
  return counts.reshape(num_labels, num_labels)


def accuracy(confusion_KxK: np.ndarray) -> float | None:
  """Share of right predictions; None without a labelled example."""
  return float(accuracies(confusion_KxK)) if confusion_KxK.any() else None


def accuracies(confusion_RxKxK: np.ndarray) -> np.ndarray:
  """The accuracy of each of R matrices that are not empty."""
  right_R = np.trace(confusion_RxKxK, axis1=-2, axis2=-1)
  return right_R / confusion_RxKxK.sum((-2, -1))


def per_label(confusion_KxK: np.ndarray) -> dict[str, np.ndarray]:
  """`support`, `precision`, `recall` and `f1`, each K long.

  Of R matrices, R × K × K, each is R × K.
  """
  right_K = np.diagonal(confusion_KxK, axis1=-2, axis2=-1)
  support_K = confusion_KxK.sum(-1)
  predicted_K = confusion_KxK.sum(-2)
  return {
    'support': support_K,
    'precision': _divide(right_K, predicted_K),
    'recall': _divide(right_K, support_K),
    'f1': _divide(2 * right_K, support_K + predicted_K),
  }


def macro_f1(confusion_KxK: np.ndarray) -> float | None:
  """Plain mean of F1 over the labels that occur."""
  return float(macro_f1s(confusion_KxK)) if confusion_KxK.any() else None


def macro_f1s(confusion_RxKxK: np.ndarray) -> np.ndarray:
  """The macro F1 of each of R matrices that are not empty."""
  occurs_RxK = (confusion_RxKxK.sum(-1) + confusion_RxKxK.sum(-2)) > 0
  # A label that does not occur has the F1 0.
  return per_label(confusion_RxKxK)['f1'].sum(-1) / occurs_RxK.sum(-1)


def weighted_f1(confusion_KxK: np.ndarray) -> float | None:
  """Mean of F1 over labels, weighted with their support."""
  values = per_label(confusion_KxK)
  total = values['support'].sum()
  return float(values['support'] @ values['f1'] / total) if total else None


def _divide(numerator_K: np.ndarray, denominator_K: np.ndarray) -> np.ndarray:
  return numerator_K / np.where(denominator_K > 0, denominator_K, 1)
