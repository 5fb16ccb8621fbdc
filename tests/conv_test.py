"""The convolution equals XLA's, with all gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imat_jax.models import conv, kernels
from imat_jax.training import sharding

needs_kernel = pytest.mark.skipif(
  kernels.kernels() is None, reason='no C++ compiler made the kernels here'
)

CASES = [  # size, stride, height and width, channels, filters
  (1, 1, (5, 5), 16, 24),
  (1, 1, (23, 17), 41, 56),
  (3, 1, (3, 2), 16, 32),  # less than the kernel makes at once
  (3, 1, (4, 5), 16, 32),
  (3, 1, (9, 11), 8, 40),
  (3, 1, (8, 16), 24, 96),
  (3, 2, (17, 20), 3, 16),
  (3, 1, (9, 11), 3, 40),
]


def _arguments(size, sides, channels, filters, batch=3):
  rng = np.random.default_rng(0)

  def normal(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)

  # Such that ReLU6 cuts on both sides.
  return (
    normal(batch, *sides, channels),
    normal(size, size, channels, filters),
    normal(filters) + 2,
  )


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _value_and_gradients(function, x, kernel, bias_C, stride, relu6):
  y, pull = jax.vjp(
    lambda *a: function(*a, stride, relu6), *(x, kernel, bias_C)
  )
  dy = jnp.cos(jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape))
  return y, pull(dy)


def _assert_close(actual, expected):
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-3)
  jax.tree.map(close, actual, expected)


@needs_kernel
@pytest.mark.parametrize('relu6', [True, False])
@pytest.mark.parametrize(
  ('size', 'stride', 'sides', 'channels', 'filters'), CASES
)
def test_kernel_equals_plain(size, stride, sides, channels, filters, relu6):
  arguments = *_arguments(size, sides, channels, filters), stride, relu6
  assert 'ffi_call' in str(
    jax.make_jaxpr(lambda x: conv.conv(x, *arguments[1:]))(arguments[0])
  )
  actual = _value_and_gradients(conv.conv, *arguments)
  expected = _value_and_gradients(conv.plain, *arguments)
  _assert_close(actual, expected)


def test_a_product_is_the_convolution():
  x, kernel, bias_C = _arguments(1, (5, 6), 16, 24)
  expected = jax.lax.conv_general_dilated(
    x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )
  actual = conv.plain(x, kernel, jnp.zeros_like(bias_C))
  _assert_close(actual, expected)


@needs_kernel
@pytest.mark.parametrize(
  ('size', 'side', 'stride'), [(3, 3, 2), (1, 2, 1), (1, 8, 2)]
)
def test_what_does_not_fit_takes_the_plain_way(size, side, stride):
  arguments = _arguments(size, (side, side), 16, 16)
  traced = jax.make_jaxpr(lambda *a: conv.conv(*a, stride))(*arguments)
  assert 'ffi_call' not in str(traced)


@needs_kernel
def test_portable_needs_no_kernel():
  arguments = _arguments(3, (8, 8), 8, 16)
  with kernels.portable():
    assert 'ffi_call' not in str(jax.make_jaxpr(conv.conv)(*arguments))


def test_runs_of_a_study_at_once():
  x, kernel, bias_C = _arguments(3, (8, 8), 8, 16)

  def gradient(kernel):
    return jax.grad(lambda k: conv.conv(x, k, bias_C).sum())(kernel)

  both = jax.vmap(gradient)(jnp.stack([kernel, -kernel]))
  np.testing.assert_allclose(both[1], gradient(-kernel), rtol=1e-5)


@pytest.mark.devices(4)
def test_a_mesh_of_devices():
  arguments = _arguments(3, (8, 8), 8, 16, batch=8)
  expected = _value_and_gradients(conv.plain, *arguments, 1, True)
  with sharding.set_mesh(8):
    x_BxHxWxC = sharding.shard_batch(arguments[0])
    whole = sharding.replicate(arguments[1:])
    actual = _value_and_gradients(conv.conv, x_BxHxWxC, *whole, 1, True)
    _assert_close(jax.device_get(actual), expected)


@needs_kernel
def test_a_broken_filter_shows():
  x, kernel, bias_C = _arguments(3, (8, 8), 8, 16)
  broken = kernel.at[:, :, :, 3].set(jnp.nan)
  y = conv.conv(x, broken, bias_C, relu6=True)
  assert jnp.isnan(y[..., 3]).all()
  assert jnp.isfinite(jnp.delete(y, 3, axis=-1)).all()
