"""Outerwear: a trunk, two sleeves, a collar and what closes it."""

import numpy as np

from imat_jax.data.drawing import cloth, outline
from imat_jax.data.drawing.canvas import Part
from imat_jax.data.drawing.cloth import Cloth
from imat_jax.data.drawing.figure import (
  ARMPIT,
  HIP,
  SHOULDER,
  WAIST,
  Figure,
  Pose,
  arm,
)
from imat_jax.data.drawing.garment import Garment

_HEMS = {'short': 3.75, 'medium': 4.5, 'long': 5.9}
_SLIM = ('blazers', 'trench coat', 'cardigans')
_METAL = Cloth((0.5, 0.5, 0.52), 'metal')
_STITCH = Cloth((0.72, 0.55, 0.3))


def parts(garment: Garment, figure: Figure, pose: Pose) -> list[Part]:
  """The garment on a person in this pose."""
  rng = np.random.default_rng(garment.seed)
  main, trim = cloth.bought(garment.traits, garment.accent, rng)
  traits = garment.traits
  hem = _HEMS[traits['length']] + rng.normal(0, 0.1)
  ease = _ease(traits, rng)
  gap = rng.uniform(0.12, 0.4) if rng.random() < 0.4 else 0.0
  drawn = _hood(traits, figure, main)
  drawn += _sleeves(traits, figure, pose, main, ease)
  if traits['type'] == 'cloak':
    drawn.append(Part(_cape(figure, hem), main))
  else:
    drawn.append(Part(_trunk(traits, figure, hem, ease), main, bulge=0.8))
  drawn += _pockets(traits, figure, hem, main)
  drawn += _closure(traits, figure, hem, main, trim, gap)
  drawn += _collar(traits, main)
  drawn += _belt(traits, figure, hem, main, ease)
  return drawn


def _ease(traits, rng):
  """How much wider than the body it is cut."""
  padded = traits['material'] in ('down', 'fur')
  slim = traits['type'] in _SLIM
  return (1.08 if slim else 1.18) + 0.12 * padded + rng.normal(0, 0.03)


def _trunk(traits, figure, hem, ease):
  is_slim = traits['type'] in _SLIM
  waist = 1.08 * figure.waist if is_slim else (figure.waist + figure.chest) / 2
  hip = max(figure.hip, figure.chest * 0.92)
  flare = 1.15 if traits['type'] in ('coats', 'trench coat') else 1
  right = [
    (0.3 / ease, SHOULDER - 0.16),
    (figure.shoulder * 0.9, SHOULDER - 0.03),
    (figure.shoulder, SHOULDER + 0.2),
    (figure.chest, ARMPIT + 0.1),
    (waist, WAIST),
    (hip, HIP),
    (hip * flare, hem),
  ]
  return outline.mirrored(right) * (ease, 1)


def _cape(figure, hem):
  wide = figure.shoulder * 1.9
  right = [(0.3, SHOULDER - 0.16), (figure.shoulder, SHOULDER + 0.1),
           (wide * 0.9, HIP), (wide, hem)]  # fmt: skip
  return outline.mirrored(right)


def _sleeves(traits, figure, pose, main, ease):
  if traits['sleeve length'] == 'sleeveless' or traits['type'] == 'cloak':
    return
  shade = main.dyed(0.85) if traits['type'] == 'bomber jacket' else main
  for side in (-1, 1):
    path = outline.along(arm(figure, pose, side), 0.98)
    widths = np.linspace(0.72, 0.46, 7) * ease * figure.thigh / 0.72
    widths[0] *= 0.6
    yield Part(outline.ribbon(path, widths), shade)
    if traits['type'] in ('hoodies', 'bomber jacket', 'cardigans'):
      yield Part(outline.ribbon(path[-2:], widths[-2:]), main.dyed(0.65))


def _hood(traits, figure, main):
  if traits['collar'] != 'hooded':
    return []
  width = 0.62 * figure.head
  hood = outline.ellipse(0, SHOULDER - 0.3 - 0.2 * figure.head, width, width)
  inside = outline.ellipse(0, SHOULDER - 0.2, width * 0.7, width * 0.62)
  return [Part(hood, main), Part(inside, main.dyed(0.4), bulge=0.3)]


def _closure(traits, figure, hem, main, trim, gap):
  """The front: open by `gap`, and a zip or buttons where it is closed."""
  neck = {'v neck': WAIST - 0.25, 'hooded': SHOULDER + 0.1}
  top = neck.get(traits['collar'], SHOULDER - 0.1)
  name, found = traits['closure type'], []
  if traits['collar'] == 'v neck':
    opening = [(0, top), (-0.3, SHOULDER - 0.18), (0.3, SHOULDER - 0.18)]
    found.append(Part(np.array(opening), _inside(trim), bulge=0.2))
  if name == 'pullover':
    return found
  if gap:
    front = [(0, top), (gap, hem + 0.02), (-gap, hem + 0.02)]
    return [*found, Part(np.array(front), _inside(trim), bulge=0.3)]
  middle = 0.0 if name != 'double breasted' else 0.16
  line = np.array([(middle, top), (middle, hem)])
  if name == 'zip':
    return [*found, Part(line, main.dyed(0.55), 0.1), Part(line, _METAL, 0.03)]
  found.append(Part(line, main.plain(0.55), 0.03, 0))
  return found + _buttons(top, hem, name, main, figure)


def _inside(trim):
  return Cloth(trim.color, 'cotton', shade=0.9)


def _buttons(top, hem, name, main, figure):
  is_dark = sum(main.color) < 1.2
  knob = Cloth((0.75, 0.7, 0.6)) if is_dark else main.plain(0.4)
  columns = (-0.3, 0.26) if name == 'double breasted' else (0.0,)
  rows = np.arange(top + 0.15, min(hem - 0.3, top + 2.4), 0.45)
  size = 0.06 * max(1.0, figure.head)
  return [
    Part(outline.ellipse(x + 0.06, y, size, size), knob)
    for x in columns
    for y in rows
  ]


def _collar(traits, main):
  shade = main.dyed(0.82)
  if traits['collar'] in ('stand collar', 'turtle neck'):
    high = 0.42 if traits['collar'] == 'turtle neck' else 0.28
    edge = [
      (0.32, SHOULDER - high),
      (0.4, SHOULDER - 0.05),
      (0.1, SHOULDER + 0.1),
    ]
    return [Part(outline.mirrored(edge), shade)]
  if traits['collar'] == 'hooded' or traits['type'] == 'cardigans':
    return []
  lapel = [
    (0.28, SHOULDER - 0.28), (0.5, SHOULDER + 0.1), (0.62, SHOULDER + 0.35),
    (0.45, SHOULDER + 0.5), (0.02, WAIST - 0.2), (0.2, SHOULDER + 0.3),
  ]  # fmt: skip
  return [Part(np.array(lapel) * (side, 1), shade) for side in (-1, 1)]


def _pockets(traits, figure, hem, main):
  seam = main.plain(0.5)
  if traits['closure type'] == 'pullover':
    right = [(0.35, WAIST + 0.1), (0.62, hem - 0.15), (0, hem - 0.15)]
    yield Part(outline.mirrored(right), main.dyed(0.85))
    return
  low = min(HIP, hem - 0.45)
  slit = np.array([(0.4 * figure.hip, low + 0.1), (0.95 * figure.hip, low)])
  chest = outline.box(0.25, ARMPIT, 0.62, ARMPIT + 0.4)
  for side in (-1, 1):
    yield Part(slit * (side, 1), seam, 0.06)
    if traits['material'] == 'denim':
      yield Part(np.concatenate([chest, chest[:1]]) * (side, 1), _STITCH, 0.03)


def _belt(traits, figure, hem, main, ease):
  if traits['type'] == 'trench coat':
    width = figure.waist * ease * 1.12
    band = outline.box(-width, WAIST - 0.08, width, WAIST + 0.14)
    buckle = outline.box(0.0, WAIST - 0.1, 0.24, WAIST + 0.16)
    return [Part(band, main.dyed(0.75)), Part(buckle, main.plain(0.35))]
  if traits['type'] in ('bomber jacket', 'hoodies'):
    width = max(figure.hip, figure.chest * 0.92) * ease * 0.97
    band = outline.box(-width, hem - 0.2, width, hem + 0.06)
    return [Part(band, main.dyed(0.65))]
  return []
