"""The Gramian of the tasks' gradients, at the features and at the trunk."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from flax import linen as nn
from jax import flatten_util

from experiments import public_3m
from imat_jax import config, flags, options, tasks
from imat_jax.data.types import Batch
from imat_jax.models import trunks
from imat_jax.models.network import Network
from imat_jax.models.presets import imagenet
from imat_jax.models.trunks.paper import Paper
from imat_jax.strategies.weighted_sum import WeightedSum
from imat_jax.training import (
  compiled,
  gradients,
  inputs,
  losses,
  rng,
  sharding,
  state,
)
from imat_jax.training.ensemble import Ensemble

FORMS = 'features', 'trunk'
TASKS = tasks.TaskSet(
  tuple(
    tasks.Task(name, ('a', 'b', 'c')[:number])
    for name, number in (('color', 3), ('age', 2), ('length', 2))
  )
)
# Photos with each task's labels, some missing: color, age, length.
LABELS = {
  'some': [[0, 1, -1], [2, -1, 0], [-1, -1, -1], [1, 0, 1]],
  'no age': [[0, -1, -1], [2, -1, 0], [1, -1, 1], [0, -1, 1]],
  'nothing': [[-1, -1, -1]] * 4,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dense(trunks.Trunk):
  """Dense layers on the mean colors; the first ones may be frozen."""

  layers: int = 2
  frozen: int = 0
  dropout: float = 0.0

  def trains(self, name: str) -> bool:
    return int(name.removeprefix('dense_')) >= self.frozen

  def make(self) -> nn.Module:
    return _Dense(self)


class _Dense(nn.Module):
  config: Dense

  @nn.compact
  def __call__(self, image_BxHxWxC, *, deterministic):
    x_BxD = trunks.as_float(image_BxHxWxC).mean((1, 2))
    for number in range(self.config.layers):
      x_BxD = nn.Dense(4, name=f'dense_{number}')(x_BxD)
    return nn.Dropout(self.config.dropout)(x_BxD, deterministic=deterministic)


def _model(**trunk_options) -> config.Model:
  return config.Model(
    trunk=Dense(**trunk_options, image_size=8), head_widths=()
  )


def _batch(label_BxT, size: int = 8) -> Batch:
  rng = np.random.default_rng(0)
  shape = len(label_BxT), size, size, 3
  return Batch(rng.integers(0, 256, shape, np.uint8), np.array(label_BxT))


@functools.cache
def _start(model, strategy, weight_T=(1, 0.5, 0.7)) -> state.TrainState:
  return tiny.fresh(Network(model, TASKS), optax.sgd(0.1), weight_T, strategy)


@functools.partial(tiny.jit, static_argnums=(0, 1))
def _result(model, strategy, before, batch) -> gradients.Result:
  compute = (
    gradients.with_gramian if strategy.gradients_at else gradients.of_sum
  )
  return compute(
    Network(model, TASKS),
    strategy,
    lambda logits: losses.masked_cross_entropy(logits, batch.label_BxT),
    before,
    batch.image_BxHxWxC,
  )


def _gramian(model, at, before, batch) -> jax.Array:
  return _result(model, tiny.KeepsGramian(at), before, batch).strategy


@functools.partial(tiny.jit, static_argnums=(0, 1))
def _slow_gramian(model, at, before, batch) -> jax.Array:
  """A gradient for each of the run's tasks, by itself."""
  network, trunk = Network(model, TASKS), before.params['trunk']
  dropout = rng.key(before.seed, 'dropout', before.step)

  def features(trained):
    return network.apply(
      {'params': before.params | {'trunk': trunk | trained}},
      batch.image_BxHxWxC,
      deterministic=False,
      rngs={'dropout': dropout},
      method='features',
    )

  def loss_of(feature_BxD, t):
    logits_BxTxK = network.apply(
      {'params': before.params}, feature_BxD, method='classify'
    )
    number = len(TASKS.tasks[t].labels)
    log_BxK = jax.nn.log_softmax(logits_BxTxK[:, t, :number])
    hot_BxK = jax.nn.one_hot(batch.label_BxT[:, t], number)  # 0 without a label
    return -(log_BxK * hot_BxK).sum() / jnp.maximum(1, hot_BxK.sum())

  trained = {name: x for name, x in trunk.items() if model.trunk.trains(name)}
  rows = []
  for t in range(len(TASKS)):
    if at == 'trunk':
      gradient = jax.grad(lambda x, t=t: loss_of(features(x), t))(trained)
    else:
      gradient = jax.grad(loss_of)(features(trained), t)
    gradient_P, _ = flatten_util.ravel_pytree(gradient)
    rows.append(gradient_P * (before.weight_T[t] > 0))
  gradient_TxP = jnp.stack(rows)
  return gradient_TxP @ gradient_TxP.T


@pytest.mark.parametrize('labels', LABELS)
@pytest.mark.parametrize('at', FORMS)
def test_the_gramian_is_that_of_each_task_by_itself(at, labels):
  """With dropout, missing labels, and a task of another run of the study."""
  batch, model = _batch(LABELS[labels]), _model(dropout=0.5)
  before = _start(model, tiny.KeepsGramian(at), (1, 0.5, 0))
  gramian_TxT = _gramian(model, at, before, batch)
  expected_TxT = _slow_gramian(model, at, before, batch)
  assert (np.diagonal(expected_TxT) > 0).tolist() == {
    'some': [True, True, False],
    'no age': [True, False, False],
    'nothing': [False, False, False],
  }[labels]
  np.testing.assert_allclose(gramian_TxT, expected_TxT, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize('at', FORMS)
def test_the_gradient_is_that_of_the_weighted_sum(at):
  """Under the weights that the method gave."""
  batch, model = _batch(LABELS['some']), _model(dropout=0.5)
  strategy = tiny.KeepsGramian(at)
  before = _start(model, strategy)
  result = _result(model, strategy, before, batch)
  gramian_TxT = _slow_gramian(model, at, before, batch)
  weight_T = before.weight_T / np.sqrt(np.diagonal(gramian_TxT))
  expected = _result(
    model, WeightedSum(), before.replace(weight_T=weight_T), batch
  )
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=1e-5),
    result.gradient,
    expected.gradient,
  )
  np.testing.assert_allclose(
    result.logits_BxTxK, expected.logits_BxTxK, rtol=1e-5
  )


def test_both_are_the_same_for_one_photo_and_one_layer():
  """With respect to Wx + b it is that to Wx, times x squared plus 1."""
  batch, model = _batch([[0, 1, 1]]), _model(layers=1)
  before = _start(model, tiny.KeepsGramian('trunk'))
  of_features, of_trunk = (_gramian(model, at, before, batch) for at in FORMS)
  color_C = batch.image_BxHxWxC.mean((1, 2))[0] / 255
  np.testing.assert_allclose(
    of_trunk, of_features * (color_C @ color_C + 1), rtol=1e-5
  )


@pytest.mark.parametrize('frozen', [0, 1])
def test_a_frozen_part_is_not_counted(frozen):
  batch, model = _batch(LABELS['some']), _model(frozen=frozen)
  before = _start(model, tiny.KeepsGramian('trunk'))
  gramian_TxT = _gramian(model, 'trunk', before, batch)
  np.testing.assert_allclose(
    gramian_TxT, _slow_gramian(model, 'trunk', before, batch), rtol=1e-4
  )


@pytest.mark.parametrize('at', FORMS)
def test_padding_changes_nothing(at):
  model, strategy = _model(), tiny.KeepsGramian(at)
  padded, plain = (
    _result(model, strategy, _start(model, strategy), _batch(labels))
    for labels in (LABELS['some'], LABELS['some'] + 3 * [[-1, -1, -1]])
  )
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7),
    (padded.gradient, padded.strategy),
    (plain.gradient, plain.strategy),
  )


@pytest.mark.devices(4)
@pytest.mark.parametrize('at', FORMS)
def test_over_devices_it_is_that_of_the_whole_batch(at):
  """Not the mean of theirs, of which three lack a task; with kernels."""
  trunk = Paper(image_size=32, shared_widths=(8,))
  model = config.Model(trunk=trunk, head_widths=())
  label_BxT = np.array(2 * LABELS['some'])
  label_BxT[:6, 1] = -1
  before, batch = _start(model, tiny.KeepsGramian(at)), _batch(label_BxT, 32)
  results = []
  for number in (1, 8):  # photos that the devices share
    with sharding.set_mesh(number):
      assert jax.sharding.get_mesh().size == min(number, 4)
      result = _result(
        model,
        tiny.KeepsGramian(at),
        sharding.replicate(before),
        sharding.shard_batch(batch),
      )
      results.append(jax.device_get((result.strategy, result.gradient)))
  (expected_TxT, _), _ = results
  assert (np.diagonal(expected_TxT) > 0).all()
  jax.tree.map(
    lambda one, four: np.testing.assert_allclose(
      one, four, rtol=1e-3, atol=1e-3 * np.abs(one).max()
    ),
    *results,
  )


@pytest.mark.parametrize('at', FORMS)
def test_one_task_alone_is_plain_training(at):
  batch, model = _batch(LABELS['some']), _model()
  pcgrad = options.part('imat_jax.strategies', 'pcgrad')(gradients_at=at)
  result, plain = (
    _result(model, strategy, _start(model, strategy, (0, 0.5, 0)), batch)
    for strategy in (pcgrad, WeightedSum())
  )
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-7),
    result.gradient,
    plain.gradient,
  )


def _after_steps(run: config.Run, *others: config.Run, active=None) -> tuple:
  """State and losses of an ensemble after two steps, R in front."""
  ensemble = Ensemble((run, *others), TASKS)
  start = compiled.fresh(ensemble)
  now, sums = start.state, start.metrics
  if active is not None:
    now = now.replace(active=np.array(active))
  step = compiled.train_step(ensemble)
  for _ in range(2):
    now, sums = step(now, sums, inputs.StepInput(_batch(LABELS['some']), None))
  return jax.device_get((now, sums.loss))


def test_runs_of_an_ensemble_are_as_each_alone():
  """One has other tasks, one is not active any more."""
  strategy = options.part('imat_jax.strategies', 'gradvac')(
    gradients_at='trunk'
  )
  run = config.Run(data_dir='', workdir='', model=_model(), strategy=strategy)
  names = TASKS.names, ('color', 'length'), TASKS.names
  runs = [
    dataclasses.replace(run, tasks=names, seed=seed)
    for seed, names in enumerate(names)
  ]
  together = _after_steps(*runs, active=[True, True, False])
  for number, run in enumerate(runs[:2]):
    jax.tree.map(
      lambda leaf, alone, number=number: np.testing.assert_allclose(
        leaf[number], alone[0], rtol=1e-4, atol=1e-5
      ),
      together,
      _after_steps(run),
    )
  first = compiled.fresh(Ensemble(tuple(runs), TASKS))
  jax.tree.map(
    lambda leaf, before: np.testing.assert_array_equal(leaf[2], before[2]),
    together[0].replace(active=first.state.active),
    first.state,
  )


def test_where_there_are_no_gradients_the_flag_is_refused():
  argv = ['command', '--data_dir=a', '--workdir=b', '--gradients_at=trunk']
  parsed = flags.parse(public_3m.DEFAULTS, [*argv, '--strategy=mgda'])
  assert parsed.strategy.gradients_at == 'trunk'
  with pytest.raises(Exception, match="flag 'gradients_at'"):
    flags.parse(public_3m.DEFAULTS, argv)
  with pytest.raises(ValueError, match='--gradients_at=trunk: no parameter of'):
    config.Run(
      data_dir='a',
      workdir='b',
      model=imagenet.LINEAR_PROBE,
      strategy=parsed.strategy,
    )
  named = functools.partial(options.part_from_text, 'imat_jax.strategies')
  assert named('mgda:gradients_at=trunk') == parsed.strategy
  assert not options.fixed(named('mgda'))  # digests of older runs stay
  with pytest.raises(ValueError, match='heads is none of features, trunk'):
    named('mgda:gradients_at=heads')
  with pytest.raises(ValueError, match="famo has no option 'gradients_at'"):
    named('famo:gradients_at=trunk')
