"""Max pooling that XLA also differentiates quickly on a CPU.

`linen.max_pool` has the same values, but with its gradient, select_and_scatter
in XLA, a CPU's training step takes 1.5 times as long (benchmarks/README.md).
Here a window's maximum is a tree of pairwise maxima, along one axis after the
other. Of equal values the first has the gradient.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn


def max_pool_4(x_BxHxWxC: jax.Array, stride: int, padding: str) -> jax.Array:
  """Windows of 4 × 4 as one operation; its gradient is slow on a CPU."""
  # Looked up, and with names, as jax2onnx puts its own in this one's place.
  return nn.max_pool(
    x_BxHxWxC,
    window_shape=(4, 4),
    strides=(stride, stride),
    padding=padding,
  )


def max_pool_4_stride_2(x_BxHxWxC: jax.Array) -> jax.Array:
  """Windows of 4 × 4 with stride 2, padding `SAME`, for even H and W."""
  return _pool_4_stride_2(_pool_4_stride_2(x_BxHxWxC, 1), 2)


def max_pool_4_stride_4(x_BxHxWxC: jax.Array) -> jax.Array:
  """Windows of 4 × 4 with stride 4, padding `VALID`."""
  _, height, width, _ = x_BxHxWxC.shape
  x_BxHxWxC = x_BxHxWxC[:, : height // 4 * 4, : width // 4 * 4]
  for axis in (1, 1, 2, 2):
    x_BxHxWxC = halve(x_BxHxWxC, axis)
  return x_BxHxWxC


def max_pool_3_stride_2(x_BxHxWxC: jax.Array) -> jax.Array:
  """Windows of 3 × 3 with stride 2, a pixel of padding on each side."""
  return _pool_3_stride_2(_pool_3_stride_2(x_BxHxWxC, 1), 2)


def _pool_4_stride_2(x: jax.Array, axis: int) -> jax.Array:
  # With one row of padding in front, window k is the pairs k and k + 1.
  padding = [(0, 0)] * x.ndim
  padding[axis] = (1, 1)
  pairs = halve(jnp.pad(x, padding, constant_values=-jnp.inf), axis)
  first = jax.lax.slice_in_dim(pairs, 0, -1, axis=axis)
  second = jax.lax.slice_in_dim(pairs, 1, None, axis=axis)
  return _larger(first, second)


def _pool_3_stride_2(x: jax.Array, axis: int) -> jax.Array:
  # With one row of padding in front, window k is pair k and the row after it.
  pairs = (x.shape[axis] + 1) // 2
  padding = [(0, 0)] * x.ndim
  padding[axis] = 1, 2 * pairs - x.shape[axis]
  padded = jnp.pad(x, padding, constant_values=-jnp.inf)
  pair = halve(jax.lax.slice_in_dim(padded, 0, 2 * pairs, axis=axis), axis)
  after = jax.lax.slice_in_dim(padded, 2, None, stride=2, axis=axis)
  return _larger(pair, after)


def halve(x: jax.Array, axis: int) -> jax.Array:
  """The maxima of neighbours 2k and 2k + 1."""
  paired = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
  even = jax.lax.index_in_dim(paired, 0, axis + 1, keepdims=False)
  odd = jax.lax.index_in_dim(paired, 1, axis + 1, keepdims=False)
  return _larger(even, odd)


def _larger(first: jax.Array, second: jax.Array) -> jax.Array:
  # Unlike jnp.maximum's, the gradient goes to one of two equal values.
  return jnp.where(second <= first, first, second)
