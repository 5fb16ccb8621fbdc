"""sRGB to CIE L*a*b*, in which distances are about those that the eye sees."""

import numpy as np

# Linear sRGB to XYZ, from the primaries of IEC 61966-2-1 and its white, D65.
_TO_XYZ_3xC = np.array(
  [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
  ]
)
_EDGE = 6 / 29  # below it the cube root is a line: CIE 15:2004


def from_srgb(image: np.ndarray) -> np.ndarray:
  """L* from 0 to 100, a* and b*, in the last axis as red, green, blue before.

  Args:
    image: uint8, or float in [0, 1].
  """
  if image.dtype == np.uint8:
    image = image / 255
  linear = np.where(
    image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4
  )
  xyz = linear @ (_TO_XYZ_3xC / _TO_XYZ_3xC.sum(1, keepdims=True)).T
  root = np.where(xyz > _EDGE**3, np.cbrt(xyz), xyz / (3 * _EDGE**2) + 4 / 29)
  x, y, z = np.moveaxis(root, -1, 0)
  return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)
