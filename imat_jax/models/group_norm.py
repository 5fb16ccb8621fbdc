"""Normalisation by groups of channels with ReLU, fast on every device.

`plain` defines it in XLA's operations. On a CPU these read a picture again and
again, so there a compiled kernel does the same (`kernels/group_norm.cc`;
benchmarks/README.md has the figures).
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from imat_jax.models import kernels

GROUP_SIZE = 8  # kGroup in C++


def group_norm(
  x_BxHxWxC: jax.Array, scale_C: jax.Array, bias_C: jax.Array, relu: bool
) -> jax.Array:
  """Each group with mean 0 and variance 1, scaled and shifted by channel.

  Equals `plain`.

  Args:
    x_BxHxWxC: float32 features, C a multiple of `GROUP_SIZE`.
    scale_C: a factor per channel.
    bias_C: what is added to each channel.
    relu: whether ReLU follows.
  """
  fits = kernels.are_float32(x_BxHxWxC, scale_C, bias_C)
  if fits and kernels.available('group_norm_forward'):
    return kernels.on_each_device(
      lambda *arguments: _compiled(*arguments, relu),
      *(x_BxHxWxC, scale_C, bias_C),
    )
  return plain(x_BxHxWxC, scale_C, bias_C, relu)


def plain(
  x_BxHxWxC: jax.Array, scale_C: jax.Array, bias_C: jax.Array, relu: bool
) -> jax.Array:
  """`group_norm` in XLA's own operations."""
  norm = nn.GroupNorm(num_groups=None, group_size=GROUP_SIZE)
  params = {'scale': scale_C, 'bias': bias_C}
  y_BxHxWxC = norm.apply({'params': params}, x_BxHxWxC)
  return nn.relu(y_BxHxWxC) if relu else y_BxHxWxC


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _compiled(x_BxHxWxC, scale_C, bias_C, relu):
  return _forward(x_BxHxWxC, scale_C, bias_C, relu)[0]


def _forward(x_BxHxWxC, scale_C, bias_C, relu):
  statistics = len(x_BxHxWxC), 2, scale_C.size
  y_BxHxWxC, statistics_Bx2xC = kernels.call(
    'group_norm_forward',
    [(x_BxHxWxC.shape, jnp.float32), (statistics, jnp.float32)],
    *(x_BxHxWxC, scale_C, bias_C),
    relu=relu,
  )
  # Without ReLU nobody reads the result again.
  y = y_BxHxWxC if relu else bias_C
  return y_BxHxWxC, (x_BxHxWxC, scale_C, y, statistics_Bx2xC)


def _backward(relu, residuals, dy_BxHxWxC):
  x_BxHxWxC, scale_C, _, _ = residuals
  sums = kernels.PARTS, 2, scale_C.size
  dx_BxHxWxC, sums_Px2xC = kernels.call(
    'group_norm_gradients',
    [(x_BxHxWxC.shape, jnp.float32), (sums, jnp.float32)],
    *residuals,
    dy_BxHxWxC,
    relu=relu,
  )
  dscale_C, dbias_C = kernels.total(sums_Px2xC)
  return dx_BxHxWxC, dscale_C, dbias_C


_compiled.defvjp(_forward, _backward)
