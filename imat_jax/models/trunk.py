"""The trunk: what all tasks share, from pixels to features."""

import jax
from flax import linen as nn

from imat_jax import config
from imat_jax.models import pooling

ACTIVATIONS = {'relu': nn.relu, 'tanh': nn.tanh}
INITIALIZER = nn.initializers.glorot_uniform()  # Keras's, so the report's

# Per geometry: the pooling behind each convolution, and the picture's side.
POOLINGS = {
  'report': (pooling.max_pool_4_stride_2,) * 3,
  'original': (pooling.max_pool_4_stride_4,) * 2 + (lambda x: x,),
}
_SIDES = {'report': 128, 'original': 256}


def image_side(geometry: str) -> int:
  """Width and height in pixels of the pictures that a geometry takes."""
  return _SIDES[geometry]


class Trunk(nn.Module):
  """Three convolutions with poolings, dropout, shared dense layers."""

  model: config.Model

  @nn.compact
  def __call__(
    self, image_BxHxWxC: jax.Array, *, deterministic: bool
  ) -> jax.Array:
    """Maps pictures in [0, 1] to features, B × D.

    Args:
      image_BxHxWxC: float pictures of the geometry's side.
      deterministic: False drops features and needs the `dropout` key.
    """
    x_BxHxWxC = image_BxHxWxC
    poolings = POOLINGS[self.model.geometry]
    layers = zip(self.model.filters, poolings, strict=True)
    for number, (filters, pool) in enumerate(layers):
      x_BxHxWxC = nn.Conv(
        filters, (4, 4), kernel_init=INITIALIZER, name=f'conv_{number}'
      )(x_BxHxWxC)
      # Pooling first: ReLU commutes with it, and has less to do behind it.
      x_BxHxWxC = nn.relu(pool(x_BxHxWxC))
    x_BxD = x_BxHxWxC.reshape(x_BxHxWxC.shape[0], -1)
    x_BxD = nn.Dropout(self.model.dropout)(x_BxD, deterministic=deterministic)
    activation = ACTIVATIONS[self.model.shared_activation]
    for number, width in enumerate(self.model.shared_widths):
      x_BxD = activation(
        nn.Dense(width, kernel_init=INITIALIZER, name=f'dense_{number}')(x_BxD)
      )
    return x_BxD
