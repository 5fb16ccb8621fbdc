"""Random fields, float32, of mean 0 and standard deviation of about 1."""

import cv2
import numpy as np


def white(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
  """Independent pixels; uniform, as that is five times as fast as normal."""
  return (rng.random(shape, np.float32) - 0.5) * np.float32(12**0.5)


def smooth(
  rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]
) -> np.ndarray:
  """Hills, `cells` of them down and across."""
  coarse = rng.standard_normal(cells, np.float32)
  size = shape[1], shape[0]
  return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)


def blurred(
  rng: np.random.Generator, shape: tuple[int, int], kernel: tuple[int, int]
) -> np.ndarray:
  """White noise averaged over `kernel` pixels across and down."""
  field = cv2.blur(white(rng, shape), kernel)
  return field * float(np.sqrt(kernel[0] * kernel[1]))


def cells(
  rng: np.random.Generator, shape: tuple[int, int], pixels: int
) -> np.ndarray:
  """Flat squares of `pixels`, each with its own value."""
  coarse = white(rng, (shape[0] // pixels + 1, shape[1] // pixels + 1))
  field = np.kron(coarse, np.ones((pixels, pixels), np.float32))
  return field[: shape[0], : shape[1]]
