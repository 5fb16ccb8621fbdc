"""The mean color of each cell of a grid, normalized over the batch."""

import dataclasses

import jax
from flax import linen as nn

from imat_jax import options, validators
from imat_jax.models import trunks


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeanColor(trunks.Trunk):
  image_size: int = options.option('a multiple of the grid', 32)
  grid: int = options.option('cells per side', 4, validators.at_least(1))

  def __post_init__(self):
    super().__post_init__()
    if any(side % self.grid for side in self.shape):
      raise ValueError(f"--grid={self.grid}: must divide the photos' sides")

  def make(self) -> nn.Module:
    return _Module(self)


class _Module(nn.Module):
  config: MeanColor

  @nn.compact
  def __call__(self, image_BxHxWxC: jax.Array, *, deterministic: bool):
    x_BxHxWxC = trunks.as_float(image_BxHxWxC)
    cell = x_BxHxWxC.shape[1] // self.config.grid
    x_BxHxWxC = nn.avg_pool(
      x_BxHxWxC, window_shape=(cell, cell), strides=(cell, cell)
    )
    x_BxD = x_BxHxWxC.reshape(x_BxHxWxC.shape[0], -1)
    return nn.BatchNorm(use_running_average=deterministic, momentum=0.5)(x_BxD)
