"""Random weights by name and shape, and pictures: tests and goldens share them.

Needs numpy alone.
"""

import zlib

import numpy as np

_SMALL = np.float32(0.03)


def arrays(shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
  """An array for each name of a PyTorch network."""
  return {name: _array(name, shape) for name, shape in shapes.items()}


def _array(name: str, shape: list[int]) -> np.ndarray:
  """No activation grows or vanishes; norms see variances near their epsilon."""
  rng = np.random.default_rng(zlib.crc32(name.encode()))
  drawn = rng.standard_normal(shape, np.float32)
  is_weight = name.endswith('weight')
  if name.endswith('num_batches_tracked'):
    return np.array(1)
  if name.endswith('running_var'):
    return _SMALL**2 * (0.5 + drawn**2)
  if len(shape) == 1 and (is_weight or name.endswith('gamma')):
    return 1 + 0.3 * drawn
  if is_weight:
    drawn /= np.sqrt(np.float32(np.prod(shape[1:])))  # the inputs
  return drawn if is_weight and len(shape) == 2 else _SMALL * drawn


def images(shape: tuple[int, int]) -> np.ndarray:
  """Two pictures of noise, a bright one and a dark one, uint8."""
  rng = np.random.default_rng(0)
  bright_BxHxWxC, dark_BxHxWxC = (
    rng.integers(0, limit, (1, *shape, 3), np.uint8) for limit in (256, 64)
  )
  return np.concatenate([bright_BxHxWxC, dark_BxHxWxC])
