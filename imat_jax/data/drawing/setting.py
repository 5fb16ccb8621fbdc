"""How a photo is taken: the manner, the place, the company, the camera."""

import dataclasses
from typing import Literal

import numpy as np

from imat_jax.data.drawing import dice, difficulty
from imat_jax.data.drawing import garment as garments
from imat_jax.data.drawing.garment import Garment
from imat_jax.data.drawing.palette import Rgb

# How shops and people show each class.
_MANNER = dice.tables(
  shoe='flat 78, worn 22',
  dress='worn 48, mannequin 17, hanger 17, flat 18',
  pants='flat 44, hanger 16, worn 32, mannequin 8',
  outerwear='flat 36, hanger 28, worn 22, mannequin 14',
)
_BACKGROUND = dice.tables(
  shoe='studio 80, tiles 6, carpet 6, planks 4, backdrop 4',
  dress='backdrop 50, room 20, studio 20, wall 5, street 5',
  pants='studio 30, planks 25, bed 20, wall 20, carpet 5',
  outerwear='street 45, wall 42, room 8, studio 5',
)
_ANY_BACKGROUND = dice.shares(
  'studio 5, backdrop 4, wall 4, room 4, street 3, planks 3, bed 2, carpet,'
  ' tiles'
)
# What lies is not on the street, who stands is not on a bed.
_UNFIT = {
  'flat': dice.shares('street 0, room 0.3'),
  'hanger': dice.shares('bed 0, carpet 0, street 0.3'),
  'worn': dice.shares('bed 0, carpet 0, planks 0.3, tiles 0.3'),
  'mannequin': dice.shares('bed 0, carpet 0, planks 0.3, tiles 0.3'),
}


@dataclasses.dataclass(frozen=True)
class Placement:
  """Where a garment lies; lengths in shares of the frame, angles in degrees."""

  x: float
  y: float
  zoom: float
  rotation: float
  mirrored: bool
  tilt: tuple[float, float] = (0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Setting:
  """All of a photo but the garment that is meant.

  Attributes:
    size: width and height in pixels.
    worn_with: what the person wears besides.
    beside: what lies in view.
    light: x and y of the direction to it.
    cast: gains of red, green and blue.
    blur: pixels; noise: share of white; both are standard deviations.
  """

  size: tuple[int, int]
  manner: Literal['flat', 'hanger', 'worn', 'mannequin']
  background: str
  place: Placement
  worn_with: tuple[Garment, ...]
  beside: tuple[tuple[Garment, Placement], ...]
  occluded: bool
  printed_over: bool
  light: tuple[float, float]
  exposure: float
  cast: Rgb
  blur: float
  noise: float
  quality: int
  seed: int

  @property
  def company(self) -> tuple[Garment, ...]:
    """All other garments in view."""
    return *self.worn_with, *(other for other, _ in self.beside)


def any_for(rng: np.random.Generator, garment: Garment) -> Setting:
  """A setting for a photo of this garment."""
  manner = dice.pick(rng, _MANNER[garment.apparel])
  is_worn = manner in ('worn', 'mannequin')
  warmth = rng.normal(0, difficulty.CAST)
  return Setting(
    size=tuple(rng.integers(200, 321, 2).tolist()),
    manner=manner,
    background=_background(rng, garment, manner),
    place=_place(rng, garment, is_worn),
    worn_with=_worn_with(rng, garment) if is_worn else (),
    beside=() if is_worn else _beside(rng, garment),
    occluded=dice.chance(rng, difficulty.OCCLUDED),
    printed_over=dice.chance(rng, difficulty.PRINTED_OVER),
    light=(rng.normal(-0.35, 0.3), -rng.uniform(0.2, 0.8)),
    exposure=np.exp(rng.normal(0, difficulty.EXPOSURE)),
    cast=(1 + warmth, 1 + rng.normal(0, 0.02), 1 - warmth),
    blur=0.2 + difficulty.BLUR * rng.random() ** 2,
    noise=difficulty.NOISE * rng.random() ** 2,
    quality=int(rng.integers(45, 95)),
    seed=dice.seed(rng),
  )


def _background(rng, garment: Garment, manner: str) -> str:
  is_unusual = dice.chance(rng, difficulty.UNUSUAL)
  usual = _BACKGROUND[garment.apparel]
  return dice.pick(
    rng, _ANY_BACKGROUND if is_unusual else usual, _UNFIT[manner]
  )


def _place(rng: np.random.Generator, garment: Garment, is_worn: bool):
  small = 1.0 if garment.traits['age'] == 'adult' else 0.82
  # A person who is turned or tilted would float.
  steady = 0.25 if is_worn else 1.0
  x, y = 0.5 + rng.normal(0, difficulty.SHIFT, 2)
  return Placement(
    x=x,
    y=y,
    zoom=small * rng.uniform(*difficulty.ZOOM),
    rotation=rng.normal(0, steady * difficulty.ROTATION),
    mirrored=dice.chance(rng, 0.5),
    tilt=tuple(rng.normal(0, steady * difficulty.TILT, 2)),
  )


def _beside(rng: np.random.Generator, garment: Garment):
  if not dice.chance(rng, difficulty.EXTRA_GARMENT):
    return ()
  count = 2 if dice.chance(rng, 0.3) else 1
  others = [garments.of_another_class(rng, garment) for _ in range(count)]
  return tuple((other, _aside(rng)) for other in others)


def _aside(rng: np.random.Generator) -> Placement:
  """At an edge of the frame."""
  angle = rng.uniform(0, 2 * np.pi)
  return Placement(
    x=0.5 + 0.45 * np.cos(angle),
    y=0.5 + 0.45 * np.sin(angle),
    zoom=rng.uniform(0.3, 0.65),
    rotation=rng.normal(0, 30),
    mirrored=dice.chance(rng, 0.5),
  )


def _worn_with(rng: np.random.Generator, garment: Garment):
  if garment.apparel == 'shoe':
    also = ['pants'] if dice.chance(rng, 0.7) else []
  elif garment.apparel == 'pants':
    also = ['shoe', 'outerwear'] if dice.chance(rng, 0.4) else ['shoe']
  elif garment.apparel == 'outerwear':
    in_dress = garment.traits['gender'] == 'women' and dice.chance(rng, 0.3)
    also = ['shoe', 'dress' if in_dress else 'pants']
  else:
    also = ['shoe']
  return tuple(garments.worn_with(rng, garment, apparel) for apparel in also)
