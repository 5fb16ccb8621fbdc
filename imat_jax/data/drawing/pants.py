"""Pants: two legs on a seat, by fit, length and kind."""

import numpy as np

from imat_jax.data.drawing import cloth, outline
from imat_jax.data.drawing.canvas import Part
from imat_jax.data.drawing.cloth import Cloth
from imat_jax.data.drawing.figure import CROTCH, HIP, WAIST, Figure, Pose, leg
from imat_jax.data.drawing.population import Garment

# Widths of the leg at the thigh, the knee and the hem, in those of the thigh.
_FITS = {
  'skinny': (1.05, 0.64, 0.42),
  'slim': (1.1, 0.76, 0.58),
  'straight': (1.15, 0.92, 0.82),
  'loose': (1.3, 1.15, 1.0),
  'flare': (1.05, 0.72, 1.35),
  'wide leg': (1.2, 1.3, 1.5),
}
_LENGTHS = {
  'short': 0.36,
  'capris': 0.72,
  'ankle length': 0.9,
  'full length': 1.02,
}
_STITCH = Cloth((0.72, 0.55, 0.3))
_METAL = Cloth((0.75, 0.72, 0.66), 'metal')


def parts(garment: Garment, figure: Figure, pose: Pose) -> list[Part]:
  """The pants of a person in this pose."""
  rng = np.random.default_rng(garment.seed)
  main, trim = cloth.bought(garment.traits, garment.accent, rng)
  top = WAIST + rng.uniform(-0.1, 0.25)
  legs = [_leg(garment, figure, pose, side, rng) for side in (-1, 1)]
  shapes = tuple(shape for _, shape in legs)
  drawn = [Part(_seat(figure, top), main, bulge=0.8, joined=shapes)]
  for path, _ in legs:
    drawn += _leg_details(garment, figure, path, main, trim, rng)
  return drawn + _front(garment, figure, main, trim, top)


def _leg(garment, figure, pose, side, rng):
  """The middle line of a leg and its outline."""
  fit = _FITS[garment.traits['fit']]
  if garment.traits['type'] == 'harem':
    fit = (1.5, 1.25, 0.4)
  share = _LENGTHS[garment.traits['length']] + rng.normal(0, 0.03)
  path = outline.along(leg(figure, pose, side), share, 9)
  at = np.linspace(0, share, 9)
  widths = np.interp(at, (0, 0.15, 0.55, 1), (0.7, *fit))
  return path, outline.ribbon(path, widths * figure.thigh * 1.08)


def _seat(figure, top):
  right = [
    (figure.waist * 1.03, top),
    (figure.hip * 1.06, HIP),
    (figure.hip * 1.1, CROTCH + 0.05),
    (0.1, CROTCH + 0.2),
  ]
  return outline.mirrored(right)


def _leg_details(garment, figure, path, main, trim, rng):
  traits, thigh = garment.traits, figure.thigh
  found = []
  is_long = traits['length'] != 'short'
  seam = main.dyed(0.72)
  if traits['type'] == 'formal':
    found.append(Part(path[1:], main.dyed(1.25), 0.03, 0))
  if traits['type'] == 'cargo':
    x, y = path[3] if is_long else path[6]
    x += np.sign(x) * 0.26 * thigh
    pocket = outline.box(x - 0.24, y - 0.3, x + 0.24, y + 0.3)
    found += [Part(pocket, main.dyed(0.88)), Part(pocket[:2], seam, 0.06)]
  if traits['decoration'] == 'side stripe':
    away = np.sign(path[0, 0]) * 0.3 * thigh
    found.append(Part(path + (away, 0), trim, 0.1 * thigh, 0.3))
  if traits['decoration'] == 'ripped' and is_long:
    found += _rips(path, thigh, rng)
  if traits['type'] == 'jogging' and is_long:
    cuff = outline.ribbon(path[-2:], np.full(2, 0.5 * thigh))
    found.append(Part(cuff, main.dyed(0.7)))
  return found


def _rips(path, thigh, rng):
  for at in rng.choice((3, 4, 5), 2, replace=False):
    x, y = path[at] + rng.normal(0, 0.04, 2)
    shape = outline.ellipse(x, y, 0.26 * thigh, rng.uniform(0.06, 0.13))
    yield Part(shape, Cloth((0.85, 0.84, 0.82)), bulge=0)


def _front(garment, figure, main, trim, top):
  traits, waist = garment.traits, figure.waist * 1.03
  seam = _STITCH if traits['material'] == 'denim' else main.dyed(0.6)
  band = outline.box(-waist, top - 0.04, waist, top + 0.17)
  found = [Part(band, main.dyed(0.9), bulge=0.8)]
  if traits['decoration'] == 'elastic waist':
    ticks = np.linspace(-waist, waist, 13)[1:-1]
    return found + [
      Part(np.array([(x, top), (x, top + 0.15)]), main.dyed(0.6), 0.03)
      for x in ticks
    ]
  if traits['decoration'] == 'drawstring':
    for side in (-1, 1):
      string = [
        (0, top + 0.1),
        (side * 0.12, top + 0.4),
        (side * 0.1, top + 0.7),
      ]
      found.append(Part(np.array(string), trim, 0.05))
    return found
  fly = np.array([(0.14, top + 0.2), (0.14, CROTCH - 0.5), (0, CROTCH - 0.3)])
  found.append(Part(fly, seam, 0.025, 0))
  for side in (-1, 1):
    pocket = [(0.5 * waist, top + 0.2), (0.75 * waist, top + 0.5),
              (figure.hip, top + 0.6)]  # fmt: skip
    found.append(Part(np.array(pocket) * (side, 1), seam, 0.03, 0))
  found.append(Part(outline.ellipse(0.02, top + 0.07, 0.05, 0.05), _METAL))
  if traits['decoration'] == 'belt':
    belt = outline.box(-waist, top, waist, top + 0.14)
    buckle = outline.box(-0.12, top - 0.03, 0.12, top + 0.17)
    leather = Cloth((0.16, 0.1, 0.07), 'leather')
    found += [Part(belt, leather), Part(buckle, _METAL)]
  return found
