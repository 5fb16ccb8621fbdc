"""Pieces of cloth in outline, laid over each other and lit."""

import dataclasses
from collections.abc import Iterable

import cv2
import numpy as np

from imat_jax.data.drawing import cloth as cloths
from imat_jax.data.drawing import noise, outline
from imat_jax.data.drawing.cloth import Cloth, Surface

_SHIFT = 4  # fractional bits of OpenCV's coordinates
_AMBIENT = 0.42  # brightness where no direct light falls
_ROUND = 20.0  # pixels from the edge to the flat middle of a part, at most


@dataclasses.dataclass(frozen=True)
class Part:
  """A piece of cloth.

  Attributes:
    outline: [N, 2] in the units of the drawing; of an area, or of a line.
    width: of the line, in units; 0 is an area.
    bulge: how round it is; 0 is flat.
    joined: outlines of further areas that make one piece with the first.
  """

  outline: np.ndarray
  cloth: Cloth
  width: float = 0.0
  bulge: float = 1.0
  joined: tuple[np.ndarray, ...] = ()

  @property
  def areas(self) -> tuple[np.ndarray, ...]:
    """All outlines."""
    return self.outline, *self.joined


@dataclasses.dataclass(frozen=True)
class Frame:
  """Where a drawing comes to lie in the photo.

  Attributes:
    matrix: [3, 3], from the drawing's units to pixels.
    centre: of the drawing, in its units.
    light: x and y of the direction to the light.
  """

  size: tuple[int, int]
  matrix: np.ndarray
  centre: tuple[float, float]
  light: tuple[float, float]

  def pixels(self, points) -> np.ndarray:
    """Units to pixels."""
    points = np.asarray(points, np.float64).reshape(-1, 1, 2)
    return cv2.perspectiveTransform(points, self.matrix)[:, 0]

  def scale_and_turn(self) -> tuple[float, float]:
    """Pixels per unit and the angle in degrees, at the centre."""
    x, y = self.centre
    here, right = self.pixels([(x, y), (x + 0.01, y)])
    dx, dy = (right - here) * 100
    return float(np.hypot(dx, dy)), float(np.degrees(np.arctan2(dy, dx)))


@dataclasses.dataclass(frozen=True)
class Layer:
  """Premultiplied color [H, W, 3] and cover [H, W] of a drawing."""

  color: np.ndarray
  cover: np.ndarray


def render(
  parts: Iterable[Part], frame: Frame, rng: np.random.Generator
) -> Layer:
  """Draws the parts, the first at the bottom."""
  width, height = frame.size
  layer = Layer(
    np.zeros((height, width, 3), np.float32),
    np.zeros((height, width), np.float32),
  )
  scale, _ = frame.scale_and_turn()
  surfaces: dict[Cloth, Surface] = {}
  for part in parts:
    found = _mask(part, frame, scale)
    if found is None:
      continue
    key = dataclasses.replace(part.cloth, shade=1.0)
    if key not in surfaces:
      surfaces[key] = _laid(key, frame, rng)
    _paint(layer, part, surfaces[key], *found, frame.light, rng)
  return layer


def over(
  picture: np.ndarray, layer: Layer, shadow: tuple[float, float], depth: float
) -> np.ndarray:
  """The layer on the picture, with a soft shadow that falls by `shadow`."""
  small = cv2.resize(layer.cover, None, fx=0.25, fy=0.25)
  move = np.float32([[1, 0, shadow[0] / 4], [0, 1, shadow[1] / 4]])
  size = small.shape[1], small.shape[0]
  small = cv2.warpAffine(cv2.GaussianBlur(small, (0, 0), 2.5), move, size)
  dark = cv2.resize(small, layer.cover.shape[::-1])
  lit = picture * (1 - depth * dark)[..., None]
  return lit * (1 - layer.cover)[..., None] + layer.color


def _mask(part: Part, frame: Frame, scale: float):
  """The part's cover as uint8 and its place, or None where it is not seen."""
  areas = [frame.pixels(area) for area in part.areas]
  line = max(1, round(part.width * scale)) if part.width else 0
  low, high = outline.bounds(areas)
  margin = line + 9
  low = np.maximum(np.floor(low).astype(int) - margin, 0)
  high = np.minimum(np.ceil(high).astype(int) + margin, frame.size)
  if (high <= low).any():
    return None
  mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
  for area in areas:
    fixed = [np.round((area - low) * 2**_SHIFT).astype(np.int32)]
    if line:
      cv2.polylines(mask, fixed, False, 255, line, cv2.LINE_AA, _SHIFT)
    else:
      cv2.fillPoly(mask, fixed, 255, cv2.LINE_AA, _SHIFT)
  return mask, (slice(low[1], high[1]), slice(low[0], high[0]))


def _laid(cloth: Cloth, frame: Frame, rng: np.random.Generator) -> Surface:
  """The cloth's surface as large as the photo, turned with the drawing."""
  width, height = frame.size
  if cloth.material == 'plain' and cloth.pattern == 'solid':
    return Surface(
      np.broadcast_to(np.float32(cloth.color), (height, width, 3)),
      np.broadcast_to(np.float32(0), (height, width)),
      np.broadcast_to(np.float32(1), (height, width)),
    )
  side = max(frame.size)
  woven = cloths.surface(cloth, side, rng)
  middle, (_, turn) = frame.pixels([frame.centre])[0], frame.scale_and_turn()
  matrix = cv2.getRotationMatrix2D((side / 2, side / 2), -turn, 1)
  matrix[:, 2] += middle - side / 2
  return Surface(
    *(
      cv2.warpAffine(
        field, matrix, frame.size, borderMode=cv2.BORDER_REFLECT_101
      )
      for field in (woven.color, woven.height, woven.opacity)
    )
  )


def _paint(layer, part, surface, mask, place, light, rng) -> None:
  material = cloths.MATERIALS[part.cloth.material]
  if material.shaggy and not part.width:
    mask = _ragged(mask, material.shaggy, rng)
  height = surface.height[place] + _bulge(mask, part.bulge)
  color = _lit(
    surface.color[place] * np.float32(part.cloth.shade), height, light, material
  )
  cover = mask * np.float32(1 / 255) * surface.opacity[place]
  rest = 1 - cover
  layer.color[place] *= rest[..., None]
  layer.color[place] += color * cover[..., None]
  layer.cover[place] *= rest
  layer.cover[place] += cover


def _ragged(mask: np.ndarray, pixels: float, rng) -> np.ndarray:
  soft = cv2.blur(mask, (int(pixels) * 2 + 1,) * 2).astype(np.float32)
  soft += 32 * noise.blurred(rng, mask.shape, (2, 5))
  return np.clip((soft - 110) * 6, 0, 255).astype(np.uint8)


def _bulge(mask: np.ndarray, amount: float) -> np.ndarray:
  """A height map that rises from the edge to a flat middle."""
  inside = cv2.distanceTransform(
    cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY)[1], cv2.DIST_L2, 3
  )
  radius = min(float(inside.max()), _ROUND) + 1e-3
  rise = np.minimum(inside / radius, 1)
  return (amount * 0.55 * radius) * rise * (2 - rise)


def _lit(color, height, light, material: cloths.Material) -> np.ndarray:
  """Diffuse light and, by the material, a highlight and a rim (Phong)."""
  slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
  slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
  upright = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
  to_light = np.array([*light, 1.0], np.float32)
  to_light /= np.linalg.norm(to_light)
  tilt = -slope_x * to_light[0] - slope_y * to_light[1]
  facing = np.maximum((tilt + to_light[2]) * upright, 0)
  lit = color * (_AMBIENT + (1 - _AMBIENT) * facing / to_light[2])[..., None]
  if material.gloss:
    half = to_light + np.float32([0, 0, 1])
    half /= np.linalg.norm(half)
    tilt = -slope_x * half[0] - slope_y * half[1]
    shine = np.maximum((tilt + half[2]) * upright, 0) ** material.sharpness
    lit += (material.gloss * 0.6 * shine)[..., None]
  if material.rim:
    lit += (material.rim * (1 - upright))[..., None] * (0.3 + color)
  return lit
