"""The paper's trunk: three 4 × 4 convolutions with poolings, dense layers.

The paper is silent on the size of its photos. Its parameter counts fix the
flattened features at 8,192, which two geometries give: see `--geometry`.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal

import jax
from flax import linen as nn

from imat_jax import options, validators
from imat_jax.models import conv_pool, trunks
from imat_jax.models.layers import ACTIVATIONS, INITIALIZER

# Per geometry: the stride of the pooling behind each convolution (1: there is
# none), and the photo's side.
_STRIDES = {'report': (2, 2, 2), 'original': (4, 4, 1)}
_SIDES = {'report': 128, 'original': 256}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paper(trunks.Trunk):
  """The paper's trunk; the defaults are public 3M's."""

  uses_kernels: ClassVar[bool] = True

  image_size: int = options.option(
    'width and height in pixels of the photos that the network sees; 0 for '
    "the geometry's own",
    0,
    validators.between(0, 4096),
  )
  geometry: Literal['report', 'original'] = options.option(
    'report: 128x128, three poolings of stride 2; original: 256x256, two '
    'poolings of stride 4',
    'report',
  )
  filters: tuple[int, ...] = options.option(
    'filters of the three convolutions', (8, 16, 32), validators.three_counts
  )
  dropout: float = options.option(
    'rate after the trunk', 0.5, validators.between(0, 0.99)
  )
  shared_widths: tuple[int, ...] = options.option(
    'widths of the dense layers that all tasks share',
    (384, 384),
    validators.at_least(1),
  )
  shared_activation: Literal['relu', 'tanh'] = options.option(
    'activation of the shared layers', 'relu'
  )

  def __post_init__(self):
    super().__post_init__()
    for name in 'image_size', 'image_width':
      pixels = getattr(self, name)
      if pixels % 8 or 0 < pixels < 16:
        raise ValueError(
          f'--{name}={pixels}: must be a multiple of 8, at least 16, as the '
          'photo is halved three times; or 0'
        )

  @property
  def height(self) -> int:
    return self.image_size or _SIDES[self.geometry]

  @property
  def unit_layers(self) -> tuple[trunks.UnitLayer, ...]:
    widths = *self.filters, *self.shared_widths
    paths = [(f'conv_{n}',) for n in range(len(self.filters))]
    paths += [(f'dense_{n}',) for n in range(len(self.shared_widths))]
    readers = [*paths[1:], ()]
    return tuple(map(trunks.UnitLayer, paths, readers, widths))

  def with_units(self, width_L: Sequence[int]) -> 'Paper':
    number = len(self.filters)
    return dataclasses.replace(
      *(self,),
      filters=tuple(width_L[:number]),
      shared_widths=tuple(width_L[number:]),
    )

  def make(self) -> nn.Module:
    return _PaperTrunk(self)


class _PaperTrunk(nn.Module):
  config: Paper

  @nn.compact
  def __call__(
    self, image_BxHxWxC: jax.Array, *, deterministic: bool
  ) -> jax.Array:
    # Bytes go in as they are: the compiled kernel reads them.
    x_BxHxWxC = image_BxHxWxC
    strides = _STRIDES[self.config.geometry]
    layers = zip(self.config.filters, strides, strict=True)
    for number, (filters, stride) in enumerate(layers):
      x_BxHxWxC = _ConvPool(filters, stride, name=f'conv_{number}')(x_BxHxWxC)
    x_BxD = x_BxHxWxC.reshape(x_BxHxWxC.shape[0], -1)
    x_BxD = nn.Dropout(self.config.dropout)(x_BxD, deterministic=deterministic)
    activation = ACTIVATIONS[self.config.shared_activation]
    for number, width in enumerate(self.config.shared_widths):
      x_BxD = activation(
        nn.Dense(width, kernel_init=INITIALIZER, name=f'dense_{number}')(x_BxD)
      )
    return x_BxD


class _ConvPool(nn.Module):
  """A 4 × 4 convolution with its pooling and ReLU, see `conv_pool`."""

  filters: int
  stride: int

  @nn.compact
  def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
    shape = 4, 4, x_BxHxWxC.shape[-1], self.filters
    kernel = self.param('kernel', INITIALIZER, shape)
    bias_C = self.param('bias', nn.initializers.zeros, (self.filters,))
    return conv_pool.conv_pool(x_BxHxWxC, kernel, bias_C, self.stride)
