"""Pants: two legs on a seat, by fit, length and kind."""

import numpy as np

from imat_jax.data.drawing import cloth, outline
from imat_jax.data.drawing.canvas import Part
from imat_jax.data.drawing.cloth import Cloth
from imat_jax.data.drawing.figure import CROTCH, HIP, WAIST, Figure, Pose, leg
from imat_jax.data.drawing.garment import Garment

# Widths of the leg at the thigh, the knee and the hem, in those of the thigh.
_FITS = {
  'skinny': (1.05, 0.64, 0.42),
  'slim': (1.1, 0.76, 0.58),
  'straight': (1.15, 0.92, 0.82),
  'loose': (1.3, 1.15, 1.0),
  'flare': (1.05, 0.72, 1.35),
  'wide leg': (1.15, 1.15, 1.3),
}
_LENGTHS = {
  'short': 0.36,
  'capris': 0.72,
  'ankle length': 0.9,
  'full length': 1.02,
}
_STITCH = Cloth((0.72, 0.55, 0.3))
_METAL = Cloth((0.75, 0.72, 0.66), 'metal')
_LEATHER = Cloth((0.16, 0.1, 0.07), 'leather')


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
  return [*drawn, *_front(garment, figure, main, trim, top)]


def _leg(garment, figure, pose, side, rng):
  """The middle line of a leg and its outline."""
  fit = _FITS[garment.traits['fit']]
  if garment.traits['type'] == 'harem':
    fit = (1.5, 1.25, 0.4)
  share = _LENGTHS[garment.traits['length']] + rng.normal(0, 0.03)
  path = outline.along(leg(figure, pose, side), share, 9)
  at = np.linspace(0, share, 9)
  widths = np.interp(at, (0, 0.15, 0.55, 1), (0.9, *fit))
  return path, outline.ribbon(path, widths * figure.thigh * 1.08)


def _seat(figure, top):
  right = [
    (figure.waist * 1.03, top),
    (figure.hip * 1.06, HIP),
    (figure.hip, CROTCH + 0.05),
    (0.1, CROTCH + 0.2),
  ]
  return outline.mirrored(right)


def _leg_details(garment, figure, path, main, trim, rng):
  traits, thigh = garment.traits, figure.thigh
  is_long = traits['length'] != 'short'
  if traits['type'] == 'formal':
    yield Part(path[1:], main.dyed(1.25), 0.03, 0)
  if traits['type'] == 'cargo':
    yield from _pocket(path[3] if is_long else path[6], thigh, main)
  if traits['type'] == 'jogging' and is_long:
    cuff = outline.ribbon(path[-2:], np.full(2, 0.5 * thigh))
    yield Part(cuff, main.dyed(0.7))
  if traits['decoration'] == 'side stripe':
    away = np.sign(path[0, 0]) * 0.3 * thigh
    yield Part(path + (away, 0), trim, 0.1 * thigh, 0.3)
  if traits['decoration'] == 'ripped' and is_long:
    yield from _rips(path, thigh, rng)


def _pocket(at, thigh, main):
  x, y = at[0] + np.sign(at[0]) * 0.26 * thigh, at[1]
  pocket = outline.box(x - 0.24, y - 0.3, x + 0.24, y + 0.3)
  yield Part(pocket, main.dyed(0.88))
  yield Part(pocket[:2], main.dyed(0.72), 0.06)


def _rips(path, thigh, rng):
  for at in rng.choice((3, 4, 5), 2, replace=False):
    x, y = path[at] + rng.normal(0, 0.04, 2)
    shape = outline.ellipse(x, y, 0.26 * thigh, rng.uniform(0.06, 0.13))
    yield Part(shape, Cloth((0.85, 0.84, 0.82)), bulge=0)


def _front(garment, figure, main, trim, top):
  """The waistband and what is under it."""
  traits, waist = garment.traits, figure.waist * 1.03
  band = outline.box(-waist, top - 0.04, waist, top + 0.17)
  yield Part(band, main.dyed(0.9), bulge=0.8)
  if traits['decoration'] == 'elastic waist':
    yield from _ticks(waist, top, main.dyed(0.6))
  elif traits['decoration'] == 'drawstring':
    yield from _strings(top, trim)
  else:
    seam = _STITCH if traits['material'] == 'denim' else main.dyed(0.6)
    yield from _fly(figure, waist, top, seam)
  if traits['decoration'] == 'belt':
    yield from _belt(waist, top)


def _ticks(waist, top, shade):
  for x in np.linspace(-waist, waist, 13)[1:-1]:
    yield Part(np.array([(x, top), (x, top + 0.15)]), shade, 0.03)


def _strings(top, trim):
  string = np.array([(0, top + 0.1), (0.12, top + 0.4), (0.1, top + 0.7)])
  for side in (-1, 1):
    yield Part(string * (side, 1), trim, 0.05)


def _fly(figure, waist, top, seam):
  fly = np.array([(0.14, top + 0.2), (0.14, CROTCH - 0.5), (0, CROTCH - 0.3)])
  yield Part(fly, seam, 0.025, 0)
  yield Part(outline.ellipse(0.02, top + 0.07, 0.05, 0.05), _METAL)
  middle = 0.75 * waist, top + 0.5
  pocket = np.array([(0.5 * waist, top + 0.2), middle, (figure.hip, top + 0.6)])
  for side in (-1, 1):
    yield Part(pocket * (side, 1), seam, 0.03, 0)


def _belt(waist, top):
  yield Part(outline.box(-waist, top, waist, top + 0.14), _LEATHER)
  yield Part(outline.box(-0.12, top - 0.03, 0.12, top + 0.17), _METAL)
