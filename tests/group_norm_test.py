"""The kernel of the normalisation equals linen's, with all gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imat_jax.models import group_norm, kernels
from imat_jax.training import sharding

pytestmark = pytest.mark.skipif(
  kernels.kernels() is None, reason='no C++ compiler made the kernels here'
)


def _arguments(sides, channels, batch=3):
  rng = np.random.default_rng(0)

  def normal(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)

  x_BxHxWxC = 2 * normal(batch, *sides, channels) + normal(1, 1, 1, channels)
  return x_BxHxWxC, normal(channels), normal(channels)


@functools.partial(jax.jit, static_argnums=(0, 4))
def _value_and_gradients(function, x, scale_C, bias_C, relu):
  y, pull = jax.vjp(lambda *a: function(*a, relu), *(x, scale_C, bias_C))
  dy = jnp.cos(jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape))
  return y, pull(dy)


def _assert_close(actual, expected):
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
  jax.tree.map(close, actual, expected)


@pytest.mark.parametrize('relu', [True, False])
@pytest.mark.parametrize(
  ('sides', 'channels'), [((4, 4), 8), ((5, 7), 40), ((1, 1), 16)]
)
def test_kernel_equals_plain(sides, channels, relu):
  arguments = *_arguments(sides, channels), relu
  actual = _value_and_gradients(group_norm.group_norm, *arguments)
  expected = _value_and_gradients(group_norm.plain, *arguments)
  _assert_close(actual, expected)


def test_runs_of_a_study_at_once():
  x, scale_C, bias_C = _arguments((4, 4), 16)

  def gradient(scale_C):
    return jax.grad(lambda s: group_norm.group_norm(x, s, bias_C, True).sum())(
      scale_C
    )

  both = jax.vmap(gradient)(jnp.stack([scale_C, -scale_C]))
  np.testing.assert_allclose(both[1], gradient(-scale_C), rtol=1e-5)


@pytest.mark.devices(4)
def test_a_mesh_of_devices():
  arguments = _arguments((4, 4), 16, batch=8)
  expected = _value_and_gradients(group_norm.plain, *arguments, True)
  with sharding.set_mesh(8):
    x_BxHxWxC = sharding.shard_batch(arguments[0])
    whole = sharding.replicate(arguments[1:])
    actual = _value_and_gradients(
      group_norm.group_norm, x_BxHxWxC, *whole, True
    )
    _assert_close(jax.device_get(actual), expected)


def test_portable_needs_no_kernel():
  def traced():
    arguments = _arguments((4, 4), 16)
    return str(
      jax.make_jaxpr(lambda *a: group_norm.group_norm(*a, True))(*arguments)
    )

  assert 'ffi_call' in traced()
  with kernels.portable():
    assert 'ffi_call' not in traced()
