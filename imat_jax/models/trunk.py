"""The trunk: what all tasks share, from pixels to features."""

import jax
from flax import linen as nn

from imat_jax import config
from imat_jax.models import conv_pool

ACTIVATIONS = {'relu': nn.relu, 'tanh': nn.tanh}
INITIALIZER = nn.initializers.glorot_uniform()  # Keras's, so the report's

# Per geometry: the stride of the pooling behind each convolution (1: there is
# none), and the picture's side.
_STRIDES = {'report': (2, 2, 2), 'original': (4, 4, 1)}
_SIDES = {'report': 128, 'original': 256}


def image_side(geometry: str) -> int:
  """Width and height in pixels of the pictures that a geometry takes."""
  return _SIDES[geometry]


class ConvPool(nn.Module):
  """A 4 × 4 convolution with its pooling and ReLU, see `conv_pool`."""

  filters: int
  stride: int

  @nn.compact
  def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
    shape = 4, 4, x_BxHxWxC.shape[-1], self.filters
    kernel = self.param('kernel', INITIALIZER, shape)
    bias_C = self.param('bias', nn.initializers.zeros, (self.filters,))
    return conv_pool.conv_pool(x_BxHxWxC, kernel, bias_C, self.stride)


class Trunk(nn.Module):
  """Three convolutions with poolings, dropout, shared dense layers."""

  model: config.Model

  @nn.compact
  def __call__(
    self, image_BxHxWxC: jax.Array, *, deterministic: bool
  ) -> jax.Array:
    """Maps pictures to features, B × D.

    Args:
      image_BxHxWxC: of the geometry's side, uint8, or float in [0, 1].
      deterministic: False drops features and needs the `dropout` key.
    """
    x_BxHxWxC = image_BxHxWxC
    strides = _STRIDES[self.model.geometry]
    layers = zip(self.model.filters, strides, strict=True)
    for number, (filters, stride) in enumerate(layers):
      x_BxHxWxC = ConvPool(filters, stride, name=f'conv_{number}')(x_BxHxWxC)
    x_BxD = x_BxHxWxC.reshape(x_BxHxWxC.shape[0], -1)
    x_BxD = nn.Dropout(self.model.dropout)(x_BxD, deterministic=deterministic)
    activation = ACTIVATIONS[self.model.shared_activation]
    for number, width in enumerate(self.model.shared_widths):
      x_BxD = activation(
        nn.Dense(width, kernel_init=INITIALIZER, name=f'dense_{number}')(x_BxD)
      )
    return x_BxD
