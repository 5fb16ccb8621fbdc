"""ResNet-18 and ResNet-50, for the weights that were trained on ImageNet.

The networks of He et al., "Deep residual learning for image recognition",
2016, as torchvision and timm have them: a bottleneck halves the photo in its 3
× 3 convolution, not in its first. Batch normalisation is folded into kernels
and biases when weights are read, so the trunk is a pure function of its
parameters.
"""

import dataclasses
from typing import Any, ClassVar, Literal, NamedTuple

import jax
from flax import linen as nn

from imat_jax import options, validators
from imat_jax.models import conv, pooling, trunks
from imat_jax.models.weights import Weights

_EPSILON = 1e-5  # of batch normalisation
_STEM = 64  # filters
# Less than He's, as no norm keeps the sums of the blocks small.
_INITIALIZER = nn.initializers.variance_scaling(1.0, 'fan_in', 'normal')

# Table 1 of the paper: blocks of each stage.
_REPEATS = {'18': (2, 2, 2, 2), '50': (3, 4, 6, 3)}


class Layer(NamedTuple):
  """A convolution with a bias, padded by half its size on each side."""

  filters: int
  size: int
  stride: int = 1


class Block(NamedTuple):
  """Adds what convolutions find to the input, or to a projection of it."""

  convs: tuple[Layer, ...]
  projection: Layer | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImagenetResNet(trunks.PretrainedTrunk):
  """A residual network of ImageNet; the defaults are ResNet-50's."""

  uses_kernels: ClassVar[bool] = True

  image_size: int = options.option(
    'width and height in pixels of the photos that the network sees',
    224,
    validators.between(8, 4096),
  )
  depth: Literal['18', '50'] = options.option('layers of the network', '50')

  @property
  def blocks(self) -> dict[str, Block]:
    """All blocks by name, from the photo to the features."""
    blocks, filters_in = {}, _STEM
    for stage, repeats in enumerate(_REPEATS[self.depth]):
      for repeat in range(repeats):
        convs = self._convs(_STEM * 2**stage, 2 if stage and not repeat else 1)
        filters, stride = convs[-1].filters, max(c.stride for c in convs)
        is_same = stride == 1 and filters == filters_in
        projection = None if is_same else Layer(filters, 1, stride)
        blocks[f'layer{stage + 1}_{repeat}'] = Block(convs, projection)
        filters_in = filters
    return blocks

  def _convs(self, width: int, stride: int) -> tuple[Layer, ...]:
    """Of a basic block, or from 50 layers on of a bottleneck."""
    if self.depth == '18':
      return Layer(width, 3, stride), Layer(width, 3)
    return Layer(width, 1), Layer(width, 3, stride), Layer(4 * width, 1)

  def make(self) -> nn.Module:
    return _ImagenetResNet(self)

  @property
  def stages(self) -> list[str]:
    return ['stem', *self.blocks]

  def from_weights(self, weights: Weights) -> dict[str, Any]:
    """From the names that torchvision and timm share."""
    params = {'stem': weights.take_folded('conv1', 'bn1', _EPSILON)}
    for name, block in self.blocks.items():
      prefix = name.replace('_', '.')
      params[name] = {
        f'conv_{n}': weights.take_folded(
          f'{prefix}.conv{n}', f'{prefix}.bn{n}', _EPSILON
        )
        for n in range(1, len(block.convs) + 1)
      }
      if block.projection:
        params[name]['projection'] = weights.take_folded(
          f'{prefix}.downsample.0', f'{prefix}.downsample.1', _EPSILON
        )
    weights.ignore('fc.weight', 'fc.bias')
    return params


class _ImagenetResNet(nn.Module):
  config: ImagenetResNet

  @nn.compact
  def __call__(
    self, image_BxHxWxC: jax.Array, *, deterministic: bool
  ) -> jax.Array:
    del deterministic
    x_BxHxWxC = trunks.standardized(image_BxHxWxC)
    x_BxHxWxC = nn.relu(_Conv(_STEM, 7, 2, name='stem')(x_BxHxWxC))
    x_BxHxWxC = pooling.max_pool_3_stride_2(x_BxHxWxC)
    for name, block in self.config.blocks.items():
      x_BxHxWxC = _Block(block, name=name)(x_BxHxWxC)
    return x_BxHxWxC.mean((1, 2))


class _Block(nn.Module):
  block: Block

  @nn.compact
  def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
    convs, projection = self.block
    change = x_BxHxWxC
    for number, layer in enumerate(convs, 1):
      change = change if number == 1 else nn.relu(change)
      change = _Conv(*layer, name=f'conv_{number}')(change)
    if projection:
      x_BxHxWxC = _Conv(*projection, name='projection')(x_BxHxWxC)
    return nn.relu(x_BxHxWxC + change)


class _Conv(nn.Module):
  """A convolution of all channels with a bias, padded as in PyTorch."""

  filters: int
  size: int
  stride: int

  @nn.compact
  def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
    shape = self.size, self.size, x_BxHxWxC.shape[-1], self.filters
    kernel = self.param('kernel', _INITIALIZER, shape)
    bias_C = self.param('bias', nn.initializers.zeros, (self.filters,))
    if self.size == 1 or (self.size, self.stride) == (3, 1):
      # For these SAME is the same padding, and there is a kernel for CPUs.
      x_BxHxWxC = x_BxHxWxC[:, :: self.stride, :: self.stride]
      return conv.conv(x_BxHxWxC, kernel, bias_C)
    half = self.size // 2
    x_BxHxWxC = jax.lax.conv_general_dilated(
      x_BxHxWxC,
      kernel,
      (self.stride, self.stride),
      [(half, half)] * 2,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    return x_BxHxWxC + bias_C[None, None, None]
