"""Types of batches and of stored photos, and the splits; numpy only."""

import math
from typing import NamedTuple

import numpy as np

# The warp zooms in to 0.8 of a photo at most: with a quarter more pixels there
# is still a stored pixel per output pixel.
_MARGIN = 1.25


class Batch(NamedTuple):
  """B examples; a pytree."""

  image_BxHxWxC: np.ndarray  # uint8
  label_BxT: np.ndarray  # int32, -1 where missing


class Shard(NamedTuple):
  """Which of `number` equal, contiguous parts of each batch is loaded."""

  index: int
  number: int


ALL = Shard(0, 1)


class Resize(NamedTuple):
  """How photos become the squares that a data set stores; antialiased."""

  side: int  # pixels
  filter: str = 'bilinear'  # or bicubic

  @classmethod
  def of(cls, image_size: int, exact_size: bool = False) -> 'Resize':
    """That of a data set.

    Args:
      image_size: what networks see, in pixels.
      exact_size: resized only once, to that, and as pre-trained networks were
        shown their photos; there is no margin to zoom into.
    """
    if exact_size:
      return cls(image_size, 'bicubic')
    return cls(math.ceil(image_size * _MARGIN))


# The splits, as folders and files are named.
TRAIN, VALIDATION, TEST = 'train', 'validation', 'test'
