"""A convolution of each channel by itself, with ReLU6, fast on every device.

`plain` defines it in XLA's operations. On a CPU XLA's grouped convolution takes
12 to 24 times as long as a sum of shifted images, and that sum's gradients are
slow, so there a compiled kernel does the same (`kernels/depthwise.cc`;
benchmarks/README.md has the figures).
"""

import functools
import math

import jax
import jax.numpy as jnp

from imat_jax.models import conv, kernels

_LANES = 16  # the kernel takes whole registers of channels,
_PIXELS = 8  # and expands so many pixels at once


def depthwise(
  x_BxHxWxC: jax.Array, kernel: jax.Array, bias_C: jax.Array, stride: int
) -> jax.Array:
  """ReLU6 of the convolution, padding SAME; equals `plain`.

  Args:
    x_BxHxWxC: float32 features.
    kernel: size × size × 1 × C.
    bias_C: a number per channel.
    stride: of the convolution, in both directions.
  """
  fits = _fits(x_BxHxWxC, kernel, bias_C)
  if fits and kernels.available(_name('forward', kernel, stride)):
    return kernels.on_each_device(
      lambda *arguments: _compiled(*arguments, stride),
      *(x_BxHxWxC, kernel, bias_C),
    )
  return plain(x_BxHxWxC, kernel, bias_C, stride)


def expanded(
  x_BxHxWxC: jax.Array,
  filters: jax.Array,
  shift_C: jax.Array,
  kernel: jax.Array,
  bias_C: jax.Array,
  stride: int,
) -> jax.Array:
  """`depthwise` of a 1 × 1 convolution with ReLU6, which has more channels.

  Where nobody asks for gradients the compiled kernel makes both at once, and
  the many channels never reach the memory.

  Args:
    x_BxHxWxC: float32 features.
    filters: 1 × 1 × C × channels of the expansion.
    shift_C: a number per channel of it, its bias.
    kernel: size × size × 1 × channels.
    bias_C: a number per channel.
    stride: of the second convolution.
  """
  arguments = x_BxHxWxC, filters, shift_C, kernel, bias_C
  pixels = math.prod(x_BxHxWxC.shape[1:3])
  fits = _fits(*arguments) and pixels >= _PIXELS
  if fits and kernels.available(_name('expanded', kernel, stride)):
    return kernels.on_each_device(
      lambda *arguments: _expanded(*arguments, stride), *arguments
    )
  return _one_by_one(*arguments, stride)


def plain(
  x_BxHxWxC: jax.Array, kernel: jax.Array, bias_C: jax.Array, stride: int
) -> jax.Array:
  """`depthwise` in XLA's own operations."""
  is_cpu = jax.default_backend() == 'cpu'
  convolve = _sum_of_shifts if is_cpu else grouped_convolution
  convolved = convolve(x_BxHxWxC, kernel, stride)
  return jax.nn.relu6(convolved + bias_C[None, None, None])


def grouped_convolution(
  x_BxHxWxC: jax.Array, kernel: jax.Array, stride: int
) -> jax.Array:
  """The convolution alone, as XLA has it; too slow on a CPU."""
  return jax.lax.conv_general_dilated(
    x_BxHxWxC,
    kernel,
    (stride, stride),
    'SAME',
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=kernel.shape[-1],
  )


def _sum_of_shifts(
  x_BxHxWxC: jax.Array, kernel: jax.Array, stride: int
) -> jax.Array:
  size = len(kernel)
  padding, after = [(0, 0)], []
  for length in x_BxHxWxC.shape[1:3]:
    outputs = -(-length // stride)
    missing = max((outputs - 1) * stride + size - length, 0)
    padding.append((missing // 2, missing - missing // 2))
    after.append(outputs)
  padded = jnp.pad(x_BxHxWxC, [*padding, (0, 0)])
  total = 0
  for row in range(size):
    for column in range(size):
      rows = slice(row, row + (after[0] - 1) * stride + 1, stride)
      columns = slice(column, column + (after[1] - 1) * stride + 1, stride)
      factor = kernel[row, column, 0][None, None, None]
      total = total + padded[:, rows, columns] * factor
  return total


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _compiled(x_BxHxWxC, kernel, bias_C, stride):
  batch, height, width, channels = x_BxHxWxC.shape
  shape = batch, -(-height // stride), -(-width // stride), channels
  (y_BxHxWxC,) = kernels.call(
    _name('forward', kernel, stride),
    [(shape, jnp.float32)],
    *(x_BxHxWxC, kernel, bias_C),
  )
  return y_BxHxWxC


def _forward(x_BxHxWxC, kernel, bias_C, stride):
  y_BxHxWxC = _compiled(x_BxHxWxC, kernel, bias_C, stride)
  return y_BxHxWxC, (x_BxHxWxC, kernel, y_BxHxWxC)


def _backward(stride, residuals, dy_BxHxWxC):
  # Two calls: XLA leaves out the one that nobody asks for.
  x_BxHxWxC, kernel, y_BxHxWxC = residuals
  size, channels = len(kernel), x_BxHxWxC.shape[-1]
  (dx_BxHxWxC,) = kernels.call(
    _name('input_gradient', kernel, stride),
    [(x_BxHxWxC.shape, jnp.float32)],
    *(kernel, y_BxHxWxC, dy_BxHxWxC),
  )
  (sums,) = kernels.call(
    _name('kernel_gradient', kernel, stride),
    [((kernels.PARTS, size**2 + 1, channels), jnp.float32)],
    *(x_BxHxWxC, y_BxHxWxC, dy_BxHxWxC),
  )
  total = kernels.total(sums)
  return dx_BxHxWxC, total[:-1].reshape(kernel.shape), total[-1]


_compiled.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _expanded(x_BxHxWxC, filters, shift_C, kernel, bias_C, stride):
  batch, height, width, _ = x_BxHxWxC.shape
  shape = batch, -(-height // stride), -(-width // stride), bias_C.size
  (y_BxHxWxC,) = kernels.call(
    _name('expanded', kernel, stride),
    [(shape, jnp.float32)],
    *(x_BxHxWxC, filters, shift_C, kernel, bias_C),
  )
  return y_BxHxWxC


def _one_by_one(x_BxHxWxC, filters, shift_C, kernel, bias_C, stride):
  x_BxHxWxC = conv.conv(x_BxHxWxC, filters, shift_C, relu6=True)
  return depthwise(x_BxHxWxC, kernel, bias_C, stride)


def _expanded_forward(*arguments):
  *arrays, stride = arguments
  return jax.vjp(lambda *arrays: _one_by_one(*arrays, stride), *arrays)


_expanded.defvjp(_expanded_forward, lambda _, pull, dy: pull(dy))


def _fits(*arguments):
  channels = arguments[-1].size
  return channels % _LANES == 0 and kernels.are_float32(*arguments)


def _name(kind, kernel, stride):
  return f'depthwise_{kind}_{len(kernel)}_{stride}'
