"""Convolution, max pooling and ReLU as one operation, fast on every device.

`plain` defines it in XLA's operations. On a CPU these are slow, above all
their gradients, so there a compiled kernel does the same in one pass over the
picture (`kernels/conv_pool.cc`; benchmarks/README.md has the figures).
"""

import functools
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from imat_jax.models import kernels, pooling

POOLINGS = {
  1: lambda x_BxHxWxC: x_BxHxWxC,
  2: pooling.max_pool_4_stride_2,
  4: pooling.max_pool_4_stride_4,
}

# Within `kernels.portable`: one operation, which every runtime has.
PORTABLE_POOLINGS = {
  1: lambda x_BxHxWxC: x_BxHxWxC,
  2: lambda x_BxHxWxC: pooling.max_pool_4(x_BxHxWxC, 2, 'SAME'),
  4: lambda x_BxHxWxC: pooling.max_pool_4(x_BxHxWxC, 4, 'VALID'),
}


def conv_pool(
  x_BxHxWxC: jax.Array, kernel: jax.Array, bias_C: jax.Array, stride: int
) -> jax.Array:
  """ReLU of the pooled convolution; equals `plain`.

  Args:
    x_BxHxWxC: float32 pictures or features; uint8 stands for 255ths.
    kernel: 4 × 4 × C × filters; the convolution has stride 1, padding SAME.
    bias_C: a number per filter.
    stride: of the 4 × 4 pooling, 2 (padding SAME) or 4 (VALID); 1 for none.
  """
  if kernels.is_portable():
    return plain(x_BxHxWxC, kernel, bias_C, stride, PORTABLE_POOLINGS)
  # The kernel makes as many places of a row at once as give 256 numbers.
  is_wide = x_BxHxWxC.shape[2] * bias_C.size >= 256
  fits = is_wide and x_BxHxWxC.dtype in (jnp.float32, jnp.uint8)
  if fits and kernels.available(_name('forward', kernel, stride)):
    return kernels.on_each_device(
      lambda *arguments: _compiled(*arguments, stride),
      *(x_BxHxWxC, kernel, bias_C),
    )
  return plain(x_BxHxWxC, kernel, bias_C, stride)


def plain(
  x_BxHxWxC: jax.Array,
  kernel: jax.Array,
  bias_C: jax.Array,
  stride: int,
  poolings: Mapping[int, Callable[[jax.Array], jax.Array]] = POOLINGS,
) -> jax.Array:
  """`conv_pool` in XLA's own operations."""
  if x_BxHxWxC.dtype == jnp.uint8:
    x_BxHxWxC = x_BxHxWxC.astype(jnp.float32) / 255
  convolved = jax.lax.conv_general_dilated(
    x_BxHxWxC,
    kernel,
    (1, 1),
    'SAME',
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )
  # Pooling first: bias and ReLU commute with it and have less to do behind it.
  return jax.nn.relu(poolings[stride](convolved) + bias_C[None, None, None])


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _compiled(x_BxHxWxC, kernel, bias_C, stride):
  return _forward(x_BxHxWxC, kernel, bias_C, stride)[0]


def _forward(x_BxHxWxC, kernel, bias_C, stride):
  batch, height, width, _ = x_BxHxWxC.shape
  out = (batch, height // stride, width // stride, bias_C.size)
  y, place = kernels.call(
    _name('forward', kernel, stride),
    [(out, jnp.float32), (out, jnp.uint8)],
    *(x_BxHxWxC, kernel, bias_C),
  )
  return y, (x_BxHxWxC, kernel, place)


def _backward(stride, residuals, dy):
  x_BxHxWxC, kernel, place = residuals
  channels, filters = kernel.shape[2:]
  row = math.ceil(4 * channels / 16) * 16  # of a filter, in whole registers
  rows = kernel.transpose(3, 0, 1, 2).reshape(filters, 4, 4 * channels)
  is_bytes = x_BxHxWxC.dtype == jnp.uint8  # which have no gradient
  sums, dx_BxHxWxC = kernels.call(
    _name('gradients', kernel, stride),
    [
      ((kernels.PARTS, filters, 4 * row + 16), jnp.float32),
      ((len(x_BxHxWxC), 0) if is_bytes else x_BxHxWxC.shape, jnp.float32),
    ],
    x_BxHxWxC,
    jnp.pad(rows, ((0, 0), (0, 0), (0, row - 4 * channels))),
    dy,
    place,
  )
  sum_CxF = sums.sum(0)  # over parts of the batch, in their order
  dkernel = sum_CxF[:, : 4 * row].reshape(filters, 4, row)[..., : 4 * channels]
  return (
    None if is_bytes else dx_BxHxWxC,
    dkernel.reshape(filters, 4, 4, channels).transpose(1, 2, 3, 0),
    sum_CxF[:, 4 * row],
  )


_compiled.defvjp(_forward, _backward)


def _name(kind, kernel, stride):
  channels, filters = kernel.shape[2:]
  return f'conv_pool_{kind}_{channels}_{filters}_{stride}'
