"""Dresses: a bodice and a skirt in one outline, sleeves, a neckline."""

import numpy as np

from imat_jax.data.drawing import cloth, outline
from imat_jax.data.drawing.canvas import Part
from imat_jax.data.drawing.figure import (
  ARMPIT,
  HIP,
  KNEE,
  SHOULDER,
  WAIST,
  Figure,
  Pose,
  arm,
)
from imat_jax.data.drawing.garment import Garment

_HEMS = {
  'mini': 4.6,
  'above knee': 5.2,
  'knee': 5.75,
  'midi': 6.4,
  'maxi': 7.2,
  'floor length': 7.65,
}
_SLEEVES = {'short': 0.32, 'half': 0.52, 'long': 0.98, 'off shoulder': 0.24}
_BARE = ('strapless', 'spaghetti strap', 'off shoulder')


def parts(garment: Garment, figure: Figure, pose: Pose) -> list[Part]:
  """The dress of a person in this pose."""
  rng = np.random.default_rng(garment.seed)
  main, trim = cloth.bought(garment.traits, garment.accent, rng)
  traits = garment.traits
  hem = _HEMS[traits['length']] + rng.normal(0, 0.1)
  body = outline.mirrored(_right_half(traits, figure, hem, rng))
  drawn = [Part(_back(traits, figure), main.dyed(0.5))]
  drawn += _sleeves(traits, figure, pose, main)
  drawn.append(Part(body, main, bulge=0.9))
  drawn += _straps(traits, figure, main)
  drawn += _pleats(traits, figure, hem, main, rng)
  if rng.random() < 0.35:
    drawn.append(_belt(traits, figure, trim))
  return drawn


def _right_half(traits, figure, hem, rng):
  return [
    *_neckline(traits, figure),
    (figure.chest * 1.03, ARMPIT + 0.05),
    *_skirt(traits['silhouette'], figure, hem, rng),
    (0, hem + 0.08),
  ]


def _neckline(traits, figure):
  """From the middle to the armpit, along the upper edge."""
  if traits['sleeve length'] in _BARE:
    dip = 0.3 if traits['collar'] in ('sweetheart', 'v neck') else 0.1
    top = ARMPIT - 0.25
    return [(0, top + dip), (0.3, top - 0.06), (figure.chest * 0.95, top)]
  depth, width = {
    'round neck': (0.2, 0.3),
    'v neck': (0.75, 0.34),
    'square neck': (0.4, 0.42),
    'boat neck': (0.05, 0.55),
    'sweetheart': (0.55, 0.5),
  }[traits['collar']]
  low, high = SHOULDER - 0.05 + depth, SHOULDER - 0.13
  edge = [(0, low), (width, high)]
  if traits['collar'] != 'v neck':
    edge = [(0, low), (width * 0.75, low - 0.06), (width, high)]
  has_sleeves = traits['sleeve length'] in _SLEEVES
  reach = figure.shoulder * (1.0 if has_sleeves else 0.86)
  cut = [] if has_sleeves else [(figure.chest * 0.84, ARMPIT - 0.25)]
  return [*edge, (max(reach, width + 0.15), SHOULDER + 0.02), *cut]


def _skirt(silhouette, figure, hem, rng):
  """From the waist to the hem: the right edge."""
  waist, hip = figure.waist * 1.05, figure.hip * 1.06
  if silhouette in ('fit and flare', 'ball gown'):
    spread = 1.45 if silhouette == 'fit and flare' else 2.1
    wide = hip * spread * rng.uniform(0.9, 1.15)
    middle = WAIST + 0.4 * (hem - WAIST)
    full = 0.88 if silhouette == 'ball gown' else 0.66
    return [
      (waist, WAIST),
      (waist + full * (wide - waist), middle),
      (wide, hem),
    ]
  if silhouette == 'mermaid':
    end = hip * rng.uniform(1.5, 2.0)
    return [(waist, WAIST), (hip, HIP), (hip * 0.72, KNEE), (end, hem)]
  if silhouette == 'shift':
    wide = hip * rng.uniform(1.1, 1.35)
    return [(figure.chest * 1.08, WAIST), (wide * 0.97, HIP), (wide, hem)]
  narrow = 0.82 if silhouette == 'bodycon' else 0.95
  return [(waist, WAIST), (hip, HIP), (hip * narrow, hem)]


def _back(traits, figure):
  """The inside of the back, seen through the neckline."""
  top = SHOULDER - 0.1 if traits['sleeve length'] not in _BARE else ARMPIT - 0.2
  right = [(0.3, top), (figure.shoulder * 0.6, top + 0.1), (0.5, ARMPIT + 0.4)]
  return outline.mirrored(right)


def _sleeves(traits, figure, pose, main):
  name = traits['sleeve length']
  if name not in _SLEEVES:
    return
  for side in (-1, 1):
    path = outline.along(arm(figure, pose, side), _SLEEVES[name])
    if name == 'off shoulder':
      path = path + (0, 0.35)
    widths = np.linspace(0.62, 0.5 if name != 'long' else 0.36, 7)
    widths[0] *= 0.6
    yield Part(outline.ribbon(path, widths * figure.thigh / 0.66), main)


def _straps(traits, figure, main):
  if traits['sleeve length'] != 'spaghetti strap':
    return
  for side in (-1, 1):
    ends = [(0.25, SHOULDER - 0.15), (figure.chest * 0.6, ARMPIT - 0.2)]
    yield Part(np.array(ends) * (side, 1), main, 0.06, 0.3)


def _pleats(traits, figure, hem, main, rng):
  """Lines that fall from the waist of a wide skirt."""
  if traits['silhouette'] not in ('fit and flare', 'ball gown'):
    return
  reach = figure.hip * (1.2 if traits['silhouette'] == 'fit and flare' else 1.7)
  for x in np.linspace(-1, 1, int(rng.integers(4, 9))):
    ends = [(x * figure.waist * 0.8, WAIST + 0.1), (x * reach, hem)]
    yield Part(np.array(ends), main.plain(0.7), 0.03, 0)


def _belt(traits, figure, trim):
  is_loose = traits['silhouette'] == 'shift'
  width = figure.chest * 1.08 if is_loose else figure.waist * 1.06
  return Part(outline.box(-width, WAIST - 0.08, width, WAIST + 0.1), trim)
