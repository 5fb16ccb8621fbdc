"""A small residual network, to be trained from scratch.

Stages that halve the photo and double the width, each with residual blocks (He
et al., "Deep residual learning for image recognition", 2016), then the maximum
over all places. Normalised by group (Wu and He, "Group normalization", 2018),
not by batch: a photo's features do not depend on the others of its batch, so
padding, shards and ensembles change nothing.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from imat_jax import options, validators
from imat_jax.models import conv, group_norm, pooling, trunks

_INITIALIZER = nn.initializers.he_normal()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNet(trunks.Trunk):
  """A residual network; the defaults have 0.49 M parameters."""

  uses_kernels: ClassVar[bool] = True

  image_size: int = options.option(
    'width and height in pixels of the photos that the network sees; they are '
    'halved by the first convolution and by each stage',
    64,
    validators.between(16, 4096),
  )
  width: int = options.option(
    'filters of the first convolution, a multiple of 8; each stage doubles '
    'them',
    16,
    validators.at_least(8),
  )
  blocks: tuple[int, ...] = options.option(
    'residual blocks of each stage', (1, 1, 1), validators.at_least(1)
  )
  inner_widths: tuple[int, ...] = options.option(
    "filters of each block's first convolution, multiples of 8; empty: as many "
    'as its stage has',
    (),
    validators.at_least(8),
  )
  dropout: float = options.option(
    'rate after the trunk', 0.2, validators.between(0, 0.99)
  )

  def __post_init__(self):
    super().__post_init__()
    divisor = 2 ** (len(self.blocks) + 1)
    for name in 'image_size', 'image_width':
      if getattr(self, name) % divisor:
        raise ValueError(
          f'--{name}={getattr(self, name)}: must be a multiple of {divisor} '
          f'with {len(self.blocks)} stages'
        )
    if self.width % group_norm.GROUP_SIZE:
      raise ValueError(
        f'--width={self.width}: must be a multiple of {group_norm.GROUP_SIZE}'
      )
    if self.inner_widths and (
      len(self.inner_widths) != sum(self.blocks)
      or any(width % group_norm.GROUP_SIZE for width in self.inner_widths)
    ):
      raise ValueError(
        f'--inner_widths={",".join(map(str, self.inner_widths))}: must be '
        f'{sum(self.blocks)} multiples of {group_norm.GROUP_SIZE}, one for '
        'each block'
      )

  @property
  def unit_layers(self) -> tuple[trunks.UnitLayer, ...]:
    names = [
      (f'stage_{stage}_block_{block}', 2 ** (stage + 1) * self.width)
      for stage, blocks in enumerate(self.blocks)
      for block in range(blocks)
    ]
    widths = self.inner_widths or [width for _, width in names]
    return tuple(
      trunks.UnitLayer(
        *((name, 'conv_0'), (name, 'conv_1', 'conv')),
        *(width, group_norm.GROUP_SIZE),
      )
      for (name, _), width in zip(names, widths, strict=True)
    )

  def with_units(self, width_L: Sequence[int]) -> 'ResNet':
    return dataclasses.replace(self, inner_widths=tuple(width_L))

  def make(self) -> nn.Module:
    return _ResNet(self)


class _ResNet(nn.Module):
  config: ResNet

  @nn.compact
  def __call__(
    self, image_BxHxWxC: jax.Array, *, deterministic: bool
  ) -> jax.Array:
    width = self.config.width
    # From [0, 1] to about mean 0 and deviation 1.
    x_BxHxWxC = (trunks.as_float(image_BxHxWxC) - 0.5) / 0.25
    x_BxHxWxC = _ConvNorm(width, 2, name='stem')(x_BxHxWxC)
    inner_widths = iter(layer.width for layer in self.config.unit_layers)
    for stage, blocks in enumerate(self.config.blocks):
      width, name = 2 * width, f'stage_{stage}'
      x_BxHxWxC = _ConvNorm(width, name=f'{name}_down')(x_BxHxWxC)
      # Its gradient is quicker on a CPU than that of nn.max_pool.
      x_BxHxWxC = pooling.halve(pooling.halve(x_BxHxWxC, 1), 2)
      for block in range(blocks):
        residual = _Residual(next(inner_widths), name=f'{name}_block_{block}')
        x_BxHxWxC = residual(x_BxHxWxC)
    x_BxD = x_BxHxWxC.max((1, 2))
    return nn.Dropout(self.config.dropout)(x_BxD, deterministic=deterministic)


class _Residual(nn.Module):
  """Adds what two convolutions find; at the start nothing."""

  inner_width: int

  @nn.compact
  def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
    width = x_BxHxWxC.shape[-1]
    change = _ConvNorm(self.inner_width, name='conv_0')(x_BxHxWxC)
    change = _ConvNorm(width, scale=0.0, relu=False, name='conv_1')(change)
    return nn.relu(x_BxHxWxC + change)


class _ConvNorm(nn.Module):
  """A 3 × 3 convolution, its normalisation, and ReLU."""

  width: int
  stride: int = 1
  scale: float = 1.0  # of the result, at the start
  relu: bool = True

  @nn.compact
  def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
    x_BxHxWxC = _Conv(self.width, self.stride, name='conv')(x_BxHxWxC)
    return _Norm(self.scale, self.relu, name='norm')(x_BxHxWxC)


class _Conv(nn.Module):
  """A 3 × 3 convolution without a bias; the normalisation has one."""

  width: int
  stride: int

  @nn.compact
  def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
    shape = 3, 3, x_BxHxWxC.shape[-1], self.width
    kernel = self.param('kernel', _INITIALIZER, shape)
    nothing = jnp.zeros(self.width, kernel.dtype)
    return conv.conv(x_BxHxWxC, kernel, nothing, self.stride)


class _Norm(nn.Module):
  """Normalisation by group, and ReLU."""

  initial_scale: float
  relu: bool

  @nn.compact
  def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
    shape = (x_BxHxWxC.shape[-1],)
    initializer = nn.initializers.constant(self.initial_scale)
    scale_C = self.param('scale', initializer, shape)
    bias_C = self.param('bias', nn.initializers.zeros, shape)
    return group_norm.group_norm(x_BxHxWxC, scale_C, bias_C, self.relu)
