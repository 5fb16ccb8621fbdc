"""Trunks: from photos to the features that all tasks share. One file each.

To add one, write `models/trunks/NAME.py`: a frozen config, the only `Trunk` in
the file, and the linen module that it makes. `--trunk=NAME` then trains it, and
the fields are its flags. tests/toys/trunks has a small example.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from imat_jax import options, validators


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trunk(options.Part):
  """A trunk's options."""

  # Whether a CPU trains it with the compiled kernels of `models.kernels`.
  uses_kernels: ClassVar[bool] = False

  image_size: int = options.option(
    'width and height in pixels of the photos that the network sees',
    128,
    validators.between(8, 4096),
  )

  @property
  def side(self) -> int:
    """Width and height in pixels of the photos that the network sees."""
    return self.image_size

  def make(self) -> nn.Module:
    """The module: (image_BxHxWxC, *, deterministic) → features, B × D.

    Images are uint8, or float in [0, 1]: see `as_float`. Where deterministic is
    False it may use the rng stream `dropout` and update its collections, such
    as batch statistics, which are checkpointed with the parameters.
    """
    raise NotImplementedError


def as_float(image_BxHxWxC: jax.Array) -> jax.Array:
  """Images as float32 in [0, 1]."""
  if image_BxHxWxC.dtype == jnp.uint8:
    return image_BxHxWxC.astype(jnp.float32) / 255
  return image_BxHxWxC
