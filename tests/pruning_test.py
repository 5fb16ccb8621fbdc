"""Pruning: the schedule, the masks, and runs that have them."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from imat_jax import config, errors
from imat_jax.training import optimizer, pruning, trained_model

RNG = np.random.default_rng(0)
PARAMS = {
  'trunk': {
    'a': {'kernel': RNG.normal(size=(5, 8)), 'bias': np.ones(8)},
    'b': {'kernel': RNG.normal(size=(3, 3, 4, 2))},
  },
  'heads': {'logits': {'kernel': RNG.normal(size=(6, 2, 3))}},
}
PARAMS['heads']['logits']['kernel'][:, 1, 2] = 0  # padding of a small head
PARAMS = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), PARAMS)


def _after(options: config.Optimizer, updates: int, num_updates: int) -> tuple:
  """Parameters and state after updates with random gradients."""
  rule = optimizer.make(options, tiny.MODEL.trunk, num_updates)
  params, state = PARAMS, rule.init(PARAMS)
  step = tiny.jit(rule.update)
  rng = np.random.default_rng(1)
  for _ in range(updates):
    gradient = jax.tree.map(
      lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), params
    )
    change, state = step(gradient, state, params)
    params = optax.apply_updates(params, change)
  return params, state


def _options(**changes) -> config.Optimizer:
  given = {'sparsity': 0.75, 'prune_steps': 1}
  return config.Optimizer(pruning=config.Pruning(**given | changes))


def test_the_share_rises_as_in_its_paper():
  """Equation 1 of Zhu and Gupta with s_i = 0, as they write it."""
  options = config.Pruning(sparsity=0.9, prune_from=0.1, prune_until=0.6)
  for count in range(101):
    start, span = 10, 50
    t = min(max(count, start), start + span)
    expected = 0.9 + (0 - 0.9) * (1 - (t - start) / span) ** 3
    share = float(pruning.share_at(options, count, 100))
    assert share == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('prune_by', ['magnitude', 'random', 'saliency'])
def test_each_array_has_its_share_of_zeros(prune_by):
  params, state = _after(_options(prune_by=prune_by), 10, 10)
  trunk = params['trunk']
  assert (trunk['a']['kernel'] == 0).sum() == 30  # of 40
  assert (trunk['b']['kernel'] == 0).sum() == 54  # of 72
  assert (trunk['a']['bias'] != 0).all()
  # Of a head's own weights, 18 and 12; its padding is none of them.
  head_6x2x3 = params['heads']['logits']['kernel']
  assert (head_6x2x3[:, 0] == 0).sum() == 14
  assert (head_6x2x3[:, 1, :2] == 0).sum() == 9
  assert not state.mask['heads']['logits']['kernel'][:, 1, 2].any()


def test_the_smallest_go_first():
  """Without steps between: those that numpy sorts to the front."""
  options = config.Optimizer(
    learning_rate=0.0,
    pruning=config.Pruning(sparsity=0.5, prune_from=0, prune_until=0),
  )
  params, _ = _after(options, 1, 1)
  for name in ('a', 'b'):
    before = np.asarray(PARAMS['trunk'][name]['kernel'])
    median = np.sort(np.abs(before).ravel())[before.size // 2]
    expected = np.where(np.abs(before) >= median, before, 0)
    np.testing.assert_array_equal(params['trunk'][name]['kernel'], expected)


def test_the_whole_trunk_is_one_array_of_global_magnitude():
  options = config.Optimizer(
    learning_rate=0.0,
    pruning=config.Pruning(
      *(),
      sparsity=0.5,
      prune_from=0,
      prune_until=0,
      prune_by='global_magnitude',
    ),
  )
  scaled = PARAMS | {
    'trunk': PARAMS['trunk']
    | {'b': {'kernel': 0.01 * PARAMS['trunk']['b']['kernel']}}
  }
  rule = optimizer.make(options, tiny.MODEL.trunk, 1)
  change, _ = rule.update(PARAMS, rule.init(scaled), scaled)
  trunk = optax.apply_updates(scaled, change)['trunk']
  assert (trunk['a']['kernel'] == 0).sum() == 0
  assert (trunk['b']['kernel'] == 0).sum() == 56  # of 112


def test_what_is_pruned_stays_so():
  masks = [
    _after(_options(prune_by='magnitude'), updates, 20)[1].mask
    for updates in (6, 9, 20)
  ]
  for earlier, later in zip(masks, masks[1:], strict=False):
    jax.tree.map(
      lambda a, b: np.testing.assert_array_equal(a & b, b), earlier, later
    )
  counts = [int(mask['trunk']['a']['kernel'].sum()) for mask in masks]
  assert counts[0] > counts[1] > counts[2] == 10


@pytest.mark.parametrize('number', [0, 1, 17, 40, 64])
def test_the_largest_are_those_of_a_sort(number):
  score = RNG.integers(0, 9, 64).astype(np.float32)  # with ties
  mask = RNG.random(64) < 0.8
  chosen = np.asarray(pruning._largest(score, mask, jnp.int32(number)))
  number = min(number, mask.sum())
  assert chosen.sum() == number
  assert not (chosen & ~mask).any()
  expected = np.sort(score[mask])[::-1][:number]
  np.testing.assert_array_equal(np.sort(score[chosen])[::-1], expected)


def test_a_frozen_part_is_not_pruned(monkeypatch):
  monkeypatch.setattr(
    type(tiny.MODEL.trunk), 'trains', lambda self, name: name == 'b'
  )
  params, _ = _after(_options(), 10, 10)
  assert (params['trunk']['a']['kernel'] != 0).all()
  assert (params['trunk']['b']['kernel'] == 0).sum() == 54


@pytest.fixture(scope='module', params=['weight', 'unit'])
def pruned(request, built, tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp('pruning') / 'run'
  tiny.run(built, path, optimizer=_optimizer(request.param))
  return path


def _optimizer(unit: str) -> config.Optimizer:
  share = config.Pruning(sparsity=0.8, prune_steps=5, prune_unit=unit)
  return config.Optimizer(average=0.9, pruning=share)


def test_a_run_ends_with_its_share_of_zeros(pruned):
  """Also in the mean of the parameters, which is what is kept."""
  trained = trained_model.load(pruned)
  by_unit = trained.run.optimizer.pruning.prune_unit == 'unit'
  for layer in trained.variables['params']['trunk'].values():
    is_zero = np.asarray(layer['kernel']) == 0
    if by_unit:
      is_zero = is_zero.reshape(-1, is_zero.shape[-1]).all(0)
      np.testing.assert_array_equal(is_zero, layer['bias'] == 0)
    assert is_zero.sum() == min(round(0.8 * is_zero.size), is_zero.size - 1)
  # The second of three epochs ends before step 0.7 × 39.
  assert json.loads((pruned / 'evaluation.json').read_text())['epoch'] == 3


def test_a_run_stopped_while_it_is_pruned_is_resumed(
  built, tmp_path, pruned, monkeypatch
):
  from imat_jax import train

  end_epoch = train._end_epoch

  def stop(*arguments):
    end_epoch(*arguments)
    raise errors.Interrupted(15, 'stopped')

  optimizer = trained_model.load(pruned).run.optimizer
  resumed = functools.partial(
    tiny.run, built, tmp_path / 'run', optimizer=optimizer
  )
  with monkeypatch.context() as patch:
    patch.setattr(train, '_end_epoch', stop)
    with pytest.raises(errors.Interrupted):
      resumed(saving=config.Saving(save_steps=4))
  resumed()
  assert tiny.results(tmp_path / 'run') == tiny.results(pruned)
