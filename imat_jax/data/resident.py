"""All photos on the device: a batch is made inside of the jitted step.

The same batches as `pipeline`'s: the same photos in the same order under the
same warps, to one grey level. Photos stay uint8, as they were stored.
"""

from collections.abc import Sequence
from concurrent import futures
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from imat_jax import config, progress, tasks
from imat_jax.data import augment, draws, pipeline, source


class Photos(NamedTuple):
  """A split on the device, N examples."""

  image_NxHxWxC: jax.Array  # uint8
  label_NxT: jax.Array  # int32, -1 where missing


def load(examples: source.Source, threads: int) -> Photos:
  """Decodes a whole split and brings it to the device."""
  side = examples.stored_side
  image_NxHxWxC = np.empty((len(examples), side, side, 3), np.uint8)
  label_NxT = np.empty((len(examples), len(examples.task_set)), np.int32)

  def read(n: int) -> None:
    record = examples[n]
    image_NxHxWxC[n] = pipeline.decode(record)
    label_NxT[n] = record.label_T

  with (
    futures.ThreadPoolExecutor(threads) as pool,
    progress.Progress(len(examples), 'decode', 'photo') as bar,
  ):
    for _ in pool.map(read, range(len(examples))):
      bar.advance()
  return Photos(jnp.asarray(image_NxHxWxC), jnp.asarray(label_NxT))


def order(seeds: Sequence[int], epoch: int, steps: int, batch: int):
  """Which examples each step of an epoch takes: R × steps × B, int32.

  Places from N on are padding.
  """
  orders = [draws.order(int(seed), epoch, steps * batch) for seed in seeds]
  return jnp.asarray(np.stack(orders).reshape(-1, steps, batch))


def batch(
  photos: Photos,
  order_SxB: jax.Array,
  seed: jax.Array,
  step: jax.Array,
  side: int,
  knobs: config.Augmentation,
) -> pipeline.Batch:
  """The augmented batch of a step, to be called inside of a jitted one.

  Args:
    photos: the split.
    order_SxB: which examples each of the S steps of an epoch takes.
    seed: uint32.
    step: int32, counted from the start of the run.
    side: width and height of the batch in pixels.
    knobs: of the warp.
  """
  steps, batch_size = order_SxB.shape
  example_B = order_SxB[step % steps]
  real_B = example_B < len(photos.label_NxT)
  example_B = jnp.where(real_B, example_B, 0)
  first = step.astype(jnp.uint32) * np.uint32(batch_size)
  number_B = first + jnp.arange(batch_size, dtype=jnp.uint32)
  matrix_Bx3x3 = augment.random_warps(seed, 'augment', number_B, knobs)
  image_BxHxWxC = warp(
    photos.image_NxHxWxC, example_B, matrix_Bx3x3, side, knobs.fill
  )
  return pipeline.Batch(
    image_BxHxWxC * real_B[:, None, None, None].astype(jnp.uint8),
    jnp.where(real_B[:, None], photos.label_NxT[example_B], tasks.MISSING),
  )


def warp(
  image_NxHxWxC: jax.Array,
  example_B: jax.Array,
  matrix_Bx3x3: jax.Array,
  side: int,
  fill: str,
) -> jax.Array:
  """`augment.warp` of B of the photos, uint8; equal to one grey level."""
  _, height, width, channels = image_NxHxWxC.shape
  to_pixels = augment.to_pixels(matrix_Bx3x3, width, height, side)
  to_pixels = to_pixels[..., None, None]
  column = jnp.arange(side, dtype=jnp.float32)[None, None, None, :]
  row = jnp.arange(side, dtype=jnp.float32)[None, None, :, None]
  place_Bx2xHxW = (
    to_pixels[:, :, 0] * column + to_pixels[:, :, 1] * row + to_pixels[:, :, 2]
  )
  corner_Bx2xHxW = jnp.floor(place_Bx2xHxW)
  share_Bx2xHxW = place_Bx2xHxW - corner_Bx2xHxW
  corner_Bx2xHxW = corner_Bx2xHxW.astype(jnp.int32)
  # Two indices: one over the pixels of all photos would not fit into int32.
  pixels = image_NxHxWxC.reshape(-1, height * width, channels)
  example_Bx1x1 = example_B[:, None, None]

  def corner(right: int, below: int) -> jax.Array:
    x, inside_x = _fold(corner_Bx2xHxW[:, 0] + right, width, fill)
    y, inside_y = _fold(corner_Bx2xHxW[:, 1] + below, height, fill)
    weight_x = jnp.abs(1 - right - share_Bx2xHxW[:, 0]) * inside_x
    weight_y = jnp.abs(1 - below - share_Bx2xHxW[:, 1]) * inside_y
    found = pixels[example_Bx1x1, y * width + x].astype(jnp.float32)
    return found * (weight_x * weight_y)[..., None]

  total = corner(0, 0) + corner(1, 0) + corner(0, 1) + corner(1, 1)
  return jnp.round(total).astype(jnp.uint8)


def _fold(at: jax.Array, size: int, fill: str) -> tuple[jax.Array, jax.Array]:
  """Places outside of 0 … size - 1 moved into it, and whether they count."""
  inside = (at >= 0) & (at < size)
  if fill == 'reflect':  # dcba|abcd|dcba, and so on
    at = at % (2 * size)
    at = jnp.minimum(at, 2 * size - 1 - at)
  counts = inside if fill == 'constant' else jnp.ones_like(inside)
  return jnp.clip(at, 0, size - 1), counts
