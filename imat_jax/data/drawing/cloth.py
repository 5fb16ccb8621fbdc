"""How a material looks: relief, tint, gloss and holes of a piece of cloth."""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from imat_jax.data.drawing import noise, palette, pattern
from imat_jax.data.drawing.palette import Rgb

Texture = Callable[[np.random.Generator, int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Cloth:
  """What a part of a drawing is made of."""

  color: Rgb
  material: str = 'plain'
  pattern: str = 'solid'
  accent: Rgb = (1.0, 1.0, 1.0)
  shade: float = 1.0

  def dyed(self, gain: float) -> 'Cloth':
    """The same, darker (a gain under 1) or lighter."""
    return dataclasses.replace(self, shade=self.shade * gain)

  def plain(self, gain: float = 1.0) -> 'Cloth':
    """Something smooth in the same color, such as a lining or a button."""
    return Cloth(self.color, shade=gain)


@dataclasses.dataclass(frozen=True)
class Material:
  """Amplitudes of a material's look.

  Attributes:
    texture: a field of about -1 … 1.
    relief: its height in pixels; tint: its share of the brightness.
    folds: height of the folds in pixels; cells: how many, down and across.
    gloss: strength of the highlight; sharpness: its exponent.
    rim: brightness of what is turned away, as of velvet.
    holes: texture under this value lets through what is behind; -1 is none.
    opacity: of the rest.
    shaggy: how many pixels the edge is ragged.
  """

  texture: Texture | None = None
  relief: float = 0.0
  tint: float = 0.0
  folds: float = 5.0
  cells: tuple[int, int] = (8, 8)
  gloss: float = 0.0
  sharpness: int = 30
  rim: float = 0.0
  holes: float = -1.0
  opacity: float = 1.0
  shaggy: float = 0.0


def bought(
  traits, accent: str, rng: np.random.Generator
) -> tuple[Cloth, Cloth]:
  """The cloth of a garment with these traits, and that of its trimmings."""
  name = traits['color']
  print_ = traits.get('pattern', 'solid')
  if name == palette.MULTICOLOR:
    print_ = palette.MULTICOLOR
  second = palette.rgb(accent, rng)
  main = Cloth(palette.rgb(name, rng), traits['material'], print_, second)
  return main, Cloth(second)


@dataclasses.dataclass(frozen=True)
class Surface:
  """Cloth: color [H, W, 3], height in pixels and opacity [H, W].

  A field that is the same everywhere has the shape [1, 1, 3] or [1, 1].
  """

  color: np.ndarray
  height: np.ndarray
  opacity: np.ndarray

  def warped(self, matrix: np.ndarray, size: tuple[int, int]) -> 'Surface':
    """The surface under an affine map, mirrored where it ends."""
    return Surface(*(_warped(f, matrix, size) for f in vars(self).values()))


def surface(cloth: Cloth, side: int, rng: np.random.Generator) -> Surface:
  """Weaves, dyes and prints a square of `side` pixels, without its shade."""
  material = MATERIALS[cloth.material]
  color, height = _dyed(cloth, rng, side), np.zeros((1, 1), np.float32)
  opacity = np.full((1, 1), material.opacity, np.float32)
  if material.folds:
    height = material.folds * noise.smooth(rng, (side, side), material.cells)
  if material.texture:
    texture = material.texture(rng, side).astype(np.float32)
    height = height + np.float32(material.relief) * texture
    if material.tint:
      color = color * (1 + np.float32(material.tint) * texture)[..., None]
    if material.holes > -1:
      opacity = np.where(texture < material.holes, 0.25 * opacity, opacity)
  return Surface(color, height, opacity)


def _dyed(cloth: Cloth, rng: np.random.Generator, side: int) -> np.ndarray:
  if cloth.pattern == palette.MULTICOLOR:
    return pattern.rainbow(rng, side)
  color = np.asarray(cloth.color, np.float32).reshape(1, 1, 3)
  if cloth.pattern == 'solid':
    return color
  cover = pattern.cover(cloth.pattern, rng, side)[..., None]
  return color + cover * (np.asarray(cloth.accent, np.float32) - color)


def _warped(field: np.ndarray, matrix, size: tuple[int, int]) -> np.ndarray:
  if field.shape[:2] == (1, 1):
    return np.broadcast_to(field, (size[1], size[0], *field.shape[2:]))
  return cv2.warpAffine(field, matrix, size, borderMode=cv2.BORDER_REFLECT_101)


def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
  line, shape = np.arange(side, dtype=np.float32), (side, side)
  return np.broadcast_to(line, shape), np.broadcast_to(line[:, None], shape)


def _wave(field: np.ndarray, period: float) -> np.ndarray:
  return np.cos(field * np.float32(2 * np.pi / period))


def _twill(rng, side):
  x, y = _grid(side)
  worn = noise.smooth(rng, (side, side), (5, 5))
  grain = noise.blurred(rng, (side, side), (1, 7))
  return 0.4 * _wave(x + y, 5) + 0.5 * worn + 0.3 * grain


def _ribs(rng, side):
  return _wave(_grid(side)[0], 7)


def _knit(rng, side):
  x, y = _grid(side)
  zigzag = np.abs(x % 10 - 5)
  return 0.6 * _wave(x, 10) + 0.5 * _wave(y + zigzag, 6)


def _canvas(rng, side):
  x, y = _grid(side)
  return 0.6 * _wave(x, 4.3) * _wave(y, 4.3) + 0.4 * noise.white(rng, x.shape)


def _slubs(rng, side):
  shape = side, side
  threads = noise.blurred(rng, shape, (25, 2))
  return 0.6 * threads + 0.6 * noise.blurred(rng, shape, (2, 25))


def _fuzz(rng, side):
  return noise.blurred(rng, (side, side), (3, 3))


def _nap(rng, side):
  return noise.smooth(rng, (side, side), (26, 26))


def _fine(rng, side):
  return noise.blurred(rng, (side, side), (2, 2))


def _strands(rng, side):
  shape = side, side
  tufts = noise.blurred(rng, shape, (3, 13))
  return 0.8 * tufts + 0.5 * noise.smooth(rng, shape, (40, 22))


def _quilt(rng, side):
  return np.abs(np.sin(_grid(side)[1] * np.pi / 27)) ** 0.6 * 2 - 1


def _crumple(rng, side):
  return 1 - 2 * np.abs(noise.smooth(rng, (side, side), (24, 24)))


def _spangles(rng, side):
  x, y = _grid(side)
  round_ = np.hypot(x % 4 - 2, y % 4 - 2) < 2
  return noise.cells(rng, (side, side), 4) * round_


def _sparkle(rng, side):
  return np.abs(noise.white(rng, (side, side))) - 0.8


def _net(rng, side):
  x, y = _grid(side)
  return np.maximum(_wave(x + y, 7), _wave(x - y, 7))


def _holes(rng, side):
  x, y = _grid(side)
  return -_wave(x, 6) * _wave(y, 6)


def _lacework(rng, side):
  x, y = _grid(side)
  petals = _wave(x, 26) * _wave(y, 26) + 0.6 * _wave(x + y, 13)
  return petals + 0.7 * _net(rng, side)


MATERIALS = {
  'plain': Material(folds=0),
  'skin': Material(folds=0.6, gloss=0.05),
  'sole': Material(folds=0.5, gloss=0.1),
  'metal': Material(folds=0, gloss=0.8, sharpness=15),
  'hair': Material(_strands, relief=0.4, tint=0.12, folds=1),
  'canvas': Material(_canvas, relief=0.3, tint=0.16, folds=3),
  'chiffon': Material(folds=8, cells=(3, 22), opacity=0.82, gloss=0.05),
  'corduroy': Material(_ribs, relief=1.1, tint=0.16, folds=5),
  'cotton': Material(_fine, relief=0.12, folds=7, cells=(8, 8)),
  'denim': Material(_twill, relief=0.3, tint=0.2, folds=4),
  'down': Material(_quilt, relief=5, tint=0.05, folds=3, gloss=0.2),
  'fur': Material(_strands, relief=2.2, tint=0.22, folds=5, shaggy=7),
  'glitter': Material(_sparkle, tint=0.6, folds=1, gloss=0.2),
  'knitting': Material(_knit, relief=1.3, tint=0.18, folds=4, cells=(5, 5)),
  'lace': Material(_lacework, relief=0.8, tint=0.1, folds=3, holes=-0.1),
  'leather': Material(
    _fine, relief=0.15, folds=7, cells=(11, 11), gloss=0.45, sharpness=40
  ),
  'linen': Material(_slubs, relief=0.5, tint=0.09, folds=8, cells=(12, 12)),
  'mesh': Material(_holes, relief=1.0, tint=0.35, folds=2),
  'nylon': Material(_crumple, relief=1.1, folds=4, gloss=0.35, sharpness=30),
  'pvc': Material(folds=6, cells=(10, 10), gloss=1.4, sharpness=90),
  'rubber': Material(folds=1.5, cells=(4, 4), gloss=0.8, sharpness=70),
  'satin': Material(folds=11, cells=(4, 12), gloss=0.6, sharpness=14),
  'sequined': Material(_spangles, tint=0.4, folds=4, gloss=0.25),
  'suede': Material(_nap, tint=0.1, folds=3, cells=(6, 6), rim=0.12),
  'tulle': Material(
    _net, relief=0.3, tint=0.12, folds=7, cells=(3, 16), opacity=0.7
  ),
  'velvet': Material(_fine, tint=0.05, folds=9, cells=(5, 9), rim=0.5),
  'wool': Material(_fuzz, relief=0.5, tint=0.13, folds=4, cells=(5, 5)),
}
