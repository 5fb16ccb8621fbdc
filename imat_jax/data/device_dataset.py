"""All photos on the device; batches are made inside the jitted step.

The same batches as `input_pipeline`'s, to one grey level: the same photos in
the same order under the same warps. Photos stay uint8.
"""

from collections.abc import Sequence
from concurrent import futures
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from imat_jax import config, tasks
from imat_jax.data import augment, input_pipeline, random, source
from imat_jax.data.types import Batch
from imat_jax.runtime import progress


class Photos(NamedTuple):
  """A split on the device, N examples."""

  image_NxHxWxC: jax.Array  # uint8
  label_NxT: jax.Array  # int32, -1 where missing


class Features(NamedTuple):
  """A frozen trunk's features of a split on the device, N examples."""

  feature_NxVxD: jax.Array  # float32, of V views of each
  label_NxT: jax.Array  # int32, -1 where missing


def load(examples: source.Source, threads: int) -> Photos:
  """Decodes a split and copies it to the device."""
  image_NxHxWxC, label_NxT = decode(examples, threads, examples.stored_side)
  return Photos(jnp.asarray(image_NxHxWxC), jnp.asarray(label_NxT))


def decode(
  examples: source.Source, threads: int, side: int
) -> tuple[np.ndarray, np.ndarray]:
  """All photos, uint8, N × side × side × 3, and their labels, N × T."""
  image_NxHxWxC = np.empty((len(examples), side, side, 3), np.uint8)
  label_NxT = np.empty((len(examples), len(examples.task_set)), np.int32)

  def read(n: int) -> None:
    record = examples[n]
    image_HxWxC = input_pipeline.decode(record)
    if side != examples.stored_side:
      size = side, side
      image_HxWxC = cv2.resize(image_HxWxC, size, interpolation=cv2.INTER_AREA)
    image_NxHxWxC[n] = image_HxWxC
    label_NxT[n] = record.label_T

  with (
    futures.ThreadPoolExecutor(threads) as pool,
    progress.Progress(len(examples), 'decode', 'photo') as bar,
  ):
    for _ in pool.map(read, range(len(examples))):
      bar.advance()
  return image_NxHxWxC, label_NxT


def order(
  seeds: Sequence[int],
  epoch: int,
  steps: int,
  batch: int,
  end_N: np.ndarray | None = None,
) -> jax.Array:
  """The examples of an epoch: R × steps × B, int32; from N on padding.

  With `end_N` not each once: see `random.resampled`.
  """
  orders = [
    random.permutation(int(seed), epoch, steps * batch) for seed in seeds
  ]
  if end_N is not None:
    orders = [
      random.resampled(int(seed), epoch, order, end_N)
      for seed, order in zip(seeds, orders, strict=True)
    ]
  return jnp.asarray(np.stack(orders).reshape(-1, steps, batch))


def batch(
  photos: Photos,
  order_SxB: jax.Array,
  seed: jax.Array,
  step: jax.Array,
  shape: tuple[int, int],
  augmentation: config.Augmentation,
) -> Batch:
  """The augmented batch of a step; call it inside the jitted step.

  Args:
    photos: the split.
    order_SxB: the example numbers of each of the S steps of an epoch.
    seed: uint32.
    step: int32, counted from the start of the run.
    shape: height and width of the batch in pixels.
    augmentation: ranges of the warp.
  """
  steps, batch_size = order_SxB.shape
  example_B = order_SxB[step % steps]
  real_B = example_B < len(photos.label_NxT)
  example_B = jnp.where(real_B, example_B, 0)
  number_B = random.example_numbers(step, batch_size)
  matrix_Bx3x3 = augment.random_warps(seed, 'augment', number_B, augmentation)
  image_BxHxWxC = warp(
    photos.image_NxHxWxC, example_B, matrix_Bx3x3, shape, augmentation.fill
  )
  return Batch(
    image_BxHxWxC * real_B[:, None, None, None].astype(jnp.uint8),
    jnp.where(real_B[:, None], photos.label_NxT[example_B], tasks.MISSING),
  )


def feature_batch(
  features: Features, order_SxB: jax.Array, seed: jax.Array, step: jax.Array
) -> Batch:
  """The features and labels of a step, B × D in the place of images.

  Of each photo a view is drawn by (seed, step).
  """
  steps, batch_size = order_SxB.shape
  example_B = order_SxB[step % steps]
  real_B = example_B < len(features.label_NxT)
  example_B = jnp.where(real_B, example_B, 0)
  number_B = random.example_numbers(step, batch_size)
  views = features.feature_NxVxD.shape[1]
  drawn_Bx2 = random.uniform(seed, 'view', number_B, 2)
  view_B = (drawn_Bx2[:, 0] * views).astype(jnp.int32)
  return Batch(
    features.feature_NxVxD[example_B, view_B] * real_B[:, None],
    jnp.where(real_B[:, None], features.label_NxT[example_B], tasks.MISSING),
  )


def warp(
  image_NxHxWxC: jax.Array,
  example_B: jax.Array,
  matrix_Bx3x3: jax.Array,
  shape: tuple[int, int],
  fill: str,
) -> jax.Array:
  """`augment.warp` of B of the photos, uint8; equal within one grey level."""
  _, height, width, channels = image_NxHxWxC.shape
  to_pixels_Bx2x3 = augment.to_pixels(matrix_Bx3x3, (height, width), shape)
  across, down, start = jnp.moveaxis(to_pixels_Bx2x3, 2, 0)[..., None, None]
  column = jnp.arange(shape[1], dtype=jnp.float32)[None, None, None, :]
  row = jnp.arange(shape[0], dtype=jnp.float32)[None, None, :, None]
  place_Bx2xHxW = across * column + down * row + start
  x, share_x, cover_x = _fold(place_Bx2xHxW[:, 0], width, fill)
  y, share_y, cover_y = _fold(place_Bx2xHxW[:, 1], height, fill)
  # Two indices: one index over the pixels of all photos would overflow int32.
  pixels = image_NxHxWxC.reshape(-1, height * width, channels)
  example_Bx1x1 = example_B[:, None, None]

  def between(first: jax.Array) -> jax.Array:
    left = pixels[example_Bx1x1, first].astype(jnp.float32)
    right = pixels[example_Bx1x1, first + 1].astype(jnp.float32)
    return left * (1 - share_x) + right * share_x

  first = (y * width + x)[..., 0]
  above, below = between(first), between(first + width)
  total = above * (1 - share_y) + below * share_y
  return jnp.round(total * (cover_x * cover_y)).astype(jnp.uint8)


def _fold(
  place_BxHxW: jax.Array, size: int, fill: str
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Pixel before each coordinate, distance, coverage; each B × H × W × 1."""
  place = place_BxHxW[..., None]
  cover = jnp.ones_like(place)
  if fill == 'constant':
    cover = jnp.clip(jnp.minimum(place + 1, size - place), 0, 1)
  elif fill == 'reflect':  # dcba|abcd|dcba, and so on
    place = place - 2 * size * jnp.floor((place + 0.5) / (2 * size))
    place = jnp.minimum(place, 2 * size - 1 - place)
  place = jnp.clip(place, 0, size - 1)
  # At most the last pixel but one: its right neighbour is read, too.
  pixel = jnp.minimum(jnp.floor(place), size - 2)
  return pixel.astype(jnp.int32), place - pixel, cover
