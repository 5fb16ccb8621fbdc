"""Shoes as they come: in pairs, on legs, and small on the feet of a person.

From the side they are as `profile` draws them; from above a shoe is 2 units
long and its toe is at y = -1.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from imat_jax.data.drawing import cloth, outline, profile
from imat_jax.data.drawing.canvas import Part
from imat_jax.data.drawing.cloth import Cloth
from imat_jax.data.drawing.figure import ANKLE, FLOOR, Figure, Pose, leg
from imat_jax.data.drawing.garment import Garment


def pair_from_side(garment: Garment, gap: tuple[float, float]) -> list[Part]:
  """Two shoes, the first behind."""
  parts = profile.parts(garment)
  return [*_moved(parts, gap), *parts]


def pair_from_above(garment: Garment, gap: float) -> list[Part]:
  """Two shoes side by side."""
  left = _from_above(garment)
  right = [_with(p, p.outline * (-1, 1)) for p in left]
  return [*_moved(left, (-gap, 0)), *_moved(right, (gap, 0.04))]


def on_legs(
  garment: Garment, pants: Garment | None, skin: Cloth, gap: tuple[float, float]
) -> list[Part]:
  """Two shoes on the lower legs of somebody who walks by."""
  heel = profile.HEELS[garment.traits['heel type']][1]
  path = np.array([(-0.5, -0.25 - heel), (-0.5, -1.6 - heel), (-0.4, -7)])
  path[:, 0] *= profile.LENGTH[garment.size]
  limb = Part(outline.ribbon(path, (0.5, 0.75, 1.0)), skin)
  one = profile.parts(garment, limb)
  if pants:
    rng = np.random.default_rng(pants.seed)
    main, _ = cloth.bought(pants.traits, pants.accent, rng)
    path[0, 1] -= rng.uniform(0.25, 0.9)
    one.append(Part(outline.ribbon(path, (0.85, 1.0, 1.3)), main))
  return [*_moved(one, gap), *one]


def on_feet(garment: Garment, figure: Figure, pose: Pose) -> list[Part]:
  """Both shoes of a person who stands, from the front."""
  rng = np.random.default_rng(garment.seed)
  main, trim = cloth.bought(garment.traits, garment.accent, rng)
  parts = []
  for side in (-1, 1):
    path = leg(figure, pose, side)
    x = path[-1, 0]
    if garment.traits['type'] == 'boot':
      share = 0.5 if garment.traits['up height'] == 'kneehigh' else 0.82
      shaft = outline.along(path[::-1], 1 - share)
      widths = np.linspace(0.5, 0.62, 7) * figure.thigh / 0.66
      parts.append(Part(outline.ribbon(shaft, widths), main))
    wide = 0.26 * figure.thigh / 0.66
    foot = outline.ellipse(x + side * 0.08, ANKLE + 0.24, wide, 0.26)
    sole = outline.ellipse(x + side * 0.08, FLOOR - 0.12, wide, 0.12)
    parts += [Part(sole, trim.plain(0.8)), Part(foot, main)]
  return parts


def _with(part: Part, shape: np.ndarray) -> Part:
  return dataclasses.replace(part, outline=shape)


def _moved(parts: Iterable[Part], by: tuple[float, float]) -> list[Part]:
  return [_with(part, part.outline + by) for part in parts]


def _from_above(garment: Garment) -> list[Part]:
  """The left shoe."""
  rng = np.random.default_rng(garment.seed)
  main, trim = cloth.bought(garment.traits, garment.accent, rng)
  traits = garment.traits
  wide = {'men': 1.0, 'women': 0.84, 'kids': 1.25, 'baby': 1.5}[garment.size]
  toe = {'pointed toe': -1.16, 'square': -0.98}.get(traits['toe shape'], -1.0)
  tip = 0.25 if traits['toe shape'] == 'square' else 0.08
  right = np.array([
    (tip, toe), (0.26, -0.9), (0.37, -0.55), (0.33, -0.05), (0.27, 0.35),
    (0.31, 0.75), (0.2, 0.97), (0.0, 1.0),
  ])  # fmt: skip
  shape = outline.smooth(outline.mirrored(right * (wide, 1)))
  sole = profile.sole_cloth(traits, main, trim, rng)
  parts = [Part(shape * 1.06, sole)]
  if traits['type'] == 'sandals':
    return parts + list(_straps_from_above(traits, main, wide))
  is_low = traits['type'] in ('pump', 'flat', 'loafers')
  reach = 0.6 if is_low else 0.38
  opening = outline.ellipse(0, 0.9 - reach, 0.24 * wide, reach)
  parts += [Part(shape, main), Part(opening, main.plain(0.28), bulge=0.3)]
  return parts + list(_front_from_above(traits, main, trim, wide))


def _straps_from_above(traits, main, wide):
  for y in (-0.6, -0.3):
    yield Part(np.array([(-0.4 * wide, y), (0.4 * wide, y - 0.1)]), main, 0.2)
  if traits['closure type'] != 'slipon':
    band = outline.ellipse(0, 0.45, 0.34 * wide, 0.3)
    yield Part(np.concatenate([band, band[:1]]), main, 0.09)


def _front_from_above(traits, main, trim, wide):
  if traits['closure type'] == 'laceup':
    thread = Cloth((0.9, 0.9, 0.88)) if sum(main.color) < 1.5 else profile.DARK
    for y in np.linspace(-0.42, 0.0, 4):
      ends = [(-0.15 * wide, y), (0.15 * wide, y + 0.05)]
      yield Part(np.array(ends), thread, 0.05)
  if traits['closure type'] in ('velcro', 'ankle strap'):
    ends = [(-0.36 * wide, -0.05), (0.36 * wide, -0.05)]
    yield Part(np.array(ends), trim, 0.16)
  if traits['type'] == 'sneaker':
    cap = outline.ellipse(0, -0.78, 0.24 * wide, 0.16)
    yield Part(cap, main.dyed(0.85), bulge=0.5)
  if traits['type'] == 'loafers':
    band = [(-0.3 * wide, -0.3), (0.3 * wide, -0.3)]
    yield Part(np.array(band), main.dyed(0.75), 0.14)
