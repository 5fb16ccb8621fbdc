"""Pruning of units: which go, and that the smaller network is the same."""

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest
import tiny

from imat_jax import config, tasks
from imat_jax.models import network, units
from imat_jax.models.trunks.paper import Paper
from imat_jax.models.trunks.resnet import ResNet
from imat_jax.models.trunks.vit import ViT
from imat_jax.training import pruning

TASKS = tasks.TaskSet(
  (tasks.Task('apparel', ('a', 'b', 'c')), tasks.Task('age', ('x', 'y')))
)
MODELS = {
  'paper': config.Model(
    trunk=Paper(image_size=32, filters=(4, 6, 8), shared_widths=(10, 12)),
    head_widths=(6, 8),
  ),
  # The heads read what is left of the convolutions at each place.
  'flat': config.Model(
    trunk=Paper(image_size=32, filters=(4, 6, 8), shared_widths=()),
    head_widths=(),
  ),
  'resnet': config.Model(
    trunk=ResNet(image_size=32, width=16, blocks=(1, 2)), head_widths=()
  ),
}


@functools.cache
def _params(model: config.Model) -> dict:
  """Parameters none of which is 0, as biases are at the start."""
  init = functools.partial(
    network.Network(model, TASKS).init, deterministic=True
  )
  image = network.trained_input(model.trunk)
  params = tiny.jit(init)(jax.random.key(0), image)['params']
  rng = np.random.default_rng(0)

  def moved(path: tuple, leaf: jax.Array) -> np.ndarray:
    leaf = 2 * leaf + rng.normal(0, 0.1, leaf.shape).astype(np.float32)
    if path[-2].key == 'logits':  # padding of the smaller task
      leaf[..., 1, 2] = 0
    return leaf

  return jax.tree.map_with_path(moved, jax.device_get(params))


def _pruned(model: config.Model, params: dict, **options) -> tuple:
  """What one update without a step leaves, and its masks."""
  given = config.Pruning(
    prune_unit='unit', prune_from=0, prune_until=0, **options
  )
  rule = pruning.pruned(optax.set_to_zero(), given, model.trunk, 1)
  gradient = jax.tree.map(lambda p: np.cos(40 * p), params)

  @tiny.jit
  def update():
    change, state = rule.update(gradient, rule.init(params), params)
    return optax.apply_updates(params, change), state.mask

  return update()


def _logits(model: config.Model, params: dict) -> np.ndarray:
  shape = 5, *model.trunk.shape, 3
  image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
  apply = functools.partial(
    network.Network(model, TASKS).apply, deterministic=True
  )
  return np.asarray(tiny.jit(apply)({'params': params}, image))


@pytest.mark.parametrize('name', MODELS)
def test_the_network_without_the_pruned_units_is_the_same(name):
  model = MODELS[name]
  params, mask = _pruned(model, _params(model), sparsity=0.5)
  smaller, fewer = units.shrunk(model, params, mask)
  expected = _logits(model, params)
  assert np.ptp(expected[:, 0], 0).max() > 0.1
  np.testing.assert_allclose(_logits(smaller, fewer), expected, atol=1e-5)
  assert smaller == units.small(model, 0.5)
  sizes = [sum(p.size for p in jax.tree.leaves(t)) for t in (params, fewer)]
  assert sizes[1] < 0.75 * sizes[0]


@pytest.mark.parametrize('prune_by', ['magnitude', 'saliency'])
def test_the_units_with_the_smallest_norms_go(prune_by):
  """As plain loops over the units find them."""
  model = MODELS['paper']
  params = _params(model)
  _, mask = _pruned(model, params, sparsity=0.5, prune_by=prune_by)
  weight = params
  if prune_by == 'saliency':
    weight = jax.tree.map(lambda p: p * np.cos(40 * p), params)
  for name in ('conv_1', 'dense_0'):
    of = weight['trunk'][name]
    norms = [
      np.linalg.norm([*np.ravel(of['kernel'][..., u]), of['bias'][u]])
      for u in range(of['bias'].size)
    ]
    expected = norms >= np.sort(norms)[len(norms) // 2]
    np.testing.assert_array_equal(mask['trunk'][name]['bias'], expected)
  of = weight['heads']['dense_1']
  for t in range(len(TASKS)):
    norms = np.linalg.norm(of['kernel'][:, t], axis=0)
    norms = np.hypot(norms, of['bias'][t])
    expected = norms >= np.sort(norms)[len(norms) // 2]
    np.testing.assert_array_equal(mask['heads']['dense_1']['bias'][t], expected)
  assert mask['heads']['logits']['kernel'].ndim == 0  # labels stay


def test_filters_that_are_normalised_together_go_together():
  model = MODELS['resnet']
  _, mask = _pruned(model, _params(model), sparsity=0.5, prune_by='random')
  layer = mask['trunk']['stage_0_block_0']['conv_0']
  is_left_C = np.asarray(layer['norm']['scale'])
  assert is_left_C.sum() == 16
  is_left_Ux8 = is_left_C.reshape(-1, 8)
  assert (is_left_Ux8.all(1) == is_left_Ux8.any(1)).all()
  np.testing.assert_array_equal(layer['conv']['kernel'].ravel(), is_left_C)


def test_a_layer_keeps_a_unit():
  model = MODELS['paper']
  params, mask = _pruned(model, _params(model), sparsity=0.99)
  smaller, _ = units.shrunk(model, params, mask)
  assert smaller.trunk.filters == (1, 1, 1)
  assert smaller.head_widths == (1, 1)


@pytest.mark.parametrize(
  ('changes', 'problem'),
  [
    ({'trunk': ViT()}, 'vit has none'),
    ({'normalize_features': True}, 'normalize_features'),
    ({'head_widths_per_label': True}, 'head_widths_per_label'),
  ],
)
def test_units_that_cannot_be_removed_are_refused(changes, problem):
  model = dataclasses.replace(tiny.SMALL, **changes)
  optimizer = config.Optimizer(
    pruning=config.Pruning(sparsity=0.5, prune_unit='unit')
  )
  with pytest.raises(ValueError, match=problem):
    config.Run(data_dir='', workdir='', model=model, optimizer=optimizer)
