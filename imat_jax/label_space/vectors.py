"""From features of photos to vectors of labels.

A label is the mean and the spread of its photos. Distances between labels are
those of the means over the spread that photos of one label have, dimension by
dimension: so no embedder's unit counts, and what varies within every label
counts little.
"""

from typing import NamedTuple

import numpy as np


class Labels(NamedTuple):
  """The K labels that are grouped.

  Attributes:
    names: in the order of the task.
    count_K: their train photos.
    color_KxC: the mean color of the centre of these, red, green, blue to 255.
    reference: each label's group by hand; None if there are none.
  """

  names: tuple[str, ...]
  count_K: np.ndarray
  color_KxC: np.ndarray
  reference: tuple[str, ...] | None

  @property
  def reference_K(self) -> np.ndarray | None:
    if self.reference is None:
      return None
    return np.unique(self.reference, return_inverse=True)[1]


class LabelVectors(NamedTuple):
  """K labels as points; A is the number of draws, or nothing."""

  mean_AxKxD: np.ndarray
  spread_AxKxD: np.ndarray  # standard deviation of a label's photos

  def point_AxKxD(self) -> np.ndarray:
    """The means in units of the spread within a label; 0 where that is 0."""
    within = np.sqrt((self.spread_AxKxD**2).mean(-2, keepdims=True))
    is_flat = within < 1e-9
    return np.where(is_flat, 0, self.mean_AxKxD / np.where(is_flat, 1, within))


def of_labels(feature_NxD: np.ndarray, label_N: np.ndarray) -> LabelVectors:
  """The vectors of all photos, K × D.

  Args:
    feature_NxD: of photos.
    label_N: 0 … K - 1, each on some photo.
  """
  once_1xN = np.ones((1, len(label_N)))
  return LabelVectors(
    *(array[0] for array in _weighted(feature_NxD, label_N, once_1xN))
  )


def drawn(
  feature_NxD: np.ndarray, label_N: np.ndarray, number: int, seed: int
) -> LabelVectors:
  """The vectors of bootstrap samples, A × K × D.

  Each has as many photos of each label, drawn with replacement.
  """
  rng = np.random.default_rng(seed)
  weight_AxN = np.empty((number, len(label_N)))
  for label in np.unique(label_N):
    own_N = label_N == label
    count = own_N.sum()
    weight_AxN[:, own_N] = rng.multinomial(
      count, np.full(count, 1 / count), number
    )
  return _weighted(feature_NxD, label_N, weight_AxN)


def _weighted(
  feature_NxD: np.ndarray, label_N: np.ndarray, weight_AxN: np.ndarray
) -> LabelVectors:
  # Around their mean, as a variance is the difference of two squares.
  centre_D = feature_NxD.mean(0, dtype=np.float64)
  centred_NxD = feature_NxD - centre_D
  means, spreads = [], []
  for label in range(label_N.max() + 1):
    own_N = label_N == label
    share_AxM = weight_AxN[:, own_N] / weight_AxN[:, own_N].sum(1)[:, None]
    mean_AxD = share_AxM @ centred_NxD[own_N]
    square_AxD = share_AxM @ centred_NxD[own_N] ** 2
    means.append(centre_D + mean_AxD)
    spreads.append(np.sqrt(np.maximum(square_AxD - mean_AxD**2, 0)))
  return LabelVectors(np.stack(means, 1), np.stack(spreads, 1))
