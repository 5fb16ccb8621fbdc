"""People, and the dresses, pants and outerwear that are cut for them.

The units are those of catalog.toml. Children are wider and have larger heads
instead of being shorter, as a photo of one garment has no other scale.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from imat_jax.data.garments import outline, textures
from imat_jax.data.garments.catalog import TABLES
from imat_jax.data.garments.outline import box, ellipse, mirrored, ribbon, sides
from imat_jax.data.garments.rasterize import Part
from imat_jax.data.garments.sample import Garment
from imat_jax.data.garments.textures import Cloth

SHOULDER, ARMPIT, WAIST, HIP, CROTCH = 1.5, 2.15, 2.95, 3.75, 4.2
KNEE, ANKLE = 5.75, 7.3
_METAL = Cloth((0.7, 0.68, 0.62), 'metal')
_BARE = ('strapless', 'off shoulder')


class Body(NamedTuple):
  """Somebody in a pose: widths, and the middle lines of arms and legs."""

  shoulder: float
  chest: float
  waist: float
  hip: float
  thigh: float
  head: float
  arms: list[np.ndarray]
  legs: list[np.ndarray]

  def sleeves(self, share: float, ease: float, cloth: Cloth) -> Iterator[Part]:
    """Around a share of the arms; or the arms themselves."""
    at = share * np.linspace(0, 1, 7)
    widths = ease * self.thigh * np.interp(at, (0, 0.2, 1), (0.5, 0.9, 0.55))
    for path in self.arms:
      yield Part(ribbon(outline.along(path, share), widths), cloth)


def body(size: str, spread: float, rng: np.random.Generator) -> Body:
  """A body whose arms hang down but for about `spread` degrees."""
  widths, arms = TABLES['body'][size], []
  for side in (1, -1):
    upper = np.radians(abs(rng.normal(spread, 8)))
    lower = upper + np.radians(rng.normal(-8, 10))
    steps = [(1.2 * np.sin(x), 1.2 * np.cos(x)) for x in (upper, lower)]
    start = (0.9 * widths[0], SHOULDER + 0.16)
    arms.append(np.cumsum([start, *steps], axis=0) * (side, 1))
  leg = [(0.5 * widths[3], HIP), (rng.uniform(0.38, 0.65), ANKLE)]
  return Body(*widths, arms, sides(leg))


def person(who: Body, skin: Cloth, hair: Cloth | None, top: Cloth):
  """Somebody in a shirt and shoes; a mannequin has no hair and no head."""
  for path in who.legs:
    yield Part(ribbon(path, (who.thigh, 0.4 * who.thigh)), skin)
    foot = path[1] + (0, 0.2)
    yield Part(ellipse(*foot, 0.4 * who.thigh, 0.25), top.shaded(0.5))
  yield from who.sleeves(1.15, 0.65, skin)
  yield Part(box(-0.2, SHOULDER - 0.5, 0.2, SHOULDER + 0.1), skin)
  right = [(0.3, SHOULDER - 0.1), (who.shoulder, SHOULDER), (who.chest, ARMPIT),
           (who.waist, WAIST), (1.05 * who.hip, HIP)]  # fmt: skip
  yield Part(mirrored(right), top)
  if hair:
    y, size = 1.05 - 0.5 * who.head, 0.5 * who.head
    yield Part(ellipse(0, y - 0.1 * size, 0.84 * size, size), hair)
    yield Part(ellipse(0, y + 0.15 * size, 0.68 * size, 0.8 * size), skin)


def cut(garment: Garment, who: Body) -> list[Part]:
  """The garment on a body."""
  parts = {'dress': _dress, 'pants': _pants, 'outerwear': _outerwear}
  rng, traits = np.random.default_rng(garment.seed), garment.traits
  hem = TABLES['hem'][garment.apparel][traits['length']] + rng.normal(0, 0.1)
  cloths = textures.cloths(garment)
  return list(parts[garment.apparel](traits, who, hem, *cloths, rng))


def _dress(traits, who: Body, hem: float, main: Cloth, trim: Cloth, rng):
  sleeve = traits['sleeve length']
  if sleeve not in _BARE:
    yield Part(box(-0.4, SHOULDER - 0.1, 0.4, ARMPIT + 0.4), main.shaded(0.5))
  if sleeve in TABLES['sleeve']:
    yield from who.sleeves(TABLES['sleeve'][sleeve], 1, main)
  skirt = _skirt(traits['silhouette'], who, hem, rng.uniform(0.9, 1.15))
  right = [*_neckline(traits, who), (who.chest * 1.03, ARMPIT + 0.05), *skirt]
  yield Part(mirrored(right), main, bulge=0.9)
  if traits['silhouette'] in ('fit and flare', 'ball gown'):
    for x in np.linspace(-0.8, 0.8, int(rng.integers(4, 9))):
      pleat = [(x * who.waist, WAIST + 0.1), (x * skirt[-1][0], hem)]
      yield Part(np.array(pleat), main.shaded(0.7), 0.03, 0)
  if rng.random() < 0.35:
    width = 1.06 * skirt[0][0]
    yield Part(box(-width, WAIST - 0.08, width, WAIST + 0.1), trim)


def _neckline(traits, who: Body):
  """The right edge from the middle of the neck to the armpit."""
  depth, width = TABLES['neck'][traits['collar']]
  if traits['sleeve length'] in _BARE:
    top = ARMPIT - 0.25
    return [(0, top + depth / 2), (0.3, top - 0.06), (who.chest * 0.95, top)]
  low = SHOULDER - 0.05 + depth
  inner = [] if traits['collar'] == 'v neck' else [(width * 0.75, low - 0.06)]
  edge = [(0, low), *inner, (width, SHOULDER - 0.13)]
  if traits['sleeve length'] in TABLES['sleeve']:
    return [*edge, (max(width + 0.15, who.shoulder), SHOULDER)]
  return [*edge, (width + 0.3, SHOULDER), (who.chest * 0.84, ARMPIT - 0.25)]


def _skirt(shape: str, who: Body, hem: float, ease: float):
  """The right edge from the waist to the hem."""
  waist, hip = (who.waist * 1.05, WAIST), (who.hip * 1.06, HIP)
  wide = ease * hip[0]
  return {
    'sheath': [waist, hip, (0.95 * hip[0], hem)],
    'bodycon': [waist, hip, (0.82 * hip[0], hem)],
    'fit and flare': [waist, (1.1 * wide, HIP), (1.45 * wide, hem)],
    'ball gown': [waist, (1.8 * wide, HIP + 1), (2.1 * wide, hem)],
    'mermaid': [waist, hip, (0.72 * hip[0], KNEE), (1.75 * wide, hem)],
    'shift': [(who.chest * 1.08, WAIST), (1.16 * wide, HIP), (1.2 * wide, hem)],
  }[shape]


def _pants(traits, who: Body, hem: float, main: Cloth, trim: Cloth, rng):
  kind, top, waist = traits['type'], WAIST + rng.uniform(-0.1, 0.25), who.waist
  fit = (1.6, 1.3, 0.4) if kind == 'harem' else TABLES['fit'][traits['fit']]
  y = np.linspace(CROTCH, hem, 6)
  x = np.interp(y, *who.legs[0].T[::-1])
  half = 0.54 * who.thigh * np.interp(y, (CROTCH, KNEE, ANKLE), fit)
  outer = np.stack([x + half, y], 1)
  inner = np.stack([np.maximum(x - half, 0.03), y], 1)[:0:-1]
  seat = [(0, top), (waist, top), (who.hip * 1.06, HIP)]
  right = [*seat, *outer, *inner, (0, CROTCH + 0.2)]
  yield Part(mirrored(right), main, bulge=0.8)
  yield Part(box(-waist, top - 0.04, waist, top + 0.17), main.shaded(0.85))
  seam = Cloth((0.72, 0.55, 0.3)) if kind == 'jeans' else main.shaded(0.6)
  if kind in ('jogging', 'harem', 'leggings'):
    for string in sides([(0, top + 0.1), (0.12, top + 0.4), (0.1, top + 0.7)]):
      yield Part(string, trim, 0.05)
  else:
    yield Part(np.array([(0.1, top + 0.2), (0.1, CROTCH - 0.4)]), seam, 0.025)
  for pocket in sides([(waist / 2, top + 0.2), (1.2 * waist, top + 0.6)]):
    yield Part(pocket, seam, 0.03, 0)


def _outerwear(traits, who: Body, hem: float, main: Cloth, trim: Cloth, rng):
  kind = traits['type']
  is_slim = kind in ('blazers', 'trench coat', 'cardigans')
  ease = (1.08 if is_slim else 1.2) + rng.normal(0, 0.03)
  if traits['sleeve length'] == 'long':
    yield from who.sleeves(0.98, ease, main)
  waist, hip = (who.waist + who.chest) / 2, max(who.hip, 0.92 * who.chest)
  right = [(0.28, SHOULDER - 0.16), (who.shoulder, SHOULDER),
           (who.chest, ARMPIT + 0.1), (waist, WAIST), (hip, HIP),
           (1.1 * hip, hem)]  # fmt: skip
  if kind == 'cloak':
    right[2:] = [(1.4 * who.shoulder, HIP), (1.6 * who.shoulder, hem)]
  yield Part(mirrored(right) * (ease, 1), main, bulge=0.8)
  if kind in ('bomber jacket', 'hoodies', 'trench coat'):
    y, wide = WAIST if kind == 'trench coat' else hem - 0.1, 1.05 * ease * hip
    yield Part(box(-wide, y - 0.1, wide, y + 0.14), main.shaded(0.65))
  y = min(HIP, hem - 0.45)
  for slit in sides([(0.4 * who.hip, y + 0.1), (0.95 * who.hip, y)]):
    yield Part(slit, main.shaded(0.5), 0.06)
  yield from _collar(traits['collar'], who, main, trim)
  yield from _closure(traits, hem, main, trim, rng)


def _collar(name: str, who: Body, main: Cloth, trim: Cloth):
  top = SHOULDER - 0.28
  if name == 'hooded':
    wide = 0.6 * who.head
    yield Part(ellipse(0, top - 0.4 * wide, wide, wide), main)
    yield Part(ellipse(0, top, 0.7 * wide, 0.6 * wide), main.shaded(0.4))
  elif name == 'stand collar':
    edge = [(0.32, top), (0.4, SHOULDER - 0.05), (0, SHOULDER + 0.1)]
    yield Part(mirrored(edge), main.shaded(0.82))
  else:
    yield Part(mirrored([(0.3, top + 0.1), (0, WAIST - 0.25)]), trim, bulge=0.2)
    for lapel in sides([(0.28, top), (0.6, top + 0.7), (0.02, WAIST - 0.2)]):
      yield Part(lapel, main.shaded(0.8))


def _closure(traits, hem: float, main: Cloth, trim: Cloth, rng):
  """The front: open, or with a zip or buttons."""
  name = traits['closure type']
  top = WAIST - 0.25 if traits['collar'] == 'v neck' else SHOULDER + 0.05
  if name == 'pullover':
    return
  if rng.random() < 0.4:
    front = mirrored([(0, top), (rng.uniform(0.12, 0.4), hem)])
    yield Part(front, trim.shaded(0.9), bulge=0.3)
  elif name == 'zip':
    yield Part(np.array([(0, top), (0, hem)]), _METAL, 0.05)
  else:
    yield Part(np.array([(0, top), (0, hem)]), main.shaded(0.5), 0.04)
    for x in (-0.25, 0.25) if name == 'double breasted' else (0.0,):
      for y in np.arange(top + 0.15, min(hem - 0.3, top + 2.4), 0.45):
        yield Part(ellipse(x, y, 0.07, 0.07), _METAL)
