"""What networks have in common."""

import jax
import jax.numpy as jnp
from flax import linen as nn

ACTIVATIONS = {'relu': nn.relu, 'tanh': nn.tanh}
INITIALIZER = nn.initializers.glorot_uniform()  # Keras's, so the paper's


class Conv(nn.Module):
  """A convolution of all channels, with a bias.

  Attributes:
    filters: channels of the result.
    size: height and width of the kernel.
    stride: along both.
    padding: SAME; or pixels on each side, as in PyTorch.
    initializer: of the kernel.
  """

  filters: int
  size: int
  stride: int = 1
  padding: str | int = 'SAME'
  initializer: nn.initializers.Initializer = INITIALIZER

  @nn.compact
  def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
    shape = self.size, self.size, x_BxHxWxC.shape[-1], self.filters
    kernel = self.param('kernel', self.initializer, shape)
    bias_C = self.param('bias', nn.initializers.zeros, (self.filters,))
    if self.size == 1:
      # A matrix product: on a CPU XLA's convolution takes longer.
      x_BxHxWxC = x_BxHxWxC[:, :: self.stride, :: self.stride]
      x_BxHxWxC = jnp.einsum('bhwc,cd->bhwd', x_BxHxWxC, kernel[0, 0])
    else:
      pixels = self.padding
      x_BxHxWxC = jax.lax.conv_general_dilated(
        x_BxHxWxC,
        kernel,
        (self.stride, self.stride),
        pixels if pixels == 'SAME' else [(pixels, pixels)] * 2,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      )
    return x_BxHxWxC + bias_C[None, None, None]
