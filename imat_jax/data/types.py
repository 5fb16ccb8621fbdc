"""What loaders and steps pass to each other; numpy alone."""

from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
  """B examples; a pytree."""

  image_BxHxWxC: np.ndarray  # uint8
  label_BxT: np.ndarray  # int32, -1 where missing


class Shard(NamedTuple):
  """Which part of each batch is made here: one of several equal runs."""

  index: int
  number: int


ALL = Shard(0, 1)
