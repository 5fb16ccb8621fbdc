"""The stacked heads: equal to single ones, and their padding stays zero."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from flax import linen as nn

from imat_jax import config, tasks
from imat_jax.models import network as network_lib
from imat_jax.models.network import Network
from imat_jax.training import losses

SMALL = dataclasses.replace(tiny.MODEL, head_widths=(128,))
ACTIVATIONS = {'relu': nn.relu, 'tanh': jnp.tanh}


def _task(name, number) -> tasks.Task:
  return tasks.Task(name, tuple(map(str, range(number))))


# Not in alphabetical order; one has a single label.
TASKS = tasks.TaskSet(
  (_task('type', 4), _task('age', 1), _task('color', 7), _task('brand', 2))
)
FEATURE_BxD = np.random.default_rng(1).normal(size=(6, 8)).astype(np.float32)
LABEL_BxT = np.array(
  [
    [3, -1, 6, -1],
    [-1, -1, -1, -1],
    [0, 0, -1, -1],
    [-1, -1, 0, -1],
    [1, -1, 3, -1],
    [-1, 0, 5, -1],
  ]
)


class Head(nn.Module):
  """What one task of the stack has to equal: plain dense layers."""

  model: config.Model
  num_labels: int

  @nn.compact
  def __call__(self, x_BxD):
    scale = self.num_labels if self.model.head_widths_per_label else 1
    for number, width in enumerate(self.model.head_widths):
      x_BxD = nn.Dense(width * scale, name=f'dense_{number}')(x_BxD)
      x_BxD = ACTIVATIONS[self.model.head_activation](x_BxD)
    return nn.Dense(self.num_labels, name='logits')(x_BxD)


def _head(model, task) -> Head:
  return Head(model, len(task.labels))


def _head_shapes(model, task, num_features) -> dict:
  x_BxD = jnp.zeros((1, num_features))
  init = functools.partial(_head(model, task).init, jax.random.key(0))
  return jax.eval_shape(init, x_BxD)['params']


def _cut(stacked, model, task, t) -> dict:
  """The part of task t, without padding."""
  num_features = next(iter(stacked.values()))['kernel'].shape[0]
  shapes = _head_shapes(model, task, num_features)

  def of_layer(name):
    fan_in, fan_out = shapes[name]['kernel'].shape
    kernel_DxTxW, bias_TxW = stacked[name]['kernel'], stacked[name]['bias']
    return {
      'kernel': kernel_DxTxW[:fan_in, t, :fan_out],
      'bias': bias_TxW[t, :fan_out],
    }

  return {name: of_layer(name) for name in shapes}


def _padding(stacked, model) -> dict:
  """The stack with every task's own part set to zero."""
  stacked = jax.tree.map(np.array, stacked)
  for t, task in enumerate(TASKS):
    jax.tree.map(lambda part: part.fill(0), _cut(stacked, model, task, t))
  return stacked


def _start(model) -> dict:
  """Parameters in which no task's part is zero, biases neither."""
  init = tiny.jit(network_lib.Heads(model, TASKS).init)
  params = init(jax.random.key(0), FEATURE_BxD)
  params = jax.tree.map(np.array, params['params'])
  for t, task in enumerate(TASKS):
    for layer in _cut(params, model, task, t).values():
      layer['bias'] += np.linspace(-0.5, 0.7, layer['bias'].size)
  return params


def _models(*widths):
  return [
    dataclasses.replace(
      SMALL, head_widths=each, head_widths_per_label=per_label
    )
    for each in widths
    for per_label in (False, True)
  ]


RELU = dataclasses.replace(
  SMALL,
  head_widths=(4, 3),
  head_activation='relu',
  head_widths_per_label=True,
)


@pytest.mark.parametrize('model', [*_models((), (5,), (4, 3)), RELU])
def test_the_stack_equals_single_heads(model):
  weight_T = jnp.array([1.0, 0.5, 0.25, 0.3])

  def stacked(params, feature_BxD):
    logits_BxTxK = network_lib.Heads(model, TASKS).apply(
      {'params': params}, feature_BxD
    )
    return losses.weighted_sum(
      losses.masked_cross_entropy(logits_BxTxK, LABEL_BxT), weight_T
    )

  def single(params, feature_BxD):
    total = 0.0
    for t, task in enumerate(TASKS):
      kept_B = LABEL_BxT[:, t] >= 0
      if kept_B.any():
        logits_BxK = _head(model, task).apply(
          {'params': _cut(params, model, task, t)}, feature_BxD[kept_B]
        )
        log_share_BxK = jax.nn.log_softmax(logits_BxK)
        label_B = LABEL_BxT[kept_B, t]
        total -= (
          weight_T[t] * log_share_BxK[np.arange(len(label_B)), label_B].mean()
        )
    return total

  params = jax.tree.map(jnp.asarray, _start(model))
  value, gradient = (
    tiny.jit(jax.value_and_grad(loss, (0, 1)))(params, FEATURE_BxD)
    for loss in (stacked, single)
  )
  close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
  jax.tree.map(close, value, gradient)


@pytest.mark.parametrize('model', [*_models((4, 3)), RELU])
def test_padding_stays_zero(model):
  stack = network_lib.Heads(model, TASKS)
  params = jax.tree.map(jnp.asarray, _start(model))
  adam = optax.adam(0.05)

  def loss(params):
    logits_BxTxK = stack.apply({'params': params}, FEATURE_BxD)
    sums = losses.masked_cross_entropy(logits_BxTxK, LABEL_BxT)
    return losses.weighted_sum(sums, jnp.ones(len(TASKS)))

  @tiny.jit
  def step(params, opt_state):
    gradient = jax.grad(loss)(params)
    update, opt_state = adam.update(gradient, opt_state)
    return optax.apply_updates(params, update), opt_state, gradient

  now, opt_state = params, adam.init(params)
  for _ in range(3):
    now, opt_state, gradient = step(now, opt_state)
    for part in (now, gradient):
      leaves = jax.tree.leaves(_padding(part, model))
      assert not any(leaf.any() for leaf in leaves)
  assert loss(now) < loss(params)


def test_what_is_no_label_has_no_share():
  model = dataclasses.replace(SMALL, head_widths=(4,))
  params = {'params': _start(model)}
  logits_BxTxK = network_lib.Heads(model, TASKS).apply(params, FEATURE_BxD)
  assert logits_BxTxK.shape == (6, 4, 7)
  share_BxTxK = jax.nn.softmax(logits_BxTxK)
  for t, task in enumerate(TASKS):
    number = len(task.labels)
    assert not share_BxTxK[:, t, number:].any()
    np.testing.assert_allclose(share_BxTxK[:, t, :number].sum(1), 1, rtol=1e-5)


def test_a_start_does_not_depend_on_the_other_tasks():
  model = dataclasses.replace(
    SMALL, head_widths=(2, 3), head_widths_per_label=True
  )

  def start_of_type(*names):
    network = Network(model, TASKS.select(names))
    image = jnp.zeros((1, 128, 128, 3))
    init = tiny.jit(functools.partial(network.init, deterministic=True))
    params = init(jax.random.key(5), image)['params']
    head = _cut(params['heads'], model, TASKS['type'], names.index('type'))
    return params['trunk'], head

  alone, among = start_of_type('type'), start_of_type('color', 'type')
  jax.tree.map(np.testing.assert_array_equal, alone, among)


def test_a_start_is_glorot_uniform():
  model = dataclasses.replace(SMALL, head_widths=(60,))
  pair = tasks.TaskSet((_task('type', 4), _task('color', 34)))
  init = tiny.jit(network_lib.Heads(model, pair).init)
  params = init(jax.random.key(0), jnp.zeros((1, 100)))['params']
  for t, task in enumerate(pair):
    for layer in _cut(params, model, task, t).values():
      limit = (6 / sum(layer['kernel'].shape)) ** 0.5
      assert 0.95 * limit < jnp.abs(layer['kernel']).max() < limit
      assert jnp.std(layer['kernel']) == pytest.approx(limit / 3**0.5, rel=0.1)
      assert not layer['bias'].any()
  first, second = params['dense_0']['kernel'].swapaxes(0, 1)
  assert not np.allclose(first, second)


@pytest.mark.parametrize('model', _models((), (4, 3)))
def test_padding_is_no_parameter(model):
  network = Network(model, TASKS)
  init = functools.partial(network.init, deterministic=True)
  image = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32)
  shapes = jax.eval_shape(init, jax.random.key(0), image)['params']
  parts = [shapes['trunk'], *(_head_shapes(model, task, 8) for task in TASKS)]
  expected = sum(leaf.size for leaf in jax.tree.leaves(parts))
  assert network_lib.num_params(model, TASKS) == expected
