"""Random fields, float32, of mean 0 and standard deviation of about 1."""

import cv2
import numpy as np

GRAIN = 73.9  # standard deviation of `grain`


def grain(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
  """Independent bytes, uniform: ten times as fast as normal numbers."""
  count = int(np.prod(shape))
  return np.frombuffer(rng.bytes(count), np.uint8).reshape(shape)


def white(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
  """Independent pixels."""
  field = grain(rng, shape).astype(np.float32)
  field -= 127.5
  field *= 1 / GRAIN
  return field


def smooth(
  rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]
) -> np.ndarray:
  """Hills, `cells` of them on 256 pixels down and across."""
  counts = [max(2, n * c // 256) for n, c in zip(shape, cells, strict=True)]
  coarse = rng.standard_normal(counts, np.float32)
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
