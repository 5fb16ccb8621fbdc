"""Backgrounds, things that stand about, and what covers the garment."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from imat_jax.data.drawing import canvas, cloth, noise, palette, things

Size = tuple[int, int]


def background(name: str, size: Size, rng: np.random.Generator) -> np.ndarray:
  """A picture without garments, float32 [H, W, 3]."""
  picture = _BACKGROUNDS[name](size, rng)
  return picture * _lamp(size, rng)[..., None]


def occlude(picture: np.ndarray, rng: np.random.Generator) -> None:
  """Lays something over an edge of the garment."""
  height, width = picture.shape[:2]
  reach = min(width, height) * rng.uniform(0.12, 0.24)
  angle = rng.uniform(0, 2 * np.pi)
  away = rng.uniform(0.2, 0.5)
  x = width * (0.5 + away * np.cos(angle))
  y = height * (0.5 + away * np.sin(angle))
  _put(picture, things.of_a_room(rng, x, y, reach), rng)


def print_over(picture: np.ndarray, rng: np.random.Generator) -> None:
  """A shop's mark: a banner, or letters across the photo."""
  height, width = picture.shape[:2]
  if rng.random() < 0.5:
    top = int(rng.choice((0, 0.86)) * height)
    picture[top : top + int(0.14 * height)] = palette.bright(rng)
  at = int(rng.uniform(0.05, 0.4) * width), int(rng.uniform(0.2, 0.95) * height)
  words = ('SALE -50%', 'NEW', 'shop24', 'ORIGINAL', 'free shipping')
  text = words[rng.integers(len(words))]
  mask = np.zeros((height, width), np.uint8)
  cv2.putText(mask, text, at, 0, width / 320 * rng.uniform(0.6, 1.4), 255, 2)
  ink = mask[..., None] * np.float32(rng.uniform(0.4, 1) / 255)
  picture += ink * (np.float32(rng.choice((0.05, 0.95))) - picture)


def _flat(size: Size, color) -> np.ndarray:
  picture = np.empty((size[1], size[0], 3), np.float32)
  picture[:] = color
  return picture


def _lamp(size: Size, rng) -> np.ndarray:
  """Uneven light: a gradient and a vignette."""
  y, x = np.ogrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
  tilt = rng.normal(0, 0.07, 2)
  gain = 1 + tilt[0] * x + tilt[1] * y - rng.uniform(0, 0.12) * (x * x + y * y)
  return gain.astype(np.float32)


def _studio(size: Size, rng) -> np.ndarray:
  return _flat(size, np.float32(rng.uniform(0.86, 1.0)))


def _backdrop(size: Size, rng) -> np.ndarray:
  return _plaster(size, palette.soft(rng), rng)


def _wall(size: Size, rng) -> np.ndarray:
  return _plaster(size, palette.dull(rng), rng)


def _plaster(size: Size, color, rng) -> np.ndarray:
  grain = noise.smooth(rng, (size[1], size[0]), (6, 6))
  return _flat(size, color) * (1 + 0.03 * grain)[..., None]


def _planks(size: Size, rng) -> np.ndarray:
  shape = size[1], size[0]
  wide = int(rng.integers(22, 60))
  count = shape[0] // wide + 1
  shade = 1 + 0.07 * noise.white(rng, (count, 1))
  rows = np.repeat(shade, wide, axis=0)[: shape[0]]
  grain = noise.blurred(rng, shape, (41, 2))
  field = rows * (1 + 0.05 * grain)
  field[::wide] *= 0.6
  if rng.random() < 0.5:
    field = cv2.resize(np.ascontiguousarray(field.T), size)
  tones = ('b98a58', '8a5a34', 'd8b98c', '6b4a33', 'a8a099')
  return _flat(size, palette.one_of(tones, rng)) * field[..., None]


def _tiles(size: Size, rng) -> np.ndarray:
  side = int(rng.integers(36, 90))
  picture = _flat(size, palette.dull(rng))
  picture *= (1 + 0.04 * noise.cells(rng, (size[1], size[0]), side))[..., None]
  picture[::side] *= 0.72
  picture[:, ::side] *= 0.72
  return picture


def _carpet(size: Size, rng) -> np.ndarray:
  shape = size[1], size[0]
  picture = _flat(size, palette.dull(rng))
  picture *= (1 + 0.16 * noise.blurred(rng, shape, (3, 3)))[..., None]
  if rng.random() < 0.3:
    other = noise.smooth(rng, shape, (6, 6)) > 0.5
    picture[other] *= palette.dull(rng)
  return picture


def _bed(size: Size, rng) -> np.ndarray:
  """A crumpled sheet, sometimes a printed one."""
  prints = ('solid', 'solid', 'floral', 'striped', 'plaid')
  sheet = cloth.Cloth(
    palette.dull(rng), 'linen', str(rng.choice(prints)), palette.dull(rng)
  )
  side = max(size)
  woven = cloth.surface(sheet, side, rng)
  slope = cv2.Sobel(woven.height, cv2.CV_32F, 1, 0, ksize=1)
  slope += cv2.Sobel(woven.height, cv2.CV_32F, 0, 1, ksize=1)
  lit = woven.color * (1 + 0.12 * np.tanh(slope))[..., None]
  return np.ascontiguousarray(lit[: size[1], : size[0]])


def _room(size: Size, rng) -> np.ndarray:
  """A wall, a floor and furniture, out of focus."""
  height = size[1]
  picture = _wall(size, rng)
  horizon = int(height * rng.uniform(0.55, 0.9))
  picture[horizon:] = _planks(size, rng)[horizon:]
  picture[horizon : horizon + 4] = 0.9
  _fill(picture, (0.1 * horizon, 1.1 * horizon), things.of_a_room, rng)
  return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 3))


def _street(size: Size, rng) -> np.ndarray:
  """Sky, houses and trees over a pavement, out of focus."""
  height = size[1]
  picture = _plaster(size, palette.sky(rng), rng)
  horizon = int(height * rng.uniform(0.6, 0.85))
  _fill(picture, (0.3 * horizon, 0.9 * horizon), things.of_a_street, rng)
  picture[horizon:] = _carpet(size, rng)[horizon:] * 0.8
  return cv2.GaussianBlur(picture, (0, 0), rng.uniform(2, 5))


def _fill(picture, between: tuple[float, float], kind, rng) -> None:
  height, width = picture.shape[:2]
  for _ in range(int(rng.integers(4, 8))):
    x, y = rng.uniform(0, width), rng.uniform(*between)
    _put(picture, kind(rng, x, y, rng.uniform(0.1, 0.3) * height), rng)


def _put(picture: np.ndarray, parts: Sequence[canvas.Part], rng) -> None:
  size = picture.shape[1], picture.shape[0]
  frame = canvas.Frame(
    size, np.eye(3), (size[0] / 2, size[1] / 2), (-0.3, -0.5)
  )
  canvas.draw(picture, parts, frame, rng)


_BACKGROUNDS: dict[str, Callable[..., np.ndarray]] = {
  'studio': _studio,
  'backdrop': _backdrop,
  'wall': _wall,
  'planks': _planks,
  'tiles': _tiles,
  'carpet': _carpet,
  'bed': _bed,
  'room': _room,
  'street': _street,
}
