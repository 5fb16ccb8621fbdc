"""Scores of a task, and `METRICS`: those that all pages and files show.

Most follow from a confusion matrix, rows are true labels, columns predicted.
Where one divides by zero it is 0, as scikit-learn's `zero_division=0`; averages
are over the labels that occur, as true or as predicted.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np


class Metric(NamedTuple):
  """A number per task that says how good a network is.

  Attributes:
    title: in pages and tables.
    value: of the confusion matrix of a task that has labels, K × K; or of R
      such matrices, R × K × K, as intervals resample it: use axes -2 and -1.
      For a metric with `sums`: of their total over the split for one task,
      numpy.
    sums: None for a metric of the confusion matrix. Else a function of a batch,
      on the device: logits, B × T × K with -inf behind the last label of a
      task, and labels, B × T with -1 where missing → a pytree of sums, T in
      front, that add up over batches. A metric with sums is null for train, and
      has no interval. tests/metrics_test.py has one.
    higher_is_better: or lower.
    every_epoch: whether `metrics.jsonl` has it.
    bounds: the lowest and the highest possible value.
  """

  title: str
  value: Callable[[Any], np.ndarray | float]
  sums: Callable[[jax.Array, jax.Array], Any] | None = None
  higher_is_better: bool = True
  every_epoch: bool = True
  bounds: tuple[float, float] = (-np.inf, np.inf)


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


def accuracy(confusion_RxKxK: np.ndarray) -> np.ndarray:
  """The share of correct predictions, of each of R matrices."""
  right_R = np.trace(confusion_RxKxK, axis1=-2, axis2=-1)
  return divide(right_R, confusion_RxKxK.sum((-2, -1)))


def per_label(confusion_RxKxK: np.ndarray) -> dict[str, np.ndarray]:
  """`support`, `precision`, `recall` and `f1`, R × K each."""
  right_RxK = np.diagonal(confusion_RxKxK, axis1=-2, axis2=-1)
  support_RxK = confusion_RxKxK.sum(-1)
  predicted_RxK = confusion_RxKxK.sum(-2)
  return {
    'support': support_RxK,
    'precision': divide(right_RxK, predicted_RxK),
    'recall': divide(right_RxK, support_RxK),
    'f1': divide(2 * right_RxK, support_RxK + predicted_RxK),
  }


def macro_f1(confusion_RxKxK: np.ndarray) -> np.ndarray:
  """The mean F1 over the labels that occur, of each of R matrices."""
  occurs_RxK = (confusion_RxKxK.sum(-1) + confusion_RxKxK.sum(-2)) > 0
  # A label that does not occur has the F1 0.
  f1_RxK = per_label(confusion_RxKxK)['f1']
  return divide(f1_RxK.sum(-1), occurs_RxK.sum(-1))


def weighted_f1(confusion_RxKxK: np.ndarray) -> np.ndarray:
  """The mean F1 over labels by their support, of each of R matrices."""
  values = per_label(confusion_RxKxK)
  total_R = values['support'].sum(-1)
  return divide((values['support'] * values['f1']).sum(-1), total_R)


def row_shares(confusion_RxKxK: np.ndarray) -> np.ndarray:
  """The predictions as shares of each true label's photos."""
  return divide(confusion_RxKxK, confusion_RxKxK.sum(-1, keepdims=True))


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
  """The quotient, 0 where the denominator is."""
  return numerator / np.where(denominator > 0, denominator, 1)


# An entry here is in metrics.jsonl, evaluation.json, pages and cards.
METRICS = {
  'accuracy': Metric('accuracy', accuracy, bounds=(0, 1)),
  'macro_f1': Metric('macro F1', macro_f1, bounds=(0, 1)),
  'weighted_f1': Metric(
    'weighted F1', weighted_f1, every_epoch=False, bounds=(0, 1)
  ),
}


def check(metrics: dict[str, Metric]) -> None:
  """Raises `TypeError` unless the values of matrices have an R in front."""
  for name, metric in metrics.items():
    if not metric.sums and np.shape(metric.value(np.ones((2, 3, 3)))) != (2,):
      raise TypeError(f'METRICS: {name} gives no number for each of R matrices')


# Now, not when intervals need it, at the end of a long run.
check(METRICS)
