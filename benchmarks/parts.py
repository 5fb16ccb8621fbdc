"""Times the parts of a training step on a CPU, one after the other.

  python -m benchmarks.parts

Public 3M in the report's geometry, a batch of 128 pictures of noise, medians of
21. The multiplications and additions per second stand beside the parts that
have many. The gradients of a convolution visit only the places of maxima, at
most a quarter of all, which is what is counted. The last row, a product of
square matrices, is what this CPU can do.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from benchmarks import stepping
from imat_jax import config
from imat_jax.data import device_dataset
from imat_jax.data.types import Batch
from imat_jax.models import conv_pool, kernels

BATCH, PHOTOS, STORED, REPETITIONS = 128, 1024, 160, 21
LAYERS = (128, 3, 8), (64, 8, 16), (32, 16, 32)  # side, channels, filters
FEATURES, SHARED, HIDDEN, HEADS = 16 * 16 * 32, 384, 128, 45
PARAMETERS = 3_354_428


def main() -> None:
  if kernels.kernels() is None:
    raise SystemExit(kernels.note())
  time_pictures()
  for number, layer in enumerate(LAYERS):
    time_convolution(f'convolution {number + 1}', *layer)
  features = noise(BATCH, FEATURES)
  dropped = nn.Dropout(0.5, deterministic=False).apply
  show('dropout', lambda x: dropped({}, x, rngs={'dropout': key()}), features)
  time_dense('first dense layer', features, noise(FEATURES, SHARED))
  shared = noise(BATCH, SHARED)
  time_dense('45 hidden layers', shared, noise(SHARED, HEADS * HIDDEN))
  time_adam()
  square = noise(2048, 2048)
  show('square matrices', jnp.matmul, square, square, work=2048**3)


def show(name: str, part: Callable, *arguments: Any, work: int = 0) -> None:
  """Times a part; `work` is the number of its multiplications."""
  median = stepping.median_seconds(
    jax.jit(part), *arguments, repetitions=REPETITIONS
  )
  rate = f'{2 * work / median / 1e9:6.0f} GFLOP/s' if work else ''
  print(f'{name:40} {median * 1e3:5.1f} ms {rate}'.rstrip())


def time_pictures() -> None:
  rng = np.random.default_rng(0)
  stored = rng.integers(0, 256, (PHOTOS, STORED, STORED, 3), np.uint8)
  photos = device_dataset.Photos(
    jnp.asarray(stored), jnp.zeros((PHOTOS, 2), int)
  )
  (order_SxB,) = device_dataset.order([0], 0, PHOTOS // BATCH, BATCH)
  augmentation = config.Augmentation()

  def warp(photos: device_dataset.Photos) -> Batch:
    return device_dataset.batch(
      photos, order_SxB, np.uint32(0), jnp.int32(0), 128, augmentation
    )

  show('warp of photos in memory', warp, photos)


def time_convolution(name: str, side: int, channels: int, filters: int) -> None:
  def layer(*arguments: jax.Array) -> jax.Array:
    return conv_pool.conv_pool(*arguments, 2)

  is_picture = channels == 3  # nobody asks for its gradient
  x_BxHxWxC = noise(BATCH, side, side, channels)
  if is_picture:
    x_BxHxWxC = (127 + 50 * x_BxHxWxC).astype(jnp.uint8)
  arguments = x_BxHxWxC, noise(4, 4, channels, filters), noise(filters)
  work = x_BxHxWxC.size * 16 * filters
  show(f'{name} with pooling', layer, *arguments, work=work)
  y, pull = jax.vjp(layer, *arguments)
  # A quarter for the filters, as much for the input where it has a gradient.
  work = work // 4 * (1 if is_picture else 2)
  show(f'{name}, gradients', lambda pull, dy: pull(dy)[1:], pull, y, work=work)


def time_dense(name: str, x: jax.Array, kernel: jax.Array) -> None:
  y, pull = jax.vjp(jnp.matmul, x, kernel)
  work = kernel.size * BATCH
  show(name, jnp.matmul, x, kernel, work=work)
  show(f'{name}, gradients', lambda f, dy: f(dy), pull, y, work=2 * work)


def time_adam() -> None:
  optimizer = optax.adam(1e-3)
  params = noise(PARAMETERS)
  state = optimizer.init(params)

  def update(params: jax.Array, gradient: jax.Array, state: Any):
    change, after = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, change), after, jnp.abs(gradient).max()

  show('Adam, and a look at the gradient', update, params, params, state)


def key() -> jax.Array:
  return jax.random.key(0)


def noise(*shape: int) -> jax.Array:
  rng = np.random.default_rng(0)
  return jnp.asarray(rng.standard_normal(shape, np.float32))


if __name__ == '__main__':
  main()
