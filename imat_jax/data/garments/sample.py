"""What is in a photo and what people said of it.

Photo i of a split is a function of (seed, split, i) alone. As in the paper's
data it has few labels of those that it could have, some of them wrong.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from imat_jax.data.garments.catalog import TABLES, chance, pick

SPLITS = ('train', 'validation')
APPAREL = TABLES['apparel']
# The attribute that names the kind of a garment; others depend on it.
_KIND = dict.fromkeys(APPAREL, 'type') | {'dress': 'silhouette'}

# How many of the photos have a label of each task; the other tasks of a class
# share the rate OTHERS. A photo without any gets one of those.
ASKED = {'color': 0.28, 'material': 0.23, 'gender': 0.09, 'age': 0.06}
OTHERS = 0.59

# What is wrong in the labels.
WRONG_APPAREL = 0.02  # of the photos: annotated as if it were of another class
WRONG_LABEL = 0.03  # of the annotations: another label of the task
TWO_CLASSES = 0.03  # of those with two classes in view: annotated in both
REPEATED = 0.004  # two labels for one task
NOT_ANNOTATED = 0.004

UNUSUAL = 0.15  # of the photos: before a background of any class
BESIDE = 0.06  # of those not worn: garments of other classes lie in view

Label = tuple[str, str]  # Kaggle's names of the task and of the label


@dataclasses.dataclass(frozen=True)
class Garment:
  """A garment; two with the same traits differ a little, by their seeds."""

  apparel: str
  traits: dict[str, str]  # attribute → label
  accent: str  # the second color, of prints and trimmings
  seed: int

  @property
  def size(self) -> str:
    """Whose body it is cut for: men, women, kids or baby."""
    age = self.traits['age']
    return self.traits['gender'] if age == 'adult' else age


@dataclasses.dataclass(frozen=True)
class Photo:
  """A photo to be rendered and its labels."""

  garment: Garment
  size: tuple[int, int]  # width and height in pixels
  manner: str  # flat, hanger, worn or mannequin
  background: str
  others: tuple[Garment, ...]  # that the person wears besides, or lie beside
  seed: int  # of all else: pose, place, light and camera
  labels: tuple[Label, ...]

  @property
  def is_worn(self) -> bool:
    """By a person or a mannequin."""
    return self.manner in ('worn', 'mannequin')


def photos(seed: int, split: str, count: int) -> Iterator[Photo]:
  """The first `count` photos of a split; quick, as nothing is rendered."""
  return (photo(seed, split, index) for index in range(count))


def photo(seed: int, split: str, index: int) -> Photo:
  """Photo `index` of a split."""
  rng = np.random.default_rng([seed, SPLITS.index(split), index])
  garment = _garment(rng, pick(rng, APPAREL))
  table = TABLES[garment.apparel]
  manner = pick(rng, table['manner'])
  backgrounds = (TABLES if chance(rng, UNUSUAL) else table)['background']
  is_worn = manner in ('worn', 'mannequin')
  others = _worn_with(rng, garment) if is_worn else _beside(rng, garment)
  return Photo(
    garment,
    size=tuple(rng.integers(200, 321, 2).tolist()),
    manner=manner,
    background=pick(rng, backgrounds, TABLES['unfit'][manner]),
    others=others,
    seed=int(rng.integers(2**31)),
    labels=_labels(rng, garment, others),
  )


def _garment(
  rng: np.random.Generator, apparel: str, like: Garment | None = None
) -> Garment:
  """A garment of this class, for anybody or for the wearer of another one."""
  table, kinds = TABLES[apparel], TABLES['kinds'][apparel]
  age = pick(rng, table['age'])
  gender = 'women' if chance(rng, table['women']) else 'men'
  if like:
    age, gender = like.traits['age'], like.traits['gender']
  wearer = gender if age == 'adult' else 'kids'
  by_wearer = {k: v['wearer'].get(wearer, 0.0) for k, v in kinds.items()}
  kind = pick(rng, by_wearer)
  details = table['details'] | kinds[kind]
  del details['wearer']
  traits = {name: pick(rng, labels) for name, labels in details.items()}
  traits |= {_KIND[apparel]: kind, 'age': age, 'gender': gender}
  if 'pattern' in traits and age != 'adult' and traits['material'] != 'denim':
    traits['pattern'] = pick(rng, TABLES['kids_pattern'])
  by = (gender, age, traits['material'])
  factors = [TABLES['color_by'].get(name, {}) for name in by]
  traits['color'] = pick(rng, table['color'], *factors)
  # Any other color; white is the commonest, as in prints.
  accents = table['color'] | {'white': 30.0, traits['color']: 0.0}
  accent = pick(rng, accents)
  return Garment(apparel, traits, accent, int(rng.integers(2**31)))


def _of_another_class(rng: np.random.Generator, garment: Garment) -> Garment:
  return _garment(rng, pick(rng, APPAREL, {garment.apparel: 0.0}))


def _beside(rng: np.random.Generator, garment: Garment) -> tuple[Garment, ...]:
  count = int(chance(rng, BESIDE)) * int(rng.integers(1, 3))
  return tuple(_of_another_class(rng, garment) for _ in range(count))


def _worn_with(rng: np.random.Generator, garment: Garment):
  if garment.apparel == 'pants' and chance(rng, 0.4):
    jacket = _garment(rng, 'outerwear', garment)
    jacket.traits['length'] = 'short'  # so that it does not hide the pants
    return (jacket,)
  if garment.apparel != 'outerwear':
    return ()
  in_dress = garment.traits['gender'] == 'women' and chance(rng, 0.3)
  return (_garment(rng, 'dress' if in_dress else 'pants', garment),)


def _labels(
  rng: np.random.Generator, garment: Garment, others: tuple[Garment, ...]
) -> tuple[Label, ...]:
  """The annotations of a photo."""
  if chance(rng, NOT_ANNOTATED):
    return ()
  if chance(rng, WRONG_APPAREL):
    garment = _of_another_class(rng, garment)
  labels = _answers(rng, garment)
  if others and chance(rng, TWO_CLASSES):
    labels.append(_answers(rng, others[0])[0])
  labels = [_another(rng, x) if chance(rng, WRONG_LABEL) else x for x in labels]
  if chance(rng, REPEATED):
    labels.append(_another(rng, labels[0]))
  return tuple(labels)


def _answers(rng: np.random.Generator, garment: Garment) -> list[Label]:
  """The labels that somebody was asked for; at least one."""
  others = [name for name in garment.traits if name not in ASKED]
  rates = ASKED | dict.fromkeys(others, OTHERS / len(others))
  asked = [name for name, rate in rates.items() if chance(rng, rate)]
  asked = asked or [others[rng.integers(len(others))]]
  return [(f'{garment.apparel}:{a}', garment.traits[a]) for a in asked]


def _another(rng: np.random.Generator, label: Label) -> Label:
  """A label that another garment of the class has in this task."""
  task, name = label
  apparel, _, attribute = task.partition(':')
  while True:
    other = _garment(rng, apparel).traits[attribute]
    if other != name:
      return task, other
