"""One garment: its traits in Kaggle's words, drawn as the tables say."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from imat_jax.data.drawing import dice, dyes, wardrobe


@dataclasses.dataclass(frozen=True)
class Garment:
  """A garment; all that its traits say shows in the drawing.

  Attributes:
    traits: attribute → label.
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


def any_of(rng: np.random.Generator, apparel: str) -> Garment:
  """A garment of this class."""
  age = dice.pick(rng, wardrobe.AGE[apparel])
  gender = 'women' if dice.chance(rng, wardrobe.WOMEN[apparel]) else 'men'
  wearer = gender if age == 'adult' else 'kids'
  kind = dice.pick(rng, wardrobe.KINDS[apparel][wearer])
  details = wardrobe.DETAILS[kind].items()
  traits = {name: dice.pick(rng, table) for name, table in details}
  traits |= {wardrobe.KIND[apparel]: kind, 'age': age, 'gender': gender}
  if apparel != 'shoe':
    traits['pattern'] = _pattern(rng, apparel, traits)
  traits['color'] = _color(rng, apparel, traits)
  return Garment(apparel, traits, _accent(rng, apparel, traits), dice.seed(rng))


def of_another_class(rng: np.random.Generator, garment: Garment) -> Garment:
  """A garment of any class but this one's."""
  others = {k: v for k, v in wardrobe.APPAREL.items() if k != garment.apparel}
  return any_of(rng, dice.pick(rng, others))


def worn_with(
  rng: np.random.Generator, garment: Garment, apparel: str
) -> Garment:
  """A garment of the class `apparel` for the same wearer."""
  while True:
    other = any_of(rng, apparel)
    # A long coat would hide the pants that are meant.
    hides = apparel == 'outerwear' and other.traits['length'] != 'short'
    if other.size == garment.size and not hides:
      return other


def _pattern(rng, apparel: str, traits: Mapping[str, str]) -> str:
  if traits['age'] != 'adult' and traits['material'] != 'denim':
    return dice.pick(rng, wardrobe.KIDS_PATTERN)
  if apparel == 'dress':
    return dice.pick(rng, wardrobe.DRESS_PATTERN)
  return traits['pattern']


def _color(rng, apparel: str, traits: Mapping[str, str]) -> str:
  factors = [dyes.BY_WEARER[traits['gender']]]
  if traits['material'] in dyes.BY_MATERIAL:
    factors.append(dyes.BY_MATERIAL[traits['material']])
  if traits['age'] != 'adult':
    factors.append(dyes.BY_WEARER[traits['age']])
  return dice.pick(rng, dyes.BY_CLASS[apparel], *factors)


def _accent(rng, apparel: str, traits: Mapping[str, str]) -> str:
  """Any other color; white is the commonest, as in prints."""
  others = dict(dyes.BY_CLASS[apparel], white=30.0)
  del others[traits['color']]
  return dice.pick(rng, others)
