"""Pieces of cloth in outline, laid over each other and lit."""

import dataclasses
from collections.abc import Sequence

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

  def cropped(self, low: np.ndarray, high: np.ndarray) -> 'Frame':
    """The frame of the pixels from `low` to `high`."""
    moved = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]])
    size = int(high[0] - low[0]), int(high[1] - low[1])
    return dataclasses.replace(self, size=size, matrix=moved @ self.matrix)

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
class _Piece:
  """A part as it shows: its cover as uint8, whose first pixel is at `low`."""

  part: Part
  mask: np.ndarray
  low: np.ndarray

  @property
  def high(self) -> np.ndarray:
    return self.low + self.mask.shape[::-1]

  @property
  def cloth(self) -> Cloth:
    """What is woven at once: all shades of a cloth."""
    return dataclasses.replace(self.part.cloth, shade=1.0)


def draw(
  picture: np.ndarray,
  parts: Sequence[Part],
  frame: Frame,
  rng: np.random.Generator,
  shadow: tuple[float, float] = (4, 6),
  depth: float = 0.35,
) -> None:
  """Draws the parts on the picture, the first at the bottom.

  Args:
    picture: float32 [H, W, 3], changed in place.
    shadow: by how many pixels it falls across and down; depth: its darkness.
  """
  scale, _ = frame.scale_and_turn()
  found = (_piece(part, frame, scale) for part in parts)
  pieces = [piece for piece in found if piece is not None]
  _cast(picture, pieces, shadow, depth)
  fabrics = {
    cloth: (low, _laid(cloth, frame.cropped(low, high), rng))
    for cloth, low, high in _boxes(pieces)
  }
  for piece in pieces:
    _paint(picture, piece, *fabrics[piece.cloth], frame.light, rng)


def _piece(part: Part, frame: Frame, scale: float) -> _Piece | None:
  """None where the frame does not show it."""
  areas = [frame.pixels(area) for area in part.areas]
  line = max(1, round(part.width * scale)) if part.width else 0
  low, high = outline.bounds(areas)
  low = np.maximum(np.floor(low).astype(int) - line - 9, 0)
  high = np.minimum(np.ceil(high).astype(int) + line + 9, frame.size)
  if (high <= low).any():
    return None
  mask = np.zeros(high[::-1] - low[::-1], np.uint8)
  for area in areas:
    fixed = [np.round((area - low) * 2**_SHIFT).astype(np.int32)]
    if line:
      cv2.polylines(mask, fixed, False, 255, line, cv2.LINE_AA, _SHIFT)
    else:
      cv2.fillPoly(mask, fixed, 255, cv2.LINE_AA, _SHIFT)
  return _Piece(part, mask, low)


def _boxes(pieces: Sequence[_Piece]):
  """The corners of what each cloth covers."""
  corners = {}
  for piece in pieces:
    low, high = corners.get(piece.cloth, (piece.low, piece.high))
    corners[piece.cloth] = (
      np.minimum(low, piece.low),
      np.maximum(high, piece.high),
    )
  return [(cloth, *box) for cloth, box in corners.items()]


def _cast(picture, pieces, shadow, depth) -> None:
  """Darkens the picture by a soft shadow of what will cover it."""
  cover = np.zeros(picture.shape[:2], np.uint8)
  for piece in pieces:
    part = _view(cover, piece.low, piece.mask.shape)
    np.maximum(part, piece.mask, out=part)
  small = cv2.resize(cover, None, fx=0.25, fy=0.25)
  move = np.float32([[1, 0, shadow[0] / 4], [0, 1, shadow[1] / 4]])
  soft = cv2.GaussianBlur(small, (0, 0), 2.5)
  soft = cv2.warpAffine(soft, move, small.shape[::-1])
  dark = cv2.resize(soft, cover.shape[::-1]) * np.float32(depth / 255)
  picture *= (1 - dark)[..., None]


def _view(field: np.ndarray, low, shape: tuple[int, ...]) -> np.ndarray:
  x, y = low
  return field[y : y + shape[0], x : x + shape[1]]


def _laid(cloth: Cloth, frame: Frame, rng: np.random.Generator) -> Surface:
  """The cloth's surface as large as the frame, turned with the drawing."""
  side = max(frame.size)
  middle, (_, turn) = frame.pixels([frame.centre])[0], frame.scale_and_turn()
  matrix = cv2.getRotationMatrix2D((side / 2, side / 2), -turn, 1)
  matrix[:, 2] += middle - side / 2
  return cloths.surface(cloth, side, rng).warped(matrix, frame.size)


def _paint(
  picture, piece: _Piece, origin, surface: Surface, light, rng
) -> None:
  part, mask = piece.part, piece.mask
  material = cloths.MATERIALS[part.cloth.material]
  if material.shaggy and not part.width:
    mask = _ragged(mask, material.shaggy, rng)
  color, height, opacity = (
    _view(field, piece.low - origin, mask.shape)
    for field in (surface.color, surface.height, surface.opacity)
  )
  diffuse, shine = _lit(height + _bulge(mask, part.bulge), light, material)
  cover = mask * np.float32(1 / 255) * opacity
  below = _view(picture, piece.low, mask.shape)
  below *= (1 - cover)[..., None]
  below += color * (diffuse * cover * np.float32(part.cloth.shade))[..., None]
  if shine is not None:
    below += (shine * cover)[..., None]


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


def _lit(height, light, material: cloths.Material):
  """The share of the color that comes back, and white light or None (Phong)."""
  slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
  slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
  upright = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)

  def facing(direction: np.ndarray) -> np.ndarray:
    x, y, z = (direction / np.linalg.norm(direction)).astype(np.float32)
    return np.maximum((z - slope_x * x - slope_y * y) * upright, 0) / z

  to_light = np.array([*light, 1.0])
  diffuse = _AMBIENT + (1 - _AMBIENT) * facing(to_light)
  if material.rim:
    away = np.float32(material.rim) * (1 - upright)
    return diffuse + away, np.float32(0.3) * away
  if material.gloss:
    half = to_light / np.linalg.norm(to_light) + (0, 0, 1)
    return diffuse, material.gloss * 0.2 * facing(half) ** material.sharpness
  return diffuse, None
