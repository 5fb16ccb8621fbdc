"""The photos: photo i of a split is a function of (seed, split, i) alone."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from imat_jax.data.drawing import dice, garment, labels, setting, wardrobe
from imat_jax.data.drawing.garment import Garment
from imat_jax.data.drawing.labels import Label
from imat_jax.data.drawing.setting import Setting

SPLITS = ('train', 'validation')


@dataclasses.dataclass(frozen=True)
class Photo:
  """A photo to be drawn and what people said of it."""

  garment: Garment
  setting: Setting
  labels: tuple[Label, ...]


def photos(seed: int, split: str, count: int) -> Iterator[Photo]:
  """The first `count` photos of a split; quick, as nothing is drawn."""
  return (photo(seed, split, index) for index in range(count))


def photo(seed: int, split: str, index: int) -> Photo:
  """Photo `index` of a split."""
  rng = np.random.default_rng([seed, SPLITS.index(split), index])
  meant = garment.any_of(rng, dice.pick(rng, wardrobe.APPAREL))
  taken = setting.any_for(rng, meant)
  return Photo(meant, taken, labels.given(rng, meant, taken))
