"""The parameters of each photo: who wears what, how it is taken and labelled.

Photo i of a split is a function of (seed, split, i) alone. To turn the data
harder or easier, change the constants here; `wardrobe` has the shares.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from imat_jax.data.drawing import wardrobe

# Difficulty: shares of the photos.
WORN = 0.35  # on a person, who wears more than the garment that is meant
CLUTTERED = 0.45  # before a floor, a carpet or a full room
EXTRA_GARMENT = 0.3  # of those not worn: a garment of another class in view
OCCLUDED = 0.2  # something lies before the garment
PRINTED_OVER = 0.1  # a banner or a mark of the shop
# Difficulty: spreads.
ROTATION = 12.0  # degrees, the standard deviation where nobody wears it
SHIFT = 0.07  # of the side, the standard deviation
NOISE = 0.05  # of white, the greatest standard deviation of the sensor
BLUR = 1.6  # pixels, the greatest standard deviation

# Labels: shares of the annotated photos.
WRONG_APPAREL = 0.02  # annotated as if it were of another class
WRONG_LABEL = 0.03  # of the annotations: another label of the task
TWO_CLASSES = 0.004  # annotated in two classes
REPEATED = 0.004  # a second label for one task
NOT_ANNOTATED = 0.004
# How many of the photos have a label of each task; those of the other tasks of
# a class share the rate OTHERS, and one stands in where nothing was asked.
ASKED = {'color': 0.28, 'material': 0.23, 'gender': 0.09, 'age': 0.06}
OTHERS = 0.59

SPLITS = ('train', 'validation')
Rgb = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Garment:
  """A garment; all that its labels say shows in the drawing.

  Attributes:
    traits: attribute → label, in Kaggle's words.
    accent: the second color, of prints and trimmings; a label of `color`.
    seed: of the small differences between two garments of the same traits.
  """

  apparel: str
  traits: Mapping[str, str]
  accent: str
  seed: int

  @property
  def size(self) -> str:
    """Whose body it is cut for: men, women, kids or baby."""
    age = self.traits['age']
    return self.traits['gender'] if age == 'adult' else age


@dataclasses.dataclass(frozen=True)
class Placement:
  """Where a garment lies; lengths in shares of the frame, angles in degrees."""

  x: float
  y: float
  zoom: float
  rotation: float
  mirrored: bool
  tilt: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Scene:
  """All of a photo but the garment that is meant.

  Attributes:
    company: what the person wears besides, or what lies in view.
    cast: gains of red, green and blue.
    light: from where, as x and y of the direction.
  """

  size: tuple[int, int]
  manner: Literal['flat', 'hanger', 'worn', 'mannequin']
  background: str
  place: Placement
  company: tuple[tuple[Garment, Placement], ...]
  occluded: bool
  printed_over: bool
  cast: Rgb
  light: tuple[float, float]
  exposure: float
  blur: float
  noise: float
  quality: int
  seed: int


@dataclasses.dataclass(frozen=True)
class Photo:
  """A photo to be drawn and its annotations as (task name, label name)."""

  garment: Garment
  scene: Scene
  annotations: tuple[tuple[str, str], ...]


def photos(seed: int, split: str, count: int) -> Iterator[Photo]:
  """The first `count` photos of a split."""
  return (photo(seed, split, index) for index in range(count))


def photo(seed: int, split: str, index: int) -> Photo:
  """Photo `index` of a split."""
  rng = np.random.default_rng([seed, SPLITS.index(split), index])
  garment = _garment(rng, _pick(rng, wardrobe.APPAREL))
  scene = _scene(rng, garment)
  return Photo(garment, scene, _annotations(rng, garment, scene))


def _pick(rng: np.random.Generator, *tables: wardrobe.Shares) -> str:
  """A label by the first table's shares, times the factors of the others."""
  shares = dict(tables[0])
  for factors in tables[1:]:
    for label in shares.keys() & factors.keys():
      shares[label] *= factors[label]
  weights = np.cumsum(list(shares.values()))
  at = np.searchsorted(weights, rng.random() * weights[-1], side='right')
  return list(shares)[at]


def _chance(rng: np.random.Generator, share: float) -> bool:
  return bool(rng.random() < share)


def _seed(rng: np.random.Generator) -> int:
  return int(rng.integers(2**31))


def _garment(rng: np.random.Generator, apparel: str) -> Garment:
  age = _pick(rng, wardrobe.AGE[apparel])
  gender = 'women' if _chance(rng, wardrobe.WOMEN[apparel]) else 'men'
  wearer = gender if age == 'adult' else 'kids'
  kind = _pick(rng, wardrobe.KINDS[apparel][wearer])
  traits = {
    name: _pick(rng, table) for name, table in wardrobe.DETAILS[kind].items()
  }
  traits |= {wardrobe.KIND[apparel]: kind, 'age': age, 'gender': gender}
  if apparel == 'dress':
    traits['pattern'] = _pick(rng, wardrobe.DRESS_PATTERN)
  if apparel != 'shoe' and wearer == 'kids' and traits['material'] != 'denim':
    traits['pattern'] = _pick(rng, wardrobe.KIDS_PATTERN)
  traits['color'] = _color(rng, apparel, traits)
  others = dict(wardrobe.COLOR[apparel], white=20.0)
  del others[traits['color']]
  return Garment(apparel, traits, _pick(rng, others), _seed(rng))


def _color(rng, apparel: str, traits: Mapping[str, str]) -> str:
  factors = [
    wardrobe.COLOR_BY_MATERIAL.get(traits['material'], {}),
    wardrobe.COLOR_BY_WEARER[traits['gender']],
  ]
  if traits['age'] != 'adult':
    factors.append(wardrobe.COLOR_BY_WEARER[traits['age']])
  return _pick(rng, wardrobe.COLOR[apparel], *factors)


def _scene(rng: np.random.Generator, garment: Garment) -> Scene:
  manner = _manner(rng, garment)
  worn = manner in ('worn', 'mannequin')
  width, height = rng.integers(200, 321, 2)
  light = rng.normal(-0.35, 0.3), -rng.uniform(0.2, 0.8)
  return Scene(
    size=(int(width), int(height)),
    manner=manner,
    background=_background(rng),
    place=_placement(rng, garment, worn),
    company=_clothes(rng, garment) if worn else _neighbours(rng, garment),
    occluded=_chance(rng, OCCLUDED),
    printed_over=_chance(rng, PRINTED_OVER),
    cast=_cast(rng),
    light=light,
    exposure=float(np.exp(rng.normal(0, 0.16))),
    blur=float(rng.uniform(0.2, BLUR) * rng.random() + 0.2),
    noise=float(NOISE * rng.random() ** 2),
    quality=int(rng.integers(45, 95)),
    seed=_seed(rng),
  )


def _manner(rng: np.random.Generator, garment: Garment) -> str:
  if _chance(rng, WORN):
    return 'mannequin' if _chance(rng, 0.25) else 'worn'
  hangs = 0 if garment.apparel == 'shoe' else 0.4
  return 'hanger' if _chance(rng, hangs) else 'flat'


def _background(rng: np.random.Generator) -> str:
  if _chance(rng, CLUTTERED):
    return _pick(
      rng, wardrobe.shares('room 4, planks 2, tiles, carpet 2, bed 2')
    )
  return _pick(rng, wardrobe.shares('studio 6, wall 4'))


def _placement(
  rng: np.random.Generator, garment: Garment, worn: bool
) -> Placement:
  small = 1.0 if garment.size in ('men', 'women') else 0.82
  return Placement(
    x=0.5 + rng.normal(0, SHIFT),
    y=0.5 + rng.normal(0, SHIFT),
    zoom=small * rng.uniform(0.5, 0.95),
    rotation=rng.normal(0, 3.0 if worn else ROTATION),
    mirrored=_chance(rng, 0.5),
    tilt=tuple(rng.normal(0, 0.02 if worn else 0.05, 2).tolist()),
  )


def _cast(rng: np.random.Generator) -> Rgb:
  warmth, green = rng.normal(0, 0.07), rng.normal(0, 0.02)
  return 1 + warmth, 1 + green, 1 - warmth


def _neighbours(rng, garment: Garment) -> tuple:
  """Up to two garments of other classes, at the sides of the frame."""
  if not _chance(rng, EXTRA_GARMENT):
    return ()
  count = 2 if _chance(rng, 0.3) else 1
  return tuple(_neighbour(rng, garment) for _ in range(count))


def _neighbour(rng, garment: Garment) -> tuple[Garment, Placement]:
  other = _garment(rng, _pick(rng, _others(garment.apparel)))
  angle = rng.uniform(0, 2 * np.pi)
  place = Placement(
    x=0.5 + 0.45 * float(np.cos(angle)),
    y=0.5 + 0.45 * float(np.sin(angle)),
    zoom=rng.uniform(0.3, 0.65),
    rotation=rng.normal(0, 30),
    mirrored=_chance(rng, 0.5),
    tilt=(0.0, 0.0),
  )
  return other, place


def _others(apparel: str) -> wardrobe.Shares:
  return {k: v for k, v in wardrobe.APPAREL.items() if k != apparel}


def _clothes(rng: np.random.Generator, garment: Garment) -> tuple:
  """What the wearer has on besides."""
  worn = []
  if garment.apparel != 'shoe':
    worn.append('shoe')
  if garment.apparel == 'shoe' and _chance(rng, 0.7):
    worn.append('pants')
  if garment.apparel == 'pants' and _chance(rng, 0.4):
    worn.append('outerwear')
  if garment.apparel == 'outerwear':
    in_dress = garment.traits['gender'] == 'women' and _chance(rng, 0.3)
    worn.append('dress' if in_dress else 'pants')
  return tuple((_fitting(rng, apparel, garment), None) for apparel in worn)


def _fitting(rng, apparel: str, garment: Garment) -> Garment:
  """A garment for the same wearer."""
  while True:
    other = _garment(rng, apparel)
    # A long coat would hide the pants that are meant.
    hides = apparel == 'outerwear' and other.traits['length'] != 'short'
    if other.size == garment.size and not hides:
      return other


def _annotations(rng, garment: Garment, scene: Scene) -> tuple:
  if _chance(rng, NOT_ANNOTATED):
    return ()
  if _chance(rng, WRONG_APPAREL):
    garment = _garment(rng, _pick(rng, _others(garment.apparel)))
  found = _asked(rng, garment)
  if _chance(rng, TWO_CLASSES):
    company = [other for other, _ in scene.company]
    second = company[0] if company else _neighbour(rng, garment)[0]
    found += _asked(rng, second)[:1]
  found = [(task, _noisy(rng, task, label)) for task, label in found]
  if _chance(rng, REPEATED):
    task, label = found[0]
    found.insert(1, (task, _other_label(rng, task, label)))
  return tuple(found)


def _asked(rng, garment: Garment) -> list[tuple[str, str]]:
  """The tasks that somebody answered for a photo; at least one."""
  others = [name for name in garment.traits if name not in ASKED]
  rates = dict.fromkeys(others, OTHERS / len(others)) | ASKED
  asked = [name for name, rate in rates.items() if _chance(rng, rate)]
  asked = asked or [others[rng.integers(len(others))]]
  return [(f'{garment.apparel}:{a}', garment.traits[a]) for a in asked]


def _noisy(rng, task: str, label: str) -> str:
  wrong = _chance(rng, WRONG_LABEL)
  return _other_label(rng, task, label) if wrong else label


def _other_label(rng, task: str, label: str) -> str:
  """A label that another garment of the class has in this task."""
  apparel, attribute = task.split(':')
  while True:
    other = _garment(rng, apparel).traits.get(attribute, label)
    if other != label:
      return other
