"""The depthwise convolution equals XLA's grouped one, with all gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imat_jax.models import conv, depthwise, kernels
from imat_jax.training import sharding

needs_kernel = pytest.mark.skipif(
  kernels.kernels() is None, reason='no C++ compiler made the kernels here'
)


def _arguments(size, sides, channels, batch=3):
  rng = np.random.default_rng(0)

  def normal(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)

  # So large that ReLU6 cuts on both sides.
  return (
    2 * normal(batch, *sides, channels),
    normal(size, size, 1, channels),
    normal(channels) + 2,
  )


def _grouped(x_BxHxWxC, kernel, bias_C, stride):
  convolved = depthwise.grouped_convolution(x_BxHxWxC, kernel, stride)
  return jax.nn.relu6(convolved + bias_C[None, None, None])


@functools.partial(jax.jit, static_argnums=(0, 4))
def _value_and_gradients(function, x, kernel, bias_C, stride):
  y, pull = jax.vjp(lambda *a: function(*a, stride), x, kernel, bias_C)
  dy = jnp.cos(jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape))
  return y, pull(dy)


def _assert_close(actual, expected, atol):
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=atol)
  jax.tree.map(close, actual, expected)


CASES = [  # size, stride, height and width
  (3, 1, (7, 8)),
  (3, 2, (12, 5)),
  (5, 1, (2, 1)),
  (5, 2, (7, 8)),
]


@needs_kernel
@pytest.mark.parametrize(('size', 'stride', 'sides'), CASES)
def test_kernel_equals_the_grouped_convolution(size, stride, sides):
  arguments = _arguments(size, sides, 48)
  actual = _value_and_gradients(depthwise.depthwise, *arguments, stride)
  expected = _value_and_gradients(_grouped, *arguments, stride)
  _assert_close(actual, expected, atol=1e-4)


@pytest.mark.parametrize(('size', 'stride', 'sides'), CASES)
def test_plain_equals_the_grouped_convolution(size, stride, sides):
  arguments = _arguments(size, sides, 6)
  actual = depthwise.plain(*arguments, stride)
  _assert_close(actual, _grouped(*arguments, stride), atol=1e-4)


@needs_kernel
@pytest.mark.parametrize(('size', 'stride'), [(3, 2), (5, 1)])
def test_the_expansion_in_the_cache_is_the_same(size, stride):
  x_BxHxWxC, _, _ = _arguments(size, (9, 11), 24)
  _, kernel, bias_C = _arguments(size, (9, 11), 48)
  filters = jnp.cos(jnp.arange(24.0 * 48)).reshape(1, 1, 24, 48)
  arguments = x_BxHxWxC, filters, bias_C, kernel, bias_C

  def one_by_one(x_BxHxWxC, filters, shift_C, kernel, bias_C, stride):
    x_BxHxWxC = conv.plain(x_BxHxWxC, filters, shift_C, relu6=True)
    return _grouped(x_BxHxWxC, kernel, bias_C, stride)

  expected = one_by_one(*arguments, stride)
  _assert_close(depthwise.expanded(*arguments, stride), expected, atol=1e-4)

  def gradients(function):
    return jax.grad(lambda *a: function(*a, stride).sum(), range(5))(*arguments)

  actual, expected = gradients(depthwise.expanded), gradients(one_by_one)
  _assert_close(actual, expected, atol=1e-3)


@needs_kernel
def test_only_whole_registers_of_channels_take_the_kernel():
  def traced(channels):
    arguments = _arguments(3, (8, 8), channels)
    return str(
      jax.make_jaxpr(lambda *a: depthwise.depthwise(*a, 1))(*arguments)
    )

  assert 'ffi_call' in traced(16)
  assert 'ffi_call' not in traced(24)
  with kernels.portable():
    assert 'ffi_call' not in traced(16)


def test_runs_of_a_study_at_once():
  x, kernel, bias_C = _arguments(3, (6, 6), 16)

  def gradient(kernel):
    return jax.grad(lambda k: depthwise.depthwise(x, k, bias_C, 2).sum())(
      kernel
    )

  both = jax.vmap(gradient)(jnp.stack([kernel, -kernel]))
  np.testing.assert_array_equal(both[1], gradient(-kernel))


@pytest.mark.devices(4)
def test_a_mesh_of_devices():
  arguments = _arguments(3, (6, 6), 16, batch=8)
  expected = _value_and_gradients(_grouped, *arguments, 1)
  with sharding.set_mesh(8):
    x_BxHxWxC = sharding.shard_batch(arguments[0])
    whole = sharding.replicate(arguments[1:])
    actual = _value_and_gradients(depthwise.depthwise, x_BxHxWxC, *whole, 1)
    _assert_close(jax.device_get(actual), expected, atol=1e-4)


@needs_kernel
def test_a_broken_filter_shows():
  x, kernel, bias_C = _arguments(3, (6, 6), 16)
  broken = kernel.at[:, :, :, 3].set(jnp.nan)
  y = depthwise.depthwise(x, broken, bias_C, 1)
  assert jnp.isnan(y[..., 3]).all()
  assert jnp.isfinite(jnp.delete(y, 3, axis=-1)).all()
