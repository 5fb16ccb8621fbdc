"""Things that stand about or lie over the garment; the unit is the pixel."""

import numpy as np

from imat_jax.data.drawing import outline, palette
from imat_jax.data.drawing.canvas import Part
from imat_jax.data.drawing.cloth import Cloth


def of_a_room(rng, x: float, y: float, reach: float) -> list[Part]:
  """Something `reach` pixels large at x, y."""
  return _one_of(_ROOM, rng, x, y, reach)


def of_a_street(rng, x: float, y: float, reach: float) -> list[Part]:
  """A house or a tree."""
  return _one_of(_STREET, rng, x, y, 1.5 * reach)


def _one_of(kinds, rng, x, y, reach):
  return kinds[rng.integers(len(kinds))](rng, np.array([x, y]), reach)


def _color(rng):
  return palette.bright(rng) if rng.random() < 0.35 else palette.dull(rng)


def _turned(points, rng, spread: float) -> np.ndarray:
  angle = rng.normal(0, spread)
  cos, sin = np.cos(angle), np.sin(angle)
  return np.asarray(points) @ np.array([[cos, sin], [-sin, cos]])


def _carton(rng, here, reach):
  wide, high = reach * rng.uniform(0.5, 1.0, 2)
  front = _turned(outline.box(-wide, -high, wide, high), rng, 0.15)
  lid = front[:2] + (0, -0.3 * high)
  top = np.concatenate([front[:2], lid[::-1] + (0.25 * wide, 0)])
  cloth = Cloth(_color(rng))
  return [
    Part(here + top, cloth.dyed(1.15), bulge=0),
    Part(here + front, cloth, bulge=0.2),
  ]


def _ball(rng, here, reach):
  wide, high = reach * rng.uniform(0.6, 0.9, 2)
  return [Part(here + outline.ellipse(0, 0, wide, high), Cloth(_color(rng)))]


def _stick(rng, here, reach):
  ends = _turned([(-1.6 * reach, 0), (1.6 * reach, 0)], rng, 1.2)
  widths = reach * rng.uniform(0.15, 0.35, 2)
  return [Part(here + outline.ribbon(ends, widths), Cloth(_color(rng)))]


def _bag(rng, here, reach):
  body = [(-0.9, 0), (-1, 1.1), (1, 1.1), (0.9, 0)]
  handle = [(-0.5, 0), (-0.3, -0.7), (0.3, -0.7), (0.5, 0)]
  leather = Cloth(_color(rng), 'leather')
  return [
    Part(here + reach * np.array(handle), leather.dyed(0.8), 0.1 * reach),
    Part(here + reach * outline.smooth(body, 1), leather),
  ]


def _plant(rng, here, reach):
  leaf = Cloth((0.2, rng.uniform(0.35, 0.6), 0.2))
  parts = []
  for angle in rng.uniform(-1.3, 1.3, int(rng.integers(4, 8))):
    tip = 1.5 * reach * np.array([np.sin(angle), -np.cos(angle)])
    path = np.linspace((0, 0), tip, 5)
    widths = reach * np.array([0.08, 0.35, 0.42, 0.28, 0.02])
    shape = here + outline.ribbon(path, widths)
    parts.append(Part(shape, leaf.dyed(rng.uniform(0.7, 1.2))))
  return parts


def _scarf(rng, here, reach):
  bend = rng.normal(0, 0.6, (5, 2)) + np.linspace((-1.5, 0), (1.5, 0), 5)
  path = outline.along(_turned(bend, rng, 1.0) * reach, 1, 12)
  wool = Cloth(_color(rng), 'wool', 'striped', palette.bright(rng))
  return [Part(here + outline.ribbon(path, np.full(12, 0.45 * reach)), wool)]


def _house(rng, here, reach):
  wide, high = reach * rng.uniform((0.5, 0.8), (1.0, 1.5))
  wall = Cloth(palette.dull(rng))
  parts = [Part(here + outline.box(-wide, -high, wide, high), wall, bulge=0.1)]
  for y in (-0.6, -0.1, 0.4):
    for x in (-0.5, 0.5):
      pane = outline.ellipse(x * wide, y * high, 0.2 * wide, 0.15 * high)
      parts.append(Part(here + pane, wall.dyed(0.5), bulge=0))
  return parts


def _tree(rng, here, reach):
  leaves = Cloth((0.25, rng.uniform(0.35, 0.5), 0.2), 'fur')
  crown = outline.ellipse(0, 0, 0.8 * reach, reach)
  trunk = outline.box(-0.1 * reach, 0, 0.1 * reach, 2 * reach)
  bark = Cloth((0.3, 0.22, 0.16))
  return [Part(here + trunk, bark), Part(here + crown, leaves)]


_ROOM = (_carton, _ball, _stick, _bag, _plant, _scarf)
_STREET = (_house, _tree, _tree)
