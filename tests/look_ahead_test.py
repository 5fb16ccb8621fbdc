"""The look one step ahead, and the tasks that a run's page proposes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from sklearn import metrics as sklearn_metrics

from imat_jax import config, errors, tasks
from imat_jax.data.types import Batch
from imat_jax.models.network import Network
from imat_jax.reporting import suggestion
from imat_jax.training import gradients, look_ahead, losses, state

TASKS = tasks.TaskSet(
  (
    tasks.Task('apparel', ('a', 'b', 'c')),
    tasks.Task('color', ('red', 'blue')),
    tasks.Task('age', ('kid', 'adult')),
  )
)
NETWORK = Network(tiny.SMALL, TASKS)
WEIGHT_T = jnp.array([1, 0.95, 0.9])


def _batch(seed: int, label_BxT) -> Batch:
  label_BxT = np.array(label_BxT, np.int32)
  shape = len(label_BxT), 32, 32, 3
  image_BxHxWxC = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
  return Batch(image_BxHxWxC, label_BxT)


def _start(adam: optax.GradientTransformation) -> state.TrainState:
  first = tiny.fresh(NETWORK, adam, WEIGHT_T)
  # With moments, as in the middle of a run.
  gradient = jax.tree.map(lambda x: 0.01 * jnp.ones_like(x), first.params)
  _, opt_state = adam.update(gradient, first.opt_state, first.params)
  return first.replace(opt_state=opt_state)


def test_the_gain_is_that_of_two_steps():
  """Taken one after the other; age has no label in the batch."""
  adam = optax.adam(1e-2)
  before = _start(adam)
  batch = _batch(0, [[0, 1, -1], [1, 0, -1], [-1, 1, -1], [2, -1, -1]])
  held_out = _batch(1, [[0, 0, 0], [2, 1, 1], [-1, 1, 1]])

  @tiny.jit
  @functools.partial(jax.grad, argnums=1)
  def gradient_of(weight_T, params):
    logits_BxTxK, _ = gradients.forward(
      NETWORK, before, params, batch.image_BxHxWxC
    )
    loss = losses.masked_cross_entropy(logits_BxTxK, batch.label_BxT)
    return jnp.where(weight_T, weight_T * loss.value_T(), 0).sum()

  @tiny.jit
  def loss_at(params) -> jax.Array:
    logits_BxTxK = NETWORK.apply(
      {'params': params}, held_out.image_BxHxWxC, deterministic=True
    )
    log = jax.nn.log_softmax(logits_BxTxK[:2, 0])
    return -(log[0, 0] + log[1, 2]) / 2

  def loss_after(number: int) -> jax.Array:
    """After a step on the first so many tasks."""
    of_first_T = jnp.arange(3) < number
    gradient = gradient_of(WEIGHT_T * of_first_T, before.params)
    update, _ = adam.update(gradient, before.opt_state, before.params)
    return loss_at(optax.apply_updates(before.params, update))

  gain = tiny.jit(functools.partial(look_ahead.gain, NETWORK, adam))
  gain_T = gain(before, batch, held_out)
  expected = 1 - loss_after(2) / loss_after(1)
  assert abs(expected) > 1e-5
  np.testing.assert_allclose(
    gain_T, [np.nan, expected, np.nan], rtol=1e-2, atol=1e-6
  )
  # Fifty et al.'s: no step, and a plain one on color alone.
  plain = optax.sgd(0.5)
  of_color = gradient_of(jnp.array([0, 0.95, 0]), before.params)
  moved = jax.tree.map(lambda x, g: x - 0.5 * g, before.params, of_color)
  after_L = tiny.jit(functools.partial(look_ahead.loss_after, NETWORK, plain))(
    before.replace(opt_state=plain.init(before.params)),
    *(batch, held_out, jnp.array([[0, 0, 0], [0, 0.95, 0]])),
  )
  at_L = [loss_at(before.params), loss_at(moved)]
  assert abs(at_L[1] - at_L[0]) > 1e-3
  np.testing.assert_allclose(after_L, at_L, rtol=1e-5)
  nothing = _batch(1, [[-1, 0, 0], [-1, 1, 1], [-1, 1, 1]])
  assert np.isnan(gain(before, batch, nothing)).all()


def test_mutual_information_is_that_of_scikit_learn():
  rng = np.random.default_rng(0)
  label_N = rng.integers(-1, 4, 300)
  other_N = np.where(
    rng.random(300) < 0.3, label_N % 2, rng.integers(-1, 2, 300)
  )
  both_N = (label_N >= 0) & (other_N >= 0)
  expected = sklearn_metrics.mutual_info_score(label_N[both_N], other_N[both_N])
  assert suggestion.mutual_information(label_N, other_N) == pytest.approx(
    expected / np.log(2)
  )
  assert suggestion.mutual_information(label_N, np.full(300, -1)) == 0


@pytest.mark.parametrize('cached', [False, True])
def test_a_resumed_run_has_looked_ahead_as_often(
  built, tmp_path, cached, monkeypatch
):
  from imat_jax import train

  changes = {
    'tasks': ('apparel', 'color', 'age'),
    'suggest_tasks': 3,
    'cache_on_device': cached,
    'saving': config.Saving(save_epochs=False, save_steps=8),
  }
  printed = tiny.run(built, tmp_path / 'straight', **changes)
  look, looks = train._look_ahead, []

  def stop(*arguments):
    looks.append(1)
    if len(looks) == 7:  # behind the save of step 16
      raise errors.UserError('stopped')
    return look(*arguments)

  with monkeypatch.context() as patched:
    patched.setattr(train, '_look_ahead', stop)
    with pytest.raises(errors.UserError):
      tiny.run(built, tmp_path / 'resumed', **changes)
  tiny.run(built, tmp_path / 'resumed', **changes)
  straight = tiny.results(tmp_path / 'straight')
  assert straight == tiny.results(tmp_path / 'resumed')
  assert [len(row['look_ahead']) for row in straight['rows']] == [5, 4, 4]
  assert 'suggested tasks: apparel' in printed
  page = (tmp_path / 'straight' / 'report.html').read_text()
  assert 'Which tasks to learn together?' in page


def test_steps_that_change_nothing_are_refused():
  with pytest.raises(ValueError, match='not with --accumulation=2'):
    config.Run(
      data_dir='',
      workdir='',
      suggest_tasks=5,
      optimizer=config.Optimizer(accumulation=2),
    )


def test_only_what_is_above_zero_is_proposed():
  rows = [
    {'task': 'color', 'low': 0.01},
    {'task': 'age', 'low': -0.01},
  ]
  assert suggestion.sentence('apparel', rows).startswith('apparel + color:')
  assert suggestion.sentence('apparel', rows[1:]).startswith('apparel alone:')
