"""What a garment is photographed on, and what stands about or lies over it."""

import cv2
import numpy as np

from imat_jax.data.garments import outline, rasterize, textures
from imat_jax.data.garments.rasterize import Part
from imat_jax.data.garments.textures import Cloth, Shape, hills, noise


def draw(name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
  """An image without garments, float32 [H, W, 3], unevenly lit."""
  image_HxWxC = np.ones((*shape, 3), np.float32) * _surface(name, shape, rng)
  if name in ('room', 'street'):
    _furnish(image_HxWxC, 'planks' if name == 'room' else 'carpet', rng)
  y, x = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
  down, across = rng.normal(0, 0.07, 2)
  gain = 1 + down * y + across * x - rng.uniform(0, 0.12) * (x * x + y * y)
  return image_HxWxC * np.float32(gain)[..., None]


def clutter(image_HxWxC: np.ndarray, at, reach: float, rng) -> None:
  """Draws a ball, a stick or a box, about `reach` pixels large, at `at`."""
  color = textures.bright(rng) if rng.random() < 0.35 else textures.dull(rng)
  cloth = Cloth(color, str(rng.choice(('plain', 'leather', 'wool'))))
  wide, high = reach * rng.uniform(0.5, 1.2, 2)
  shapes = (
    outline.ellipse(0, 0, wide, high),
    outline.box(-1.6 * reach, -0.1 * high, 1.6 * reach, 0),
    outline.box(-wide, -high, wide, high),
  )
  matrix = cv2.getRotationMatrix2D((0, 0), rng.normal(0, 40), 1)
  matrix[:, 2] = at
  parts = [Part(shapes[rng.integers(3)], cloth)]
  rasterize.draw(image_HxWxC, parts, matrix, (-0.3, -0.5), rng)


def _surface(name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
  """The colors [H, W, 3]."""
  color, grain_HxW = textures.dull(rng), 0.03 * hills(rng, shape, 6, 6)
  match name:  # a wall and a room are as above
    case 'studio':
      color, grain_HxW = (rng.uniform(0.86, 1.0),) * 3, np.zeros(shape)
    case 'backdrop':
      color = 0.6 + 0.4 * np.array(textures.bright(rng))
    case 'street':
      color = (0.75, 0.82, 0.9)
    case 'carpet':
      grain_HxW = 0.16 * noise(rng, shape, 3, 3)
    case 'bed':
      grain_HxW = 0.08 * hills(rng, shape, 24, 12)
    case 'tiles':
      grain_HxW = _joints(shape, rng) + _joints(shape[::-1], rng).T
    case 'planks':
      color = textures.shade_of((0.66, 0.47, 0.3), rng)
      grain_HxW = _joints(shape, rng) + 0.05 * noise(rng, shape, 41, 2)
  return np.float32(color) * np.float32(1 + grain_HxW)[..., None]


def _joints(shape: Shape, rng: np.random.Generator) -> np.ndarray:
  """Boards across [H, W]: each in a shade of its own, with a dark joint."""
  wide = int(rng.integers(24, 80))
  row = np.repeat(rng.normal(0, 0.05, shape[0] // wide + 1), wide)[: shape[0]]
  row[::wide] = -0.35
  return np.repeat(row[:, None], shape[1], 1)


def _furnish(image_HxWxC: np.ndarray, floor: str, rng) -> None:
  """Adds the floor, and things that stand about, out of focus."""
  height, width, _ = image_HxWxC.shape
  top = int(height * rng.uniform(0.55, 0.9))
  image_HxWxC[top:] = 0.9 * _surface(floor, (height - top, width), rng)
  for _ in range(int(rng.integers(4, 8))):
    at = rng.uniform((0, 0.2 * top), (width, 1.1 * top))
    clutter(image_HxWxC, at, rng.uniform(0.1, 0.3) * height, rng)
  cv2.GaussianBlur(image_HxWxC, (0, 0), rng.uniform(1, 4), image_HxWxC)
