"""Augmentation of colors and of parts, inside the jitted step.

What `augment` and `device_dataset` have warped goes through here, so that
streamed photos and cached ones are treated by the same code. The draws are a
function of (seed, example number), as those of the warps.
"""

import jax
import jax.numpy as jnp
import numpy as np

from imat_jax import config
from imat_jax.data import random
from imat_jax.data.types import Batch

_LUMA = np.float32([0.299, 0.587, 0.114])  # ITU-R BT.601
_ERASED_AREA = 0.02, 0.33  # and the ratio below: Zhong et al., 2020
_ERASED_RATIO = np.log([0.3, 1 / 0.3])


def augment(
  batch: Batch,
  seed: jax.Array,
  step: jax.Array,
  augmentation: config.Augmentation,
  protected_T: jax.Array,
) -> Batch:
  """The batch as the network sees it: float32 in [0, 1], or bytes as before.

  Args:
    batch: warped photos, uint8.
    seed: uint32.
    step: int32, counted from the start of the run.
    augmentation: what is drawn, how far.
    protected_T: whether photos with a label of a task keep their colors.
  """
  if not (augmentation.color_jitter or augmentation.erasing):
    return batch
  number_B = random.example_numbers(step, len(batch.label_BxT))
  image_BxHxWxC = batch.image_BxHxWxC.astype(jnp.float32) / 255
  if augmentation.color_jitter:
    drawn_Bx4 = random.uniform(seed, 'color_jitter', number_B, 4)
    factor_Bx3 = 1 + augmentation.color_jitter * (2 * drawn_Bx4[:, :3] - 1)
    keeps_B = ((batch.label_BxT >= 0) & protected_T[None]).any(1)
    factor_Bx3 = jnp.where(keeps_B[:, None], 1, factor_Bx3)
    image_BxHxWxC = jitter(image_BxHxWxC, factor_Bx3)
  if augmentation.erasing:
    drawn_Bx6 = random.uniform(seed, 'erasing', number_B, 6)
    image_BxHxWxC = erase(image_BxHxWxC, drawn_Bx6, augmentation.erasing)
  return batch._replace(image_BxHxWxC=image_BxHxWxC)


def jitter(image_BxHxWxC: jax.Array, factor_Bx3: jax.Array) -> jax.Array:
  """Scales brightness, then contrast, then saturation of each photo.

  Contrast is the distance to the photo's mean grey, saturation that to each
  pixel's grey.
  """
  bright, contrast, saturation = jnp.moveaxis(factor_Bx3, 1, 0)[
    ..., None, None, None
  ]
  image = image_BxHxWxC * bright
  mean = _grey(image).mean((1, 2, 3), keepdims=True)
  image = mean + contrast * (image - mean)
  grey = _grey(image)
  return jnp.clip(grey + saturation * (image - grey), 0, 1)


def erase(
  image_BxHxWxC: jax.Array, drawn_Bx6: jax.Array, probability: float
) -> jax.Array:
  """Makes a random rectangle of some photos grey.

  Args:
    image_BxHxWxC: in [0, 1].
    drawn_Bx6: uniform in [0, 1): whether, area, ratio, row, column, nothing.
    probability: that a photo has one.
  """
  _, height, width, _ = image_BxHxWxC.shape
  whether, area, ratio, row, column = jnp.moveaxis(drawn_Bx6, 1, 0)[:5]
  smallest, largest = _ERASED_AREA
  area = smallest + (largest - smallest) * area
  ratio = jnp.exp(
    _ERASED_RATIO[0] + (_ERASED_RATIO[1] - _ERASED_RATIO[0]) * ratio
  )
  # Shares of height and width.
  high, wide = (
    jnp.minimum(jnp.sqrt(area * ratio), 1),
    jnp.minimum(jnp.sqrt(area / ratio), 1),
  )
  inside_BxH = _between(row * (1 - high), high, height)
  inside_BxW = _between(column * (1 - wide), wide, width)
  erased = (
    inside_BxH[:, :, None]
    & inside_BxW[:, None, :]
    & (whether < probability)[:, None, None]
  )
  return jnp.where(erased[..., None], 0.5, image_BxHxWxC)


def _between(start_B: jax.Array, length_B: jax.Array, size: int) -> jax.Array:
  """Which pixel centres lie in a part of an axis, B × size."""
  place = ((jnp.arange(size) + 0.5) / size)[None]
  after_B = start_B + length_B
  return (place >= start_B[:, None]) & (place < after_B[:, None])


def _grey(image_BxHxWxC: jax.Array) -> jax.Array:
  return jnp.einsum('bhwc,c->bhw', image_BxHxWxC, _LUMA)[..., None]
