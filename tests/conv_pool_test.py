"""Convolution with pooling: the compiled kernel equals XLA's operations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from imat_jax.models import conv_pool
from imat_jax.models import kernels as kernels_lib

# Channels, filters, stride, side: what the two geometries need.
CASES = [
  (3, 8, 2, 128),
  (8, 16, 2, 64),
  (16, 32, 2, 32),
  (3, 8, 4, 256),
  (8, 16, 4, 64),
  (16, 32, 1, 16),
]

needs_kernel = pytest.mark.skipif(
  kernels_lib.kernels() is None, reason='no C++ compiler made the kernels here'
)


def _integers(seed, shape, high):
  """Small whole numbers: sums of their products are exact in any order."""
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.integers(-high, high + 1, shape), jnp.float32)


def _arguments(channels, filters, side, batch=3):
  return (
    _integers(0, (batch, side, side, channels), 4),
    _integers(1, (4, 4, channels, filters), 3),
    _integers(2, (filters,), 5),
  )


@functools.partial(jax.jit, static_argnums=(0, 4))
def _value_and_gradients(function, x, kernel, bias_C, stride):
  def total(*arguments):
    y = function(*arguments, stride)
    weight = jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape) % 5 - 2
    return jnp.sum(y * weight), y

  gradients, y = jax.grad(total, (0, 1, 2), has_aux=True)(x, kernel, bias_C)
  return y, gradients


@needs_kernel
@pytest.mark.parametrize(('channels', 'filters', 'stride', 'side'), CASES)
def test_kernel_equals_plain_with_ties(channels, filters, stride, side):
  assert kernels_lib.register(
    f'conv_pool_forward_{channels}_{filters}_{stride}'
  )
  arguments = _arguments(channels, filters, side)
  actual = _value_and_gradients(conv_pool.conv_pool, *arguments, stride)
  expected = _value_and_gradients(conv_pool.plain, *arguments, stride)
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


@needs_kernel
@pytest.mark.parametrize('level', ['x86_64_v3', 'x86_64_v4', 'any'])
def test_each_instruction_set_gives_the_same(level, monkeypatch):
  features = {level: kernels_lib._FEATURES[level]}
  monkeypatch.setattr(kernels_lib, '_FEATURES', features)
  if kernels_lib.kernels.__wrapped__() is None:
    pytest.skip(f'this machine has no {level}')
  lib = kernels_lib.kernels.__wrapped__()
  name = f'imat_jax_test_forward_{level}'
  handler = jax.ffi.pycapsule(lib.conv_pool_forward_8_16_2)
  jax.ffi.register_ffi_target(name, handler, platform='cpu')
  x, kernel, bias_C = _arguments(8, 16, 64)
  shape = (3, 32, 32, 16)
  y, _ = jax.ffi.ffi_call(
    name,
    [jax.ShapeDtypeStruct(shape, t) for t in (jnp.float32, jnp.uint8)],
  )(x, kernel, bias_C)
  np.testing.assert_array_equal(y, conv_pool.plain(x, kernel, bias_C, 2))


@needs_kernel
@pytest.mark.parametrize(('channels', 'filters', 'stride', 'side'), CASES[:3])
def test_kernel_equals_plain_on_real_numbers(channels, filters, stride, side):
  key_x, key_k, key_b = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(key_x, (20, side, side, channels))
  kernel = jax.random.normal(key_k, (4, 4, channels, filters)) / 8
  bias_C = jax.random.normal(key_b, (filters,))
  y, _ = _value_and_gradients(conv_pool.conv_pool, x, kernel, bias_C, stride)
  plain, _ = _value_and_gradients(conv_pool.plain, x, kernel, bias_C, stride)
  np.testing.assert_allclose(y, plain, atol=1e-5)


@pytest.mark.parametrize(('channels', 'filters', 'stride', 'side'), CASES)
def test_bytes_are_255ths(channels, filters, stride, side):
  key_x, key_k = jax.random.split(jax.random.key(0))
  x = jax.random.bits(key_x, (3, side, side, channels), np.uint8)
  kernel = jax.random.normal(key_k, (4, 4, channels, filters)) / 8
  bias_C = jnp.zeros(filters)

  @functools.partial(jax.jit, static_argnums=0)
  def value_and_gradients(as_floats, x):
    x = x.astype(jnp.float32) / 255 if as_floats else x
    y, pull_back = jax.vjp(
      lambda *params: conv_pool.conv_pool(x, *params, stride), kernel, bias_C
    )
    return y, pull_back(y)

  actual, expected = value_and_gradients(False, x), value_and_gradients(True, x)
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_plain_equals_linen():
  x, kernel, bias_C = _arguments(8, 16, 64)
  conv = nn.Conv(16, (4, 4))
  convolved = conv.apply({'params': {'kernel': kernel, 'bias': bias_C}}, x)
  expected = nn.relu(nn.max_pool(convolved, (4, 4), (2, 2), 'SAME'))
  actual = conv_pool.plain(x, kernel, bias_C, 2)
  np.testing.assert_array_equal(actual, expected)


def test_batch_smaller_than_the_parts_and_odd():
  for batch in (1, 17):
    arguments = _arguments(8, 16, 64, batch)
    actual = _value_and_gradients(conv_pool.conv_pool, *arguments, 2)
    expected = _value_and_gradients(conv_pool.plain, *arguments, 2)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize('side', [4, 8, 14, 16, 18, 30])
def test_narrow_pictures(side):
  arguments = _arguments(8, 16, side)
  actual = _value_and_gradients(conv_pool.conv_pool, *arguments, 2)
  expected = _value_and_gradients(conv_pool.plain, *arguments, 2)
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_a_broken_filter_shows():
  x, kernel, bias_C = _arguments(8, 16, 64)
  broken = kernel.at[:, :, :, 3].set(jnp.nan)
  y = conv_pool.conv_pool(x, broken, bias_C, 2)
  assert jnp.isnan(y[..., 3]).any((1, 2)).all()
  assert jnp.isfinite(jnp.delete(y, 3, axis=-1)).all()


def test_other_filters_take_the_plain_way():
  arguments = _arguments(5, 7, 16)
  assert kernels_lib.register('conv_pool_forward_5_7_2') is None
  np.testing.assert_array_equal(
    conv_pool.conv_pool(*arguments, 2), conv_pool.plain(*arguments, 2)
  )


@pytest.mark.parametrize(('channels', 'filters', 'stride', 'side'), CASES)
def test_portable_is_the_same_without_a_kernel(channels, filters, stride, side):
  arguments = _arguments(channels, filters, side)

  def traced(*given):
    return str(
      jax.make_jaxpr(lambda *a: conv_pool.conv_pool(*a, stride))(*given)
    )

  before = traced(*arguments)
  with kernels_lib.portable():
    y = conv_pool.conv_pool(*arguments, stride)
    assert 'ffi_call' not in traced(*arguments)
  np.testing.assert_array_equal(y, conv_pool.plain(*arguments, stride))
  assert traced(*arguments) == before
  assert ('ffi_call' in before) == (kernels_lib.kernels() is not None)


def test_runs_of_a_study_at_once():
  x, kernel, bias_C = _arguments(8, 16, 64)
  kernels = jnp.stack([kernel, -kernel])

  def gradient(kernel):
    return jax.grad(lambda k: conv_pool.conv_pool(x, k, bias_C, 2).sum())(
      kernel
    )

  both = jax.vmap(gradient)(kernels)
  np.testing.assert_array_equal(both[1], gradient(-kernel))
