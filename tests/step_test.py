"""One training step: gradients, task weights, randomness, tracing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from imat_jax import config, tasks
from imat_jax.data.types import Batch
from imat_jax.models.network import Network
from imat_jax.training import (
  compiled,
  inputs,
  optimizer,
  scoring,
  state,
  step,
)
from imat_jax.training.ensemble import Ensemble
from imat_jax.training.evaluation import eval_step

# Not in alphabetical order: a dict that jax sorts by name would swap them.
TASKS = tasks.TaskSet(
  (tasks.Task('color', ('red', 'blue', 'green')), tasks.Task('age', ('a', 'b')))
)
RUN = config.Run(
  data_dir='', workdir='', tasks=('color', 'age'), model=tiny.SMALL, seed=3
)
NETWORK = Network(tiny.SMALL, TASKS)
STEP = tiny.jit(
  functools.partial(
    step.train_step,
    NETWORK,
    optimizer.make(RUN.optimizer, RUN.model.trunk, 1),
    RUN.recipe,
  )
)


def _batch(label_BxT, seed=0) -> Batch:
  rng = np.random.default_rng(seed)
  label_BxT = np.array(label_BxT, np.int32)
  shape = (len(label_BxT), 32, 32, 3)
  return Batch(rng.integers(0, 256, shape, np.uint8), label_BxT)


@functools.cache
def _start() -> state.TrainState:
  adam = optimizer.make(RUN.optimizer, RUN.model.trunk, 1)
  return tiny.fresh(NETWORK, adam, [1.0, 0.95])


def _changed(before, after) -> bool:
  pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
  return any(not np.array_equal(a, b) for a, b in pairs)


def _head(now: state.TrainState, name: str) -> list[jax.Array]:
  """A task's part of every layer, with its padding."""
  t = TASKS.names.index(name)
  return [leaf[..., t, :] for leaf in jax.tree.leaves(now.params['heads'])]


def test_a_head_without_labels_stays_where_it_is():
  before = _start()
  after, sums = STEP(before, _batch([[0, -1], [2, -1]]))
  assert not _changed(_head(before, 'age'), _head(after, 'age'))
  assert _changed(_head(before, 'color'), _head(after, 'color'))
  assert _changed(before.params['trunk'], after.params['trunk'])
  assert scoring.compute(sums, TASKS)['age']['loss'] is None


def test_a_weight_of_zero_stops_every_gradient_of_a_task():
  before = _start()
  only_color = before.replace(weight_T=jnp.array([1.0, 0.0]))
  labelled, _ = STEP(only_color, _batch([[0, 1], [2, 0]]))
  missing, _ = STEP(only_color, _batch([[0, -1], [2, -1]]))
  assert not _changed(labelled.params, missing.params)
  assert not _changed(_head(before, 'age'), _head(labelled, 'age'))


def test_a_batch_of_padding_changes_nothing_but_the_step():
  before = _start()
  after, sums = STEP(before, _batch([[-1, -1]] * 2))
  assert not _changed(before.params, after.params)
  assert after.step == 1
  assert [x['loss'] for x in scoring.compute(sums, TASKS).values()] == [
    None
  ] * 2


def test_padding_does_not_move_the_update():
  before = _start()
  model = tiny.model(dropout=0.0)
  one_step = tiny.jit(
    functools.partial(
      step.train_step,
      Network(model, TASKS),
      optax.sgd(0.1),
      RUN.recipe,
    )
  )
  before = before.replace(opt_state=optax.sgd(0.1).init(before.params))
  batch = _batch([[0, 1], [1, -1], [-1, -1], [-1, -1]])
  padded, _ = one_step(before, batch)
  plain, _ = one_step(before, jax.tree.map(lambda x: x[:2], batch))
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=1e-6),
    padded.params,
    plain.params,
  )


def test_the_first_update_is_that_of_adam():
  before = _start()
  batch = _batch([[0, 1], [1, 0]])
  after, _ = STEP(before, batch)
  moved = jax.tree.map(jnp.subtract, after.params, before.params)
  # From zero moments Adam's first step is the learning rate in each direction
  # with a gradient well above epsilon.
  largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(moved))
  assert largest == pytest.approx(1e-3, rel=1e-3)


def test_metrics_belong_to_their_task():
  now = _start()
  batch = _batch([[0, 1], [1, -1], [2, 0]])
  scored, guesses = eval_step(NETWORK, now.variables, batch)
  scored = scoring.compute(scored, TASKS)
  color, age = scored['color']['confusion'], scored['age']['confusion']
  assert color.shape == (3, 3)
  np.testing.assert_array_equal(color.sum(1), [1, 1, 1])
  np.testing.assert_array_equal(age.sum(1), [1, 1])
  logits_BxTxK = NETWORK.apply(
    {'params': now.params}, batch.image_BxHxWxC, deterministic=True
  )
  np.testing.assert_array_equal(guesses.guess, logits_BxTxK.argmax(2))
  np.testing.assert_array_equal(guesses.label, batch.label_BxT)
  chance_BxK = jax.nn.softmax(logits_BxTxK[:, 0])
  np.testing.assert_allclose(
    guesses.probability[:, 0], chance_BxK.max(1), rtol=1e-5
  )
  logits_BxK = logits_BxTxK[:, 1]
  expected = -jax.nn.log_softmax(logits_BxK)[jnp.array([0, 2]), [1, 0]].mean()
  assert scored['age']['loss'] == pytest.approx(float(expected), rel=1e-5)


def test_a_loss_that_is_not_finite_is_known_by_its_task():
  before = _start()
  logits = before.params['heads']['logits']
  broken = before.params | {
    'heads': before.params['heads']
    | {'logits': logits | {'bias': logits['bias'].at[1, 0].set(jnp.nan)}}
  }
  batch = _batch([[0, 1], [1, 0]])
  _, sums = STEP(before.replace(params=broken), batch)
  assert sums.nonfinite_T.tolist() == [0, 1]
  _, sums = STEP(before, batch)
  assert sums.nonfinite_T.tolist() == [0, 0]


def test_a_broken_gradient_of_the_trunk_counts_for_every_task():
  before = _start()
  gradient = jax.tree.map(jnp.zeros_like, before.params)
  assert step.nonfinite_gradients(gradient).tolist() == [0, 0]
  gradient['trunk']['conv_1']['bias'] += jnp.inf
  assert step.nonfinite_gradients(gradient).tolist() == [1, 1]
  for layer, part in (('dense_0', 'kernel'), ('logits', 'bias')):
    broken = jax.tree.map(jnp.copy, gradient)
    leaf = broken['heads'][layer][part]
    broken['heads'][layer][part] = leaf.at[..., 0, 1].set(-jnp.nan)
    assert step.nonfinite_gradients(broken).tolist() == [1, 0]


def test_randomness_is_a_function_of_seed_and_step():
  before, batch = _start(), _batch([[0, 1], [1, 0]])
  again = STEP(before, batch)[0].params
  assert not _changed(STEP(before, batch)[0].params, again)
  later = before.replace(step=before.step + 1)
  assert _changed(STEP(later, batch)[0].params, again)
  other = before.replace(seed=before.seed + 1)
  assert _changed(STEP(other, batch)[0].params, again)


def test_steps_seeds_and_task_sets_are_one_trace(monkeypatch):
  traces = []
  plain = step.train_step
  monkeypatch.setattr(
    step, 'train_step', lambda *args: traces.append(1) or plain(*args)
  )
  compiled._train_step.cache_clear()
  trained = []
  for seed, names in ((3, ('color', 'age')), (4, ('age',))):
    run = dataclasses.replace(RUN, seed=seed, tasks=names)
    group = Ensemble((run,), TASKS)
    here, update = compiled.fresh(group), compiled.train_step(group)
    now, so_far = here.state, here.metrics
    for number in range(2):
      fed = inputs.StepInput(_batch([[0, 1], [1, 0]], seed=number), None)
      now, so_far = update(now, so_far, fed)
    trained.append(now.params)
  assert len(traces) == 1
  assert _changed(*trained)
