"""A shoe from the side, the toe to the right.

It is 2 units long: the heel at x = -1, the toe at x = 1, the floor at y = 0.
"""

import dataclasses

import numpy as np

from imat_jax.data.drawing import cloth, outline
from imat_jax.data.drawing.canvas import Part
from imat_jax.data.drawing.cloth import Cloth
from imat_jax.data.drawing.garment import Garment

# Thickness of the sole and height of the heel, in units.
HEELS = {
  'flat': (0.07, 0.03),
  'platform': (0.3, 0.1),
  'wedges': (0.1, 0.5),
  'chunky heels': (0.1, 0.5),
  'stiletto': (0.06, 0.75),
}
_TOES = {'pointed toe': (1.14, 0.06), 'square': (1.0, 0.26)}
_ROUND_TOE = (1.02, 0.16)
LENGTH = {'men': 1.0, 'women': 0.96, 'kids': 0.8, 'baby': 0.68}
DARK = Cloth((0.1, 0.09, 0.09))
_METAL = Cloth((0.8, 0.74, 0.6), 'metal')
# Height of the upper edge over the sole, from the heel to the toe's beginning.
_UPPERS = {
  'sneaker': [(-1, 0.3), (-0.94, 0.66), (-0.6, 0.52), (-0.3, 0.6),
              (-0.1, 0.8), (0.12, 0.62), (0.45, 0.42), (0.78, 0.34)],
  'oxfords': [(-1, 0.3), (-0.93, 0.56), (-0.55, 0.44), (-0.2, 0.5),
              (0.0, 0.6), (0.3, 0.45), (0.75, 0.3)],
  'loafers': [(-1, 0.28), (-0.93, 0.5), (-0.5, 0.36), (-0.1, 0.42),
              (0.1, 0.56), (0.4, 0.42), (0.75, 0.3)],
  'pump': [(-0.98, 0.2), (-0.9, 0.42), (-0.5, 0.26), (0.1, 0.17),
           (0.42, 0.27), (0.75, 0.21)],
  'flat': [(-0.98, 0.2), (-0.9, 0.42), (-0.5, 0.26), (0.1, 0.18),
           (0.42, 0.29), (0.75, 0.24)],
}  # fmt: skip

_FOOT = [
  (-0.9, 0.0), (-0.9, 0.35), (-0.3, 0.5), (0.1, 0.34), (0.7, 0.18),
  (0.86, 0.1), (0.84, 0.0), (0.3, 0.0), (-0.2, 0.0), (-0.6, 0.0),
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Last:
  """The form that a shoe is built on."""

  thick: float
  heel: float
  length: float

  def on(self, points) -> np.ndarray:
    """From heights over the sole to places in the drawing."""
    x, up = np.asarray(points, np.float32).T
    rise = np.clip((0.4 - x) / 1.15, 0, 1)
    lift = self.heel * rise * rise * (3 - 2 * rise)
    return np.stack([x * self.length, -(up + self.thick + lift)], 1)


def parts(garment: Garment, limb: Part | None = None) -> list[Part]:
  """One shoe, and the leg that stands in it."""
  rng = np.random.default_rng(garment.seed)
  main, trim = cloth.bought(garment.traits, garment.accent, rng)
  traits = garment.traits
  thick, heel = HEELS[traits['heel type']]
  is_sporty = traits['type'] in ('sneaker', 'boot')
  if is_sporty and traits['heel type'] == 'flat':
    thick += rng.uniform(0.04, 0.14)
  last = _Last(thick, heel, LENGTH[garment.size])
  sole = sole_cloth(traits, main, trim, rng)
  drawn = _sole(traits, last, sole)
  foot = [limb, Part(last.on(_FOOT), limb.cloth)] if limb else []
  if traits['type'] == 'sandals':
    return [*drawn, *foot, *_sandal(traits, last, main)]
  drawn.append(Part(last.on(_inside(traits)), main.plain(0.4), bulge=0.2))
  drawn += foot
  upper = last.on(_upper(traits))
  drawn.append(Part(outline.smooth(upper), main))
  return drawn + list(_trimmings(traits, last, main, trim, rng))


def sole_cloth(
  traits, main: Cloth, trim: Cloth, rng: np.random.Generator
) -> Cloth:
  """What the sole of a shoe with these traits is made of."""
  if traits['type'] == 'sneaker':
    return Cloth((0.93, 0.92, 0.9), 'sole') if rng.random() < 0.7 else trim
  is_thick = traits['heel type'] in ('wedges', 'platform')
  if is_thick or traits['type'] == 'sandals':
    return Cloth((0.66, 0.5, 0.33), 'linen')
  dark = Cloth((0.16, 0.12, 0.1), 'sole')
  return main.plain(0.8) if rng.random() < 0.3 else dark


def _sole(traits, last, sole):
  """The sole, and the heel under it."""
  x = np.linspace(-0.99, 1.0, 14)
  upper = last.on(np.stack([x, np.full(14, 0.04)], 1))
  lower = upper + (0, last.thick + 0.04)
  name = traits['heel type']
  if name == 'wedges':
    lower[:, 1] = 0
  parts = [Part(np.concatenate([upper, lower[::-1]]), sole, bulge=0.7)]
  if name == 'stiletto':
    parts.append(Part(_heel(last, -0.97, -0.66, -0.93, -0.84), sole))
  if name == 'chunky heels':
    parts.append(Part(_heel(last, -0.98, -0.5, -0.96, -0.58), sole))
  if name == 'flat' and traits['type'] in ('oxfords', 'loafers', 'boot'):
    parts.append(Part(_heel(last, -0.99, -0.5, -0.99, -0.52) + (0, 0.07), sole))
  return parts


def _heel(last, back, front, low_back, low_front):
  top = last.on([(back, 0.06), (front, 0.02)])
  low = np.array([(low_front, 0.0), (low_back, 0.0)]) * (last.length, 1)
  return np.concatenate([top, low])


def _upper(traits):
  """The upper in heights over the sole, from the heel over the top."""
  toe = _TOES.get(traits['toe shape'], _ROUND_TOE)
  end = [toe, toe, (toe[0] * 0.97, 0.0), (toe[0] * 0.97, 0.0)]
  if traits['toe shape'] == 'peep toe':
    end = [(0.86, 0.16), (0.8, 0.0)]
  # The lower edge follows the sole, which is curved where the heel is high.
  lower = [(x, -0.03) for x in np.linspace(end[-1][0], -0.97, 9)]
  return [*_edge(traits), *end, *lower]


def _edge(traits):
  if traits['type'] == 'boot':
    return _shaft(traits)
  edge = list(_UPPERS[traits['type']])
  if traits['up height'] == 'high':
    edge[1:5] = [(-0.92, 1.1), (-0.6, 1.05), (-0.3, 1.12), (-0.12, 1.2)]
  return edge


def _shaft(traits):
  top = 2.7 if traits['up height'] == 'kneehigh' else 1.2
  wide = 0.16 if top > 2 else 0.0
  return [
    (-1.0, 0.35), (-0.9, 0.8), (-0.92 - wide, top), (-0.05 + wide, top),
    (-0.1, 0.95), (0.15, 0.62), (0.5, 0.42), (0.8, 0.33),
  ]  # fmt: skip


def _inside(traits):
  """The far inner side, seen over the opening."""
  if traits['type'] == 'boot':
    top = _shaft(traits)[2][1]
    return outline.ellipse(-0.48, top - 0.05, 0.36, 0.08)
  edge = np.asarray(_edge(traits)[1:5])
  back, front = edge[0], edge[-1]
  middle = 0.5 * (back + front) + (0, 0.04)
  return np.array([back, middle, front, edge[2], edge[1]])


def _sandal(traits, last, main):
  straps = [
    [(0.86, 0), (0.8, 0.18), (0.66, 0.28), (0.46, 0.32), (0.42, 0)],
    [(0.26, 0), (0.22, 0.3), (0.08, 0.4), (-0.1, 0.44), (-0.14, 0)],
  ]
  parts = [Part(last.on(strap), main, bulge=0.6) for strap in straps]
  heel = [(-0.98, 0.0), (-0.96, 0.42), (-0.82, 0.42), (-0.7, 0.0)]
  parts.append(Part(last.on(heel), main))
  if traits['closure type'] != 'slipon':
    band = last.on([(-0.9, 0.36), (-0.62, 0.5), (-0.3, 0.46), (-0.14, 0.3)])
    parts.append(Part(band, main, 0.11))
    parts.append(Part(outline.ellipse(*band[1], 0.07, 0.07), _METAL))
  return parts


def _trimmings(traits, last, main, trim, rng):
  """What closes it, seams, and a stripe or a bow."""
  closure, kind = traits['closure type'], traits['type']
  if kind == 'sneaker' and rng.random() < 0.6:
    stripe = [(-0.5, 0.12), (-0.1, 0.2), (0.2, 0.45)]
    yield Part(last.on(stripe), trim, 0.1, 0.4)
  if kind in ('sneaker', 'oxfords'):
    yield Part(last.on([(0.5, 0.03), (0.55, 0.38)]), main.plain(0.6), 0.03, 0)
  if kind == 'loafers':
    yield Part(last.on([(-0.1, 0.08), (0.05, 0.5)]), main.dyed(0.75), 0.16)
  if kind == 'flat' and rng.random() < 0.4:
    yield Part(last.on(outline.ellipse(0.5, 0.27, 0.12, 0.08)), trim)
  if closure == 'laceup':
    yield from _laces(kind, last, traits, main)
  if closure == 'zip':
    top = _shaft(traits)[2][1]
    yield Part(last.on([(-0.6, 0.15), (-0.6, top - 0.1)]), _METAL, 0.035, 0)
  if closure == 'velcro':
    for at in (0.1, 0.34):
      ends = [(at - 0.2, 0.32), (at, 0.78 - at)]
      yield Part(last.on(ends), trim, 0.16)
  if closure == 'ankle strap':
    band = last.on([(-0.92, 0.5), (-0.66, 0.66), (-0.36, 0.58)])
    yield Part(band, main, 0.07)
    yield Part(last.on([(-0.92, 0.3), (-0.92, 0.55)]), main, 0.08)


def _laces(kind, last, traits, main):
  dark = sum(main.color) < 1.0
  thread = Cloth((0.92, 0.91, 0.88)) if dark or kind == 'sneaker' else DARK
  low, high = (0.42, 0.42), (0.02, 0.7)
  if kind == 'boot' or traits['up height'] == 'high':
    low, high = (0.3, 0.5), (-0.12, 1.1)
  for at in np.linspace(0, 1, 5):
    x, y = np.multiply(low, 1 - at) + np.multiply(high, at)
    yield Part(last.on([(x - 0.2, y - 0.12), (x, y)]), thread, 0.05)
