"""How cloth looks: color, print, relief and folds."""

import colorsys
import dataclasses

import cv2
import numpy as np

from imat_jax.data.garments import catalog
from imat_jax.data.garments.catalog import Rgb
from imat_jax.data.garments.sample import Garment

Shape = tuple[int, int]  # height and width


@dataclasses.dataclass(frozen=True)
class Cloth:
  """What a part of a drawing is made of; `accent` is the print's color."""

  color: Rgb
  material: str = 'plain'
  pattern: str = 'solid'
  accent: Rgb = (1.0, 1.0, 1.0)
  shade: float = 1.0

  def shaded(self, gain: float) -> 'Cloth':
    """The same, darker (a gain under 1) or lighter."""
    return dataclasses.replace(self, shade=self.shade * gain)


def cloths(garment: Garment) -> tuple[Cloth, Cloth]:
  """The cloth of a garment, and that of its trimmings."""
  rng, traits = np.random.default_rng(garment.seed), garment.traits
  colors = traits['color'], garment.accent
  color, accent = (shade_of(catalog.RGB[name], rng) for name in colors)
  is_multicolor = traits['color'] == 'multicolor'
  pattern = 'floral' if is_multicolor else traits.get('pattern', 'solid')
  return Cloth(color, traits['material'], pattern, accent), Cloth(accent)


def shade_of(color: Rgb, rng: np.random.Generator) -> Rgb:
  """About the color: dyes, and eyes, differ a little."""
  shade = np.exp(rng.normal(0, 0.09)) * np.array(color)
  return tuple(np.clip(shade + rng.normal(0, 0.02, 3), 0, 1).tolist())


def bright(rng: np.random.Generator) -> Rgb:
  """Any strong color."""
  saturation, value = rng.uniform(0.5, 0.95), rng.uniform(0.6, 1)
  return colorsys.hsv_to_rgb(rng.random(), saturation, value)


def dull(rng: np.random.Generator) -> Rgb:
  """A color of rooms and things."""
  hue = float(rng.choice((0.08, 0.11, 0.57))) + rng.normal(0, 0.03)
  return colorsys.hsv_to_rgb(hue, rng.uniform(0, 0.4), rng.uniform(0.25, 1))


def noise(rng: np.random.Generator, shape: Shape, *kernel: int) -> np.ndarray:
  """White noise averaged over `kernel` pixels, of standard deviation 1."""
  # Bytes are ten times as fast as normal numbers; 73.9 is their deviation.
  field = rng.integers(0, 256, shape, np.uint8) - np.float32(127.5)
  return cv2.blur(field, kernel) * (np.sqrt(np.float32(kernel)).prod() / 73.9)


def hills(rng: np.random.Generator, shape: Shape, *cells: int) -> np.ndarray:
  """Smooth noise, with `cells` of them on 256 pixels down and across."""
  counts = [max(2, n * c // 256) for n, c in zip(shape, cells, strict=True)]
  coarse = rng.standard_normal(counts, np.float32)
  return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)


def weave(cloth: Cloth, shape: Shape, rng: np.random.Generator):
  """Its color [H, W, 3] and height in pixels [H, W]; 1 where all are alike."""
  look = catalog.MATERIALS[cloth.material]
  color, height = np.float32(cloth.color).reshape(1, 1, 3), np.zeros((1, 1))
  if cloth.pattern != 'solid':
    cover = np.float32(_print(cloth.pattern, shape, rng))[..., None]
    color = color + cover * (np.float32(cloth.accent) - color)
  if look.folds:
    height = look.folds * hills(rng, shape, *look.cells)
  if look.texture:
    texture = _texture(look.texture, shape, rng)
    height = height + look.relief * texture
    color = color * (1 + look.tint * texture)[..., None]
  return np.float32(color), np.float32(height)


def _texture(name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
  """A field of about -1 … 1."""
  y, x = np.indices(shape, np.float32)

  def wave(field: np.ndarray, period: float) -> np.ndarray:
    return np.cos(field * np.float32(2 * np.pi / period))

  match name:
    case 'fine':
      return noise(rng, shape, 2, 2)
    case 'strands':
      return noise(rng, shape, 3, 11)
    case 'nap':
      return hills(rng, shape, 26, 26)
    case 'twill':
      return 0.4 * wave(x + y, 5) + 0.5 * hills(rng, shape, 5, 5)
    case 'weave':
      return wave(x, 6) * wave(y, 6)
    case 'knit':
      return 0.5 * wave(x, 10) + 0.5 * wave(y + np.abs(x % 10 - 5), 6)
    case 'quilt':
      return np.abs(np.sin(y * np.pi / 27)) ** 0.6 * 2 - 1
  raise ValueError(name)


def _print(name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
  """How much of the second color there is, 0 … 1."""
  y, x = np.indices(shape, np.float32) / rng.uniform(14, 30)
  match name:
    case 'striped':
      return y % 1 < rng.uniform(0.3, 0.6)
    case 'plaid':
      return 0.5 * (x % 1 < 0.4) + 0.5 * (y % 1 < 0.4)
    case 'camouflage':
      return hills(rng, shape, 11, 11) > 0.3
    case 'polka dot':
      x = x + 0.5 * (np.floor(y) % 2)
      return np.hypot(x % 1 - 0.5, y % 1 - 0.5) < rng.uniform(0.2, 0.34)
    case 'floral':
      x, y = (z + hills(rng, shape, 9, 9) for z in (x, y))
      angle = np.arctan2(y % 2 - 1, x % 2 - 1)
      return np.hypot(y % 2 - 1, x % 2 - 1) < 0.6 + 0.2 * np.cos(5 * angle)
  raise ValueError(name)
