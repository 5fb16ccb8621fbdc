"""A convolutional β-VAE: photos to a few numbers, and back.

Kingma and Welling, "Auto-encoding variational Bayes" (2014); the weight β of
Higgins et al., "beta-VAE" (2017). A photo is Gaussian around what is decoded,
with one deviation, the likeliest for its batch (Rybkin et al., "Simple and
effective VAE training with calibrated decoders", 2021): with a fixed one β
would mean something else for every size of photo.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from imat_jax.models import trunks
from imat_jax.study.label_space_config import Vae


class Terms(NamedTuple):
  """Of each photo, in nats; their difference is the evidence lower bound."""

  log_likelihood_B: jax.Array
  kl_B: jax.Array


class Autoencoder(nn.Module):
  """Three halvings by strided convolutions, and the way back."""

  config: Vae

  def setup(self):
    width, side = self.config.vae_width, self.config.vae_side // 8
    self.convs = [
      nn.Conv(filters, (4, 4), strides=2)
      for filters in (width, 2 * width, 4 * width)
    ]
    self.to_latent = nn.Dense(2 * self.config.latent_dims)
    self.from_latent = nn.Dense(side * side * 4 * width)
    # Four times the filters, which become pixels: `_depth_to_space`.
    self.deconvs = [
      nn.Conv(4 * filters, (3, 3)) for filters in (2 * width, width, 3)
    ]

  def encode(self, image_BxHxWxC: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Means and logarithms of the variances of the latents, B × Z each."""
    x = 2 * trunks.as_float(image_BxHxWxC) - 1
    for conv in self.convs:
      x = nn.silu(conv(x))
    mean_BxZ, log_variance_BxZ = jnp.split(
      self.to_latent(x.reshape(len(x), -1)), 2, axis=1
    )
    return mean_BxZ, log_variance_BxZ

  def decode(self, latent_BxZ: jax.Array) -> jax.Array:
    """The means of the photos, in [0, 1], B × H × W × C."""
    side = self.config.vae_side // 8
    x = nn.silu(self.from_latent(latent_BxZ))
    x = x.reshape(len(x), side, side, -1)
    *first, last = self.deconvs
    for conv in first:
      x = nn.silu(_depth_to_space(conv(x)))
    return nn.sigmoid(_depth_to_space(last(x)))

  def __call__(self, image_BxHxWxC: jax.Array, key: jax.Array) -> Terms:
    """The terms with one draw of the latents per photo."""
    mean_BxZ, log_variance_BxZ = self.encode(image_BxHxWxC)
    noise_BxZ = jax.random.normal(key, mean_BxZ.shape)
    latent_BxZ = mean_BxZ + jnp.exp(log_variance_BxZ / 2) * noise_BxZ
    return Terms(
      log_likelihood(trunks.as_float(image_BxHxWxC), self.decode(latent_BxZ)),
      kl_divergence(mean_BxZ, log_variance_BxZ).sum(1),
    )


def kl_divergence(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
  """Of each latent's Gaussian from the standard one, in nats."""
  return (jnp.exp(log_variance) + mean**2 - 1 - log_variance) / 2


def log_likelihood(
  image_BxHxWxC: jax.Array, mean_BxHxWxC: jax.Array
) -> jax.Array:
  """Of photos in [0, 1] under Gaussians of one deviation, in nats, B."""
  square_BxHxWxC = (image_BxHxWxC - mean_BxHxWxC) ** 2
  variance = square_BxHxWxC.mean()
  of_pixel = (
    square_BxHxWxC / variance + jnp.log(variance) + math.log(2 * math.pi)
  )
  return -of_pixel.sum((1, 2, 3)) / 2


def _depth_to_space(x_BxHxWxC: jax.Array) -> jax.Array:
  """Each pixel's channels as 2 × 2 pixels: B × 2H × 2W × C/4."""
  batch, height, width, channels = x_BxHxWxC.shape
  x = x_BxHxWxC.reshape(batch, height, width, 2, 2, channels // 4)
  x = x.transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(batch, 2 * height, 2 * width, channels // 4)
