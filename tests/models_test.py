"""The networks: parameter counts of the report, pooling, dropout."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import linen as nn

from imat_jax import tasks
from imat_jax.models import network as network_lib
from imat_jax.models import pooling
from imat_jax.models.network import Network
from imat_jax.models.presets import paper

APPAREL = tasks.Task('apparel', ('dress', 'outerwear', 'pants', 'shoe'))
MATERIAL = tasks.Task('material', tuple(f'material {n}' for n in range(34)))


def _shapes(model, *task_list):
  network = Network(model, tasks.TaskSet(task_list))
  image = jax.ShapeDtypeStruct((1, *model.trunk.shape, 3), jnp.float32)

  def init(key, x):
    return network.init(key, x, deterministic=True)

  return jax.eval_shape(init, jax.random.key(0), image)['params']


@pytest.mark.parametrize('geometry', ['report', 'original'])
@pytest.mark.parametrize(
  ('model', 'task_list', 'count'),
  [
    (paper.PUBLIC_3M, (APPAREL,), 3_354_428),
    (paper.PUBLIC_1_4M, (APPAREL,), 1_358_618),
    (paper.PRIVATE_1_4M, (APPAREL,), 1_069_852),
    (paper.PRIVATE_1_4M, (APPAREL, MATERIAL), 1_297_550),
  ],
)
def test_parameter_counts_of_the_report(geometry, model, task_list, count):
  trunk = dataclasses.replace(model.trunk, geometry=geometry)
  model = dataclasses.replace(model, trunk=trunk)
  assert network_lib.num_params(model, tasks.TaskSet(task_list)) == count


@pytest.mark.parametrize('geometry', ['report', 'original'])
def test_flattened_size(geometry):
  trunk = dataclasses.replace(paper.PUBLIC_3M.trunk, geometry=geometry)
  model = dataclasses.replace(paper.PUBLIC_3M, trunk=trunk)
  shapes = _shapes(model, APPAREL)
  assert shapes['trunk']['dense_0']['kernel'].shape == (8192, 384)


@pytest.mark.parametrize(
  ('pool', 'window', 'stride', 'padding', 'size'),
  [
    (pooling.max_pool_4_stride_2, 4, 2, 'SAME', 8),
    (pooling.max_pool_4_stride_2, 4, 2, 'SAME', 2),
    (pooling.max_pool_4_stride_4, 4, 4, 'VALID', 12),
    (pooling.max_pool_4_stride_4, 4, 4, 'VALID', 10),
    (pooling.max_pool_3_stride_2, 3, 2, [(1, 1), (1, 1)], 8),
    (pooling.max_pool_3_stride_2, 3, 2, [(1, 1), (1, 1)], 7),
  ],
)
def test_pooling_equals_max_pool(pool, window, stride, padding, size):
  x = jax.random.normal(jax.random.key(1), (2, size, size + 4, 3))

  def plain(x):
    return nn.max_pool(x, (window, window), (stride, stride), padding)

  np.testing.assert_array_equal(pool(x), plain(x))
  weight = jax.random.normal(jax.random.key(2), plain(x).shape)

  @functools.partial(tiny.jit, static_argnums=0)
  def gradient(pooled, x):
    return jax.grad(lambda x: jnp.sum(pooled(x) * weight))(x)

  np.testing.assert_allclose(gradient(pool, x), gradient(plain, x), atol=1e-6)


def test_the_first_of_tied_maxima_has_the_gradient():
  x = jnp.ones((1, 4, 4, 1))
  gradient = jax.grad(lambda x: pooling.max_pool_4_stride_4(x).sum())(x)
  np.testing.assert_array_equal(
    gradient, jnp.zeros_like(x).at[0, 0, 0, 0].set(1)
  )


def test_dropout_only_in_training():
  network = Network(tiny.SMALL, tasks.TaskSet((APPAREL,)))
  image = jax.random.uniform(jax.random.key(3), (2, 32, 32, 3))
  init = functools.partial(network.init, deterministic=True)
  params = tiny.jit(init)(jax.random.key(0), image)

  def apply(seed, deterministic):
    return network.apply(
      params,
      image,
      deterministic=deterministic,
      rngs={'dropout': jax.random.key(seed)},
    )

  np.testing.assert_array_equal(apply(1, True), apply(2, True))
  assert not np.allclose(apply(1, False), apply(2, False))


def test_a_start_compiled_with_less_effort_is_the_same():
  network = Network(tiny.SMALL, tasks.TaskSet((APPAREL,)))
  init = functools.partial(network.init, deterministic=True)
  arguments = jax.random.key(0), network_lib.trained_input(tiny.SMALL.trunk)
  jax.tree.map(
    np.testing.assert_array_equal,
    tiny.jit(init)(*arguments),
    tiny.jit(init)(*arguments),
  )
