"""Types that loaders and steps exchange, and the splits; numpy only."""

from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
  """B examples; a pytree."""

  image_BxHxWxC: np.ndarray  # uint8
  label_BxT: np.ndarray  # int32, -1 where missing


class Shard(NamedTuple):
  """Which of `number` equal, contiguous parts of each batch is loaded."""

  index: int
  number: int


ALL = Shard(0, 1)

# The splits, as folders and files are named.
TRAIN, VALIDATION, TEST = 'train', 'validation', 'test'
