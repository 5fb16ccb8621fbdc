"""A convolution of all channels with a bias and ReLU6, fast on every device.

`plain` defines it in XLA's operations. On a CPU these take two to three times
as long as they could, so there a compiled kernel does the same in one pass
(`kernels/conv.cc`; benchmarks/README.md has the figures).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from imat_jax.models import kernels

_SIDE = 8  # places that the kernel makes at once: 1 × 8 or 2 × 4
_COLUMNS = 32  # filters of which it finds the gradients at once


def conv(
  x_BxHxWxC: jax.Array,
  kernel: jax.Array,
  bias_C: jax.Array,
  stride: int = 1,
  relu6: bool = False,
) -> jax.Array:
  """The convolution, padding SAME; equals `plain`.

  Args:
    x_BxHxWxC: float32 pictures or features.
    kernel: size × size × C × filters.
    bias_C: a number per filter.
    stride: of the convolution, in both directions.
    relu6: whether ReLU6 follows.
  """
  _, height, width, _ = x_BxHxWxC.shape
  is_short = len(kernel) > 1 == stride and min(height, width) < _SIDE // 2
  if is_short and kernels.available('conv_forward'):
    # SAME pads with zeros anyway; XLA takes long for maps of a few pixels.
    missing = [(0, max(_SIDE // 2 - n, 0)) for n in (height, width)]
    padded = jnp.pad(x_BxHxWxC, [(0, 0), *missing, (0, 0)])
    return conv(padded, kernel, bias_C, relu6=relu6)[:, :height, :width]
  is_float32 = kernels.are_float32(x_BxHxWxC, kernel, bias_C)
  fits = is_float32 and _fits(x_BxHxWxC, kernel, stride)
  if fits and kernels.available('conv_forward'):
    return kernels.on_each_device(
      lambda *arguments: _compiled(*arguments, stride, relu6),
      *(x_BxHxWxC, kernel, bias_C),
    )
  return plain(x_BxHxWxC, kernel, bias_C, stride, relu6)


def plain(
  x_BxHxWxC: jax.Array,
  kernel: jax.Array,
  bias_C: jax.Array,
  stride: int = 1,
  relu6: bool = False,
) -> jax.Array:
  """`conv` in XLA's own operations."""
  if len(kernel) == stride == 1:
    # A matrix product: on a CPU XLA's convolution takes longer.
    y_BxHxWxC = jnp.einsum('bhwc,cd->bhwd', x_BxHxWxC, kernel[0, 0])
  else:
    y_BxHxWxC = jax.lax.conv_general_dilated(
      x_BxHxWxC,
      kernel,
      (stride, stride),
      'SAME',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
  y_BxHxWxC = y_BxHxWxC + bias_C[None, None, None]
  return jax.nn.relu6(y_BxHxWxC) if relu6 else y_BxHxWxC


def _fits(x_BxHxWxC, kernel, stride):
  """Whether the compiled kernel can do it."""
  _, height, width, _ = x_BxHxWxC.shape
  if len(kernel) == 1:  # the pixels of all rows are side by side
    return stride == 1 and height * width >= _SIDE
  return min(height, width) >= _SIDE // 2 * stride


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _compiled(x_BxHxWxC, kernel, bias_C, stride, relu6):
  batch, height, width, _ = x_BxHxWxC.shape
  shape = batch, -(-height // stride), -(-width // stride), bias_C.size
  (y_BxHxWxC,) = kernels.call(
    'conv_forward',
    [(shape, jnp.float32)],
    *(x_BxHxWxC, kernel, bias_C),
    stride=np.int64(stride),
    relu6=relu6,
  )
  return y_BxHxWxC


def _forward(x_BxHxWxC, kernel, bias_C, stride, relu6):
  y_BxHxWxC = _compiled(x_BxHxWxC, kernel, bias_C, stride, relu6)
  # Without ReLU6 nobody reads the result again.
  return y_BxHxWxC, (x_BxHxWxC, kernel, y_BxHxWxC if relu6 else bias_C)


def _backward(stride, relu6, residuals, dy_BxHxWxC):
  # Two calls: XLA leaves out the one that nobody asks for.
  x_BxHxWxC, kernel, y_BxHxWxC = residuals
  size, _, channels, filters = kernel.shape
  if stride == 1:
    (dx_BxHxWxC,) = kernels.call(
      'conv_input_gradient',
      [(x_BxHxWxC.shape, jnp.float32)],
      kernel[::-1, ::-1].swapaxes(2, 3),
      jnp.zeros(channels),
      *(y_BxHxWxC, dy_BxHxWxC),
      relu6=relu6,
    )
  else:  # only of photos, to show what a network looks at
    bias_C = jnp.zeros(filters)
    _, pull = jax.vjp(lambda x: plain(x, kernel, bias_C, stride), x_BxHxWxC)
    passes = (y_BxHxWxC > 0) & (y_BxHxWxC < 6) if relu6 else True
    (dx_BxHxWxC,) = pull(jnp.where(passes, dy_BxHxWxC, 0))
  is_photo = channels == size == 3
  rounded = channels if is_photo else -(-channels // _SIDE) * _SIDE
  blocks = -(-filters // _COLUMNS)
  # Groups of the batch: with little memory work for about 16 threads.
  groups = max(4, kernels.PARTS // blocks)
  shape = groups, size**2 * rounded + 1, blocks * _COLUMNS
  (sums,) = kernels.call(
    'conv_kernel_gradient',
    [(shape, jnp.float32)],
    *(kernel, x_BxHxWxC, y_BxHxWxC, dy_BxHxWxC),
    stride=np.int64(stride),
    relu6=relu6,
  )
  total = kernels.total(sums)[:, :filters]
  dkernel = total[:-1].reshape(size, size, rounded, filters)
  return dx_BxHxWxC, dkernel[:, :, :channels], total[-1]


_compiled.defvjp(_forward, _backward)
