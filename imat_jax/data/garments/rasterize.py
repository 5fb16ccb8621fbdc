"""Draws outlines of cloth over each other, lit from one side."""

import dataclasses

import cv2
import numpy as np

from imat_jax.data.garments import catalog, textures
from imat_jax.data.garments.textures import Cloth

_AMBIENT = 0.42  # brightness where no direct light falls
_ROUND = 20.0  # pixels from the edge to the flat middle of a part, at most


@dataclasses.dataclass(frozen=True)
class Part:
  """A piece of cloth: an area, or a line where it has a width."""

  outline: np.ndarray  # [N, 2] in the units of the drawing
  cloth: Cloth
  width: float = 0.0
  bulge: float = 1.0  # how round it is; 0 is flat

  def moved(self, by, flip: int = 1) -> 'Part':
    """The same at another place, or (-1) its mirror image."""
    return dataclasses.replace(self, outline=self.outline * (flip, 1) + by)


def draw(
  image_HxWxC: np.ndarray, parts: list[Part], matrix, light, rng
) -> None:
  """Draws the parts on the image, float32, the first at the bottom.

  `matrix` is [2, 3], from units to pixels; `light` its direction, x and y.
  """
  shape = image_HxWxC.shape[:2]
  pieces = [(part, *_mask(part, matrix, shape)) for part in parts]
  pieces = [piece for piece in pieces if piece[1].size]
  _cast_shadow(image_HxWxC, pieces, light, rng)
  fabrics = {}
  for part, mask, box in pieces:
    cloth = dataclasses.replace(part.cloth, shade=1.0)
    if cloth not in fabrics:
      fields = textures.weave(cloth, shape, rng)
      fabrics[cloth] = [np.broadcast_to(f, shape + f.shape[2:]) for f in fields]
    color, height = (field[box] for field in fabrics[cloth])
    material = catalog.MATERIALS[cloth.material]
    diffuse, shine = _lit(height + part.bulge * _round(mask), light)
    color = color * (diffuse * np.float32(part.cloth.shade))[..., None]
    color += np.float32(material.gloss) * shine[..., None]
    cover = mask * np.float32(material.opacity / 255)
    image_HxWxC[box] += cover[..., None] * (color - image_HxWxC[box])


def _mask(part: Part, matrix: np.ndarray, shape: tuple[int, int]):
  """Its cover as uint8, and which pixels of the image that is."""
  points = part.outline @ matrix[:, :2].T + matrix[:, 2]
  scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
  line = max(1, round(part.width * scale)) if part.width else 0
  low = np.maximum(np.floor(points.min(0)).astype(int) - line - 1, 0)
  high = np.ceil(points.max(0)).astype(int) + line + 1
  high = np.maximum(np.minimum(high, shape[::-1]), low)
  mask = np.zeros((high - low)[::-1], np.uint8)
  # OpenCV's coordinates have 4 fractional bits.
  fixed = [np.round((points - low) * 16).astype(np.int32)]
  if mask.size and line:
    cv2.polylines(mask, fixed, False, 255, line, cv2.LINE_AA, 4)
  elif mask.size:
    cv2.fillPoly(mask, fixed, 255, cv2.LINE_AA, 4)
  return mask, (slice(low[1], high[1]), slice(low[0], high[0]))


def _cast_shadow(image_HxWxC: np.ndarray, pieces, light, rng) -> None:
  """Darkens the image by a soft shadow of what will cover it."""
  cover = np.zeros(image_HxWxC.shape[:2], np.uint8)
  for _, mask, box in pieces:
    np.maximum(cover[box], mask, out=cover[box])
  small = cv2.resize(cover, None, fx=0.25, fy=0.25)
  reach, depth = rng.uniform(0.5, 3.5), rng.uniform(0.15, 0.55)
  move = np.array([[1, 0, -light[0] * reach], [0, 1, -light[1] * reach]])
  soft = cv2.GaussianBlur(small, (0, 0), 2.5)
  soft = cv2.warpAffine(soft, move, small.shape[::-1])
  dark = cv2.resize(soft, cover.shape[::-1]) * np.float32(depth / 255)
  image_HxWxC *= (1 - dark)[..., None]


def _round(mask: np.ndarray) -> np.ndarray:
  """A height map that rises from the edge to a flat middle."""
  inside = cv2.distanceTransform((mask > 127) * np.uint8(255), cv2.DIST_L2, 3)
  radius = min(float(inside.max()), _ROUND) + 1e-3
  rise = np.minimum(inside / radius, 1)
  return 0.55 * radius * rise * (2 - rise)


def _lit(height: np.ndarray, light: tuple[float, float]):
  """The share of the color that comes back, and of white light (Phong)."""
  slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
  slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
  upright = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)

  def facing(direction: np.ndarray) -> np.ndarray:
    x, y, z = np.float32(direction / np.linalg.norm(direction))
    return np.maximum((z - slope_x * x - slope_y * y) * upright, 0) / z

  to_light = np.array([*light, 1.0])
  half = to_light / np.linalg.norm(to_light) + (0, 0, 1)
  diffuse = _AMBIENT + (1 - _AMBIENT) * facing(to_light)
  return diffuse, 0.2 * facing(half) ** 30
