"""Photos on the device: the loader's batches, to one grey level."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imat_jax import config
from imat_jax.data import augment, device_dataset, input_pipeline, source

SHAPE, BATCH = (24, 20), 16


@pytest.fixture(scope='module')
def examples(built):
  task_set = source.read_tasks(built).select(['apparel', 'age'])
  return source.Source(built, 'train', task_set)


@pytest.fixture(scope='module')
def photos(examples):
  return device_dataset.load(examples, threads=2)


def _batches(photos, seed, augmentation, start, count, end_N):
  steps = input_pipeline.num_steps(len(photos.label_NxT), BATCH)

  def make(order_SxB, step):
    return device_dataset.batch(
      photos, order_SxB, jnp.uint32(seed), step, SHAPE, augmentation
    )

  make = jax.jit(make)
  for step in range(start, start + count):
    (order_SxB,) = device_dataset.order(
      [seed], step // steps, steps, BATCH, end_N
    )
    yield make(order_SxB, jnp.int32(step))


@pytest.mark.parametrize('fill', ['nearest', 'constant', 'reflect'])
@pytest.mark.parametrize(('seed', 'start'), [(0, 0), (2**32 - 1, 6)])
def test_the_loader_and_the_device_give_the_same(
  examples, photos, fill, seed, start
):
  augmentation = dataclasses.replace(config.Augmentation(), fill=fill)
  # Some photos twice, others not at all.
  end_N = np.cumsum(np.linspace(0, 2, len(examples)))
  dataset = input_pipeline.train_dataset(
    examples, SHAPE, BATCH, seed, augmentation, end_N=end_N
  )
  for step, result in enumerate(
    _batches(photos, seed, augmentation, start, 6, end_N), start
  ):
    expected = dataset[step]
    np.testing.assert_array_equal(result.label_BxT, expected.label_BxT)
    assert result.image_BxHxWxC.dtype == np.uint8
    apart = np.abs(
      np.asarray(result.image_BxHxWxC, int) - expected.image_BxHxWxC
    )
    assert apart.max() <= 1
    assert apart.mean() < 0.01


@pytest.mark.parametrize('fill', ['nearest', 'constant', 'reflect'])
def test_warps_of_noise_to_the_last_pixel(fill):
  """Where the photo ends, a place must not jump to the other side."""
  rng = np.random.default_rng(0)
  image_NxHxWxC = rng.integers(0, 256, (8, 160, 160, 3), np.uint8)
  number_B = np.arange(128, dtype=np.uint32)
  matrix_Bx3x3 = augment.random_warps(
    np.uint32(3), 'augment', number_B, config.Augmentation()
  )
  image = jax.jit(device_dataset.warp, static_argnums=(3, 4))(
    image_NxHxWxC, number_B % 8, matrix_Bx3x3, (128, 96), fill
  )
  for image_HxWxC, n, matrix in zip(
    np.asarray(image, int), number_B % 8, matrix_Bx3x3, strict=True
  ):
    expected = augment.warp(image_NxHxWxC[n], matrix, (128, 96), fill)
    np.testing.assert_allclose(image_HxWxC, expected, atol=1)


@pytest.mark.parametrize('fill', ['nearest', 'constant', 'reflect'])
def test_warp_far_outside_of_the_photo(fill):
  rng = np.random.default_rng(0)
  image_NxHxWxC = rng.integers(0, 256, (2, 12, 12, 3), np.uint8)
  matrix = np.array([[-1.9, 0.3, 3.0], [-0.3, 1.6, -2.5], [0, 0, 1]])
  matrix = matrix.astype(np.float32)
  image = device_dataset.warp(
    jnp.asarray(image_NxHxWxC), jnp.array([1]), matrix[None], (11, 8), fill
  )
  expected = augment.warp(image_NxHxWxC[1], matrix, (11, 8), fill)
  np.testing.assert_allclose(np.asarray(image[0], int), expected, atol=1)
