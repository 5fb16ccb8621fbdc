"""The report's augmentation as one affine warp per photo.

Rotation, shift, zoom and mirroring are composed into one matrix, together with
the change from the stored to the training size, so that each photo is sampled
once. A matrix maps places of the output to places of the stored photo, in units
that do not depend on the size: (0, 0) is the centre, ±1 the edges.
"""

import cv2
import numpy as np

from imat_jax import config

IDENTITY = np.eye(3)

_BORDERS = {
  'nearest': cv2.BORDER_REPLICATE,
  'constant': cv2.BORDER_CONSTANT,
  'reflect': cv2.BORDER_REFLECT,
}


def random_warp(
  rng: np.random.Generator, knobs: config.Augmentation
) -> np.ndarray:
  """Draws a 3 × 3 matrix: output coordinates → photo coordinates.

  A point is mirrored, zoomed, shifted and then rotated, as in Keras's
  ImageDataGenerator, which the report used: a zoom factor z shows z times the
  photo's width, and a shift of s moves by s times the width.
  """
  angle = np.deg2rad(rng.uniform(-knobs.rotation, knobs.rotation))
  shift_x, shift_y = rng.uniform(-knobs.shift, knobs.shift, 2)
  zoom_x, zoom_y = rng.uniform(1 - knobs.zoom, 1 + knobs.zoom, 2)
  mirror = -1.0 if rng.uniform() < knobs.flip else 1.0
  cos, sin = np.cos(angle), np.sin(angle)
  rotate = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
  # The edges are 2 apart, so a share s of the width is a way of 2 s.
  shift = np.array([[1, 0, 2 * shift_x], [0, 1, 2 * shift_y], [0, 0, 1]])
  return rotate @ shift @ np.diag([zoom_x * mirror, zoom_y, 1.0])


def warp(
  image_HxWxC: np.ndarray, matrix: np.ndarray, side: int, fill: str
) -> np.ndarray:
  """Samples a photo bilinearly at `side` × `side` places.

  Args:
    image_HxWxC: the stored photo, uint8.
    matrix: what `random_warp` gives, or `IDENTITY` for a plain resize.
    side: width and height of the result.
    fill: `nearest` repeats the edge, `reflect` mirrors it, `constant` is black.

  Returns:
    uint8, `side` × `side` × C.
  """
  height, width = image_HxWxC.shape[:2]
  to_stored = _pixels_from_unit(width, height)
  to_unit = np.linalg.inv(_pixels_from_unit(side, side))
  pixels = to_stored @ matrix @ to_unit
  return cv2.warpAffine(
    image_HxWxC,
    pixels[:2],
    (side, side),
    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    borderMode=_BORDERS[fill],
  )


def _pixels_from_unit(width: int, height: int) -> np.ndarray:
  """Maps ±1 to the outer edges; pixel centres are at whole numbers."""
  return np.array(
    [
      [width / 2, 0, (width - 1) / 2],
      [0, height / 2, (height - 1) / 2],
      [0, 0, 1.0],
    ]
  )
