"""Prints: how much of the second color stands where, 0 … 1."""

from collections.abc import Callable

import cv2
import numpy as np

from imat_jax.data.drawing import noise, palette

Print = Callable[[np.random.Generator, int], np.ndarray]


def cover(name: str, rng: np.random.Generator, side: int) -> np.ndarray:
  """The print `name` on a square of `side` pixels, float32 in 0 … 1."""
  return _PRINTS[name](rng, side).astype(np.float32)


def _stripes(rng, side):
  period, share = rng.uniform(12, 34), rng.uniform(0.3, 0.6)
  down = np.arange(side) / period % 1 < share
  field = np.repeat(down[:, None], side, axis=1)
  return field.T if rng.random() < 0.25 else field


def _pinstripes(rng, side):
  across = np.arange(side) % int(rng.integers(9, 14)) < 2
  return 0.7 * np.repeat(across[None], side, axis=0)


def _plaid(rng, side):
  period = rng.uniform(22, 40)
  band = np.abs(np.arange(side) / period % 1 - 0.5)
  band = 0.5 * (band < 0.17) + 0.5 * (np.abs(band - 0.38) < 0.04)
  return 0.5 * band[:, None] + 0.5 * band[None]


def _dots(rng, side):
  period = rng.uniform(15, 28)
  y, x = np.mgrid[:side, :side] / period
  x = x + 0.5 * (np.floor(y) % 2)
  return np.hypot(x % 1 - 0.5, y % 1 - 0.5) < rng.uniform(0.2, 0.34)


def _flowers(rng, side):
  field = np.zeros((side, side), np.uint8)
  radius = rng.uniform(4, 8)
  for x, y in rng.uniform(0, side, (int(side**2 / radius**2 / 22), 2)):
    turn = rng.uniform(0, 2)
    for angle in turn + np.arange(5) * 2 * np.pi / 5:
      at = x + radius * np.cos(angle), y + radius * np.sin(angle)
      _disc(field, at, radius * 0.62, 255)
    _disc(field, (x, y), radius * 0.45, 90)
  return field / 255


def _leopard(rng, side):
  field = np.zeros((side, side), np.uint8)
  for x, y in rng.uniform(0, side, (side**2 // 190, 2)):
    start, radius = rng.uniform(0, 360), rng.uniform(4, 6.5)
    cv2.ellipse(
      field, (int(x), int(y)), (int(radius), int(radius * 0.8)), 0,
      start, start + 250, 255, 3, cv2.LINE_AA,
    )  # fmt: skip
  return field / 255


def _camouflage(rng, side):
  first, second = (noise.smooth(rng, (side, side), (11, 11)) for _ in '12')
  return np.where(first > 0.4, 1.0, np.where(second > 0.5, 0.45, 0.0))


def _motif(rng, side):
  """A large print on the chest: a badge, a star or lines of letters."""
  field = np.zeros((side, side), np.uint8)
  x, y = side * rng.uniform(0.42, 0.58), side * rng.uniform(0.38, 0.5)
  radius = side * rng.uniform(0.08, 0.14)
  shape = rng.integers(3)
  if shape == 0:
    _disc(field, (x, y), radius, 255)
    for dx in (-0.4, 0.4):
      _disc(field, (x + dx * radius, y - 0.2 * radius), radius * 0.18, 0)
  elif shape == 1:
    angle = np.arange(10) * np.pi / 5 - np.pi / 2
    length = radius * np.where(np.arange(10) % 2, 0.5, 1.2)
    star = np.stack([x + length * np.cos(angle), y + length * np.sin(angle)], 1)
    cv2.fillPoly(field, [star.astype(np.int32)], 255, cv2.LINE_AA)
  else:
    for row in range(2):
      at = int(x - 1.4 * radius), int(y + row * 0.9 * radius)
      cv2.putText(field, ('TEAM', 'STAR')[row], at, 0, radius / 22, 255, 3)
  return field / 255


def _disc(field, centre, radius, value):
  at = int(centre[0] * 16), int(centre[1] * 16)
  cv2.circle(field, at, int(radius * 16), value, -1, cv2.LINE_AA, 4)


_PRINTS: dict[str, Print] = {
  'striped': _stripes,
  'pinstripe': _pinstripes,
  'plaid': _plaid,
  'polka dot': _dots,
  'floral': _flowers,
  'leopard': _leopard,
  'camouflage': _camouflage,
  'print': _motif,
}


def rainbow(rng: np.random.Generator, side: int) -> np.ndarray:
  """Cloth of many colors [S, S, 3]: bands or patches."""
  colors = np.asarray([palette.bright(rng) for _ in range(6)], np.float32)
  width = rng.uniform(10, 24)
  y, x = np.mgrid[:side, :side] // width
  patches = rng.random() < 0.5
  return colors[((y + (3 * x if patches else 0)) % 6).astype(int)]
