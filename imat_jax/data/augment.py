"""The report's augmentation as one affine warp per photo.

Rotation, shift, zoom, flip and the resize from the stored to the training size
are one matrix, so each photo is sampled once. A matrix maps output coordinates
to coordinates of the stored photo; (0, 0) is the centre, ±1 are the edges.
"""

from typing import Any

import cv2
import numpy as np

from imat_jax import config
from imat_jax.data import random

IDENTITY = np.eye(3, dtype=np.float32)

_LARGEST_RATIO = np.float32(np.log(4 / 3))  # of a part's width and height

_BORDERS = {
  'nearest': cv2.BORDER_REPLICATE,
  'constant': cv2.BORDER_CONSTANT,
  'reflect': cv2.BORDER_REFLECT,
}


def random_warps(
  seed: Any, name: str, number_B: Any, augmentation: config.Augmentation
) -> Any:
  """Draws B × 3 × 3 matrices: output coordinates → photo coordinates.

  A point is flipped, zoomed, shifted, then rotated, as in Keras's
  ImageDataGenerator, which the report used: a zoom factor z shows z times the
  photo's width, and a shift of s moves by s times the width.

  Args:
    seed: uint32, the run's seed.
    name: of the random stream.
    number_B: uint32 example numbers, numpy or jax.
    augmentation: the ranges.
  """
  xp = number_B.__array_namespace__()
  uniform_Bx6 = random.uniform(seed, name, number_B, 6)
  turn, across, down, wide, high = xp.moveaxis(2 * uniform_Bx6 - 1, 1, 0)[:5]
  angle = turn * np.float32(np.deg2rad(augmentation.rotation))
  # The edges are 2 apart, so a fraction s of the width is a distance of 2 s.
  shift_x, shift_y = (
    2 * augmentation.shift * across,
    2 * augmentation.shift * down,
  )
  mirror = xp.where(uniform_Bx6[:, 5] < augmentation.flip, *np.float32([-1, 1]))
  zoom_x, zoom_y = (
    (1 + augmentation.zoom * wide) * mirror,
    1 + augmentation.zoom * high,
  )
  cos, sin, zero = xp.cos(angle), xp.sin(angle), 0 * angle
  rows = (
    (cos * zoom_x, -sin * zoom_y, cos * shift_x - sin * shift_y),
    (sin * zoom_x, cos * zoom_y, sin * shift_x + cos * shift_y),
    (zero, zero, zero + 1),
  )
  if augmentation.crop < 1:
    rows = _cropped(rows, seed, name, number_B, augmentation.crop)
  return xp.stack([xp.stack(row, axis=1) for row in rows], axis=1)


def _cropped(
  rows: tuple, seed: Any, name: str, number_B: Any, smallest: float
) -> tuple:
  """The same warps, of a random part of the photo; as torchvision draws it.

  Args:
    rows: of the matrices.
    seed, name, number_B: of the draws.
    smallest: share of the photo's area.
  """
  xp = number_B.__array_namespace__()
  uniform_Bx4 = random.uniform(seed, f'{name} crop', number_B, 4)
  area = smallest + (1 - smallest) * uniform_Bx4[:, 0]
  ratio = xp.exp(_LARGEST_RATIO * (2 * uniform_Bx4[:, 1] - 1))
  one = xp.ones_like(area)
  lengths = (
    xp.minimum(xp.sqrt(area * ratio), one),
    xp.minimum(xp.sqrt(area / ratio), one),
  )
  cropped = []
  for axis, (length, row) in enumerate(zip(lengths, rows, strict=False)):
    center = (1 - length) * (2 * uniform_Bx4[:, 2 + axis] - 1)
    first, second, shift = row
    cropped.append((length * first, length * second, length * shift + center))
  return *cropped, rows[2]


def warp(
  image_HxWxC: np.ndarray,
  matrix: np.ndarray,
  shape: tuple[int, int],
  fill: str,
) -> np.ndarray:
  """Samples a photo bilinearly; returns uint8, H × W × C.

  Args:
    image_HxWxC: the stored photo, uint8.
    matrix: one of `random_warps`, or `IDENTITY` for a plain resize.
    shape: H and W of the result.
    fill: `nearest` repeats the edge, `reflect` mirrors it, `constant` is black.
  """
  height, width = image_HxWxC.shape[:2]
  pixels = to_pixels(matrix[None], (height, width), shape)[0]
  return cv2.warpAffine(
    image_HxWxC,
    pixels,
    shape[::-1],
    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    borderMode=_BORDERS[fill],
  )


def to_pixels(
  matrix_Bx3x3: Any, photo: tuple[int, int], shape: tuple[int, int]
) -> Any:
  """B × 2 × 3 matrices: pixels of an image → pixels of a photo.

  Edges are at ±1 and pixel centres at integers, so pixel p of n lies at
  2 p / n + 1 / n - 1. Written out: accelerators round matrix products.

  Args:
    matrix_Bx3x3: maps places of the image, (x, y, 1), to those of the photo.
    photo: its height and width.
    shape: height and width of the image.
  """
  height, width = shape
  half = np.array(photo[::-1], np.float32)[None, :, None] / 2
  double = np.array([2 / width, 2 / height], np.float32)[None, None, :]
  linear, shift = matrix_Bx3x3[:, :2, :2], matrix_Bx3x3[:, :2, 2:]
  # Of the first pixel; in this order a square image has the bits it always had.
  aspect = (1 / height - 1) / (1 / width - 1)
  corner = linear[:, :, :1] + aspect * linear[:, :, 1:]
  corner = corner * (1 / width - 1) + shift
  xp = matrix_Bx3x3.__array_namespace__()
  parts = linear * double * half, (corner + 1) * half - np.float32(0.5)
  return xp.concat(parts, axis=2)
