"""Shoes from the side, the floor at y = 0, or from above, the toe at y = -1."""

from collections.abc import Iterator

import numpy as np

from imat_jax.data.garments import outline, textures
from imat_jax.data.garments.catalog import TABLES
from imat_jax.data.garments.outline import box, ellipse
from imat_jax.data.garments.rasterize import Part
from imat_jax.data.garments.sample import Garment
from imat_jax.data.garments.textures import Cloth

_CORK, _RUBBER = Cloth((0.66, 0.5, 0.33)), Cloth((0.13, 0.11, 0.1))


def lying(garment: Garment, rng: np.random.Generator) -> list[Part]:
  """One from the side, a pair from the side, or a pair from above."""
  view = rng.random()
  if view > 0.7 and garment.traits['type'] != 'sandals':
    one, gap = list(_from_above(garment)), rng.uniform(0.9, 1.2)
    return [*one, *(part.moved((gap, 0), flip=-1) for part in one)]
  one = list(_from_side(garment))
  gap = rng.uniform(-0.5, 0.6), -rng.uniform(0.25, 0.6)
  return one if view < 0.35 else [*(part.moved(gap) for part in one), *one]


def _from_side(garment: Garment) -> Iterator[Part]:
  traits, (main, trim) = garment.traits, textures.cloths(garment)
  thick, heel = TABLES['heel'][traits['heel type']]
  length = TABLES['length'][garment.size]

  def on(points) -> np.ndarray:
    """From heights over the sole to places in the drawing."""
    x, up = np.asarray(points, np.float64).T
    rise = np.clip((0.4 - x) / 1.15, 0, 1)
    lift = heel * rise * rise * (3 - 2 * rise)
    return np.stack([x * length, -(up + thick + lift)], 1)

  upper = on([(x, 0.04) for x in np.linspace(-0.99, 1.0, 14)])
  lower = upper + (0, thick + 0.04)
  lower[:, 1] *= traits['heel type'] != 'wedges'
  yield Part(np.concatenate([upper, lower[::-1]]), _sole(traits, trim))
  if traits['heel type'] in ('stiletto', 'chunky heels'):
    front = -0.66 if traits['heel type'] == 'stiletto' else -0.5
    floor = [((front - 0.16) * length, 0), (-0.94 * length, 0)]
    top = on([(-0.98, 0.06), (front, 0.02)])
    yield Part(np.concatenate([top, floor]), _sole(traits, trim))
  if traits['type'] == 'sandals':
    yield from (Part(on(strap), main) for strap in TABLES['straps'].values())
    return
  uppers = TABLES['upper']
  edge = uppers.get(traits['up height'], uppers[traits['type']])
  behind = np.mean([edge[1], edge[4]], 0) + (0, 0.12)
  yield Part(on([*edge[1:5], behind]), Cloth(main.color, shade=0.4))
  tip = (1.14, 0.06) if traits['toe shape'] == 'pointed toe' else (1.02, 0.16)
  under = [(x, -0.03) for x in np.linspace(tip[0] * 0.97, -0.97, 9)]
  yield Part(outline.smooth(on([*edge, tip, tip, *under])), main)
  if traits['type'] == 'sneaker':
    yield Part(on([(-0.5, 0.12), (-0.1, 0.2), (0.2, 0.45)]), trim, 0.1)
  for line in TABLES['closure'].get(traits['closure type'], ()):
    yield Part(on(line), trim, 0.06)


def _sole(traits, trim: Cloth) -> Cloth:
  if traits['type'] == 'sneaker':
    return trim
  is_cork = traits['heel type'] in ('wedges', 'platform')
  return _CORK if is_cork else _RUBBER


def _from_above(garment: Garment) -> Iterator[Part]:
  traits, (main, trim) = garment.traits, textures.cloths(garment)
  wide = 0.9 / TABLES['length'][garment.size]
  toe = -1.16 if traits['toe shape'] == 'pointed toe' else -1.0
  right = [(0.08, toe), (0.26, -0.9), (0.37, -0.55), (0.33, -0.05),
           (0.27, 0.35), (0.31, 0.75), (0.2, 0.97), (0.0, 1.0)]  # fmt: skip
  shape = outline.smooth(outline.mirrored(right) * (wide, 1))
  yield Part(shape * 1.06, _sole(traits, trim))
  reach = 0.6 if traits['closure type'] == 'slipon' else 0.38
  yield Part(shape, main)
  opening = ellipse(0, 0.9 - reach, 0.24 * wide, reach)
  yield Part(opening, Cloth(main.color, shade=0.3))
  if traits['closure type'] == 'laceup':
    for y in np.linspace(-0.42, 0.0, 4):
      yield Part(box(-0.15 * wide, y, 0.15 * wide, y + 0.05), trim)
