"""A study of pruned networks: its grid, what it compares, and its page."""

import json
import pathlib
import runpy
import types

import numpy as np
import pytest
import tiny

from imat_jax import config
from imat_jax.data import source
from imat_jax.models import presets
from imat_jax.reporting import results, sparsity
from imat_jax.study import dry_run, grid, sweep
from imat_jax.study.config import Study
from imat_jax.training import trained_model

TASKS = 'apparel', 'color'
RECOMPUTE = pathlib.Path(__file__).parents[1] / 'docs/recompute.py'


def _study(built, workdir, **options) -> Study:
  return Study(
    **{
      'data_dir': built,
      'workdir': str(workdir),
      'models': ('public_3m',),
      'task_sets': 'apparel,color',
      'sparsities': (0.5,),
      'pruners': ('magnitude', 'fewer_units'),
      'seeds': 2,
      'epochs': 2,
      'batch_size': 16,
      'cache_on_device': True,
    }
    | options
  )


@pytest.fixture(scope='module')
def study(built, tmp_path_factory) -> Study:
  study = _study(built, tmp_path_factory.mktemp('sparsity') / 'study')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(presets, 'by_name', lambda name: tiny.SMALL)
    sweep.run_study(study)
  return study


@pytest.fixture(scope='module')
def findings(study) -> dict:
  return json.loads((pathlib.Path(study.workdir) / 'study.json').read_text())


def test_each_is_compared_with_the_whole_network(study, findings):
  rows = findings['sparsity']
  assert len(rows) == 2 * (1 + 2)
  (whole,) = (r for r in rows if not r['pruner'] and r['task'] == 'color')
  for row in rows:
    if row['task'] != 'color' or row is whole:
      continue
    assert row['against'] == 'public_3m'
    values = row['accuracy']['values']
    assert row['scores']['accuracy']['values'] == pytest.approx(
      np.subtract(values, whole['accuracy']['values'])
    )
  assert len({row['parameters'] for row in rows}) == 1 + 2
  planned = grid.make(study, source.read_tasks(study.data_dir))
  assert 'in 4 comparisons' in dry_run.seeds_table(planned)
  # Holm's correction, over the photos of both tasks.
  compared = [row['scores']['accuracy'] for row in rows if 'scores' in row]
  assert len(compared) == 4
  folder = pathlib.Path(study.workdir)
  runpy.run_path(str(RECOMPUTE))['main'](folder)
  text = (folder / 'report.html').read_text()
  assert 'How much of the network does apparel need?' in text
  assert 'the accuracy of apparel is shown to change' in text
  assert (folder / 'tables/sparsity.csv').read_text().count('\n') == 7


def test_parameters_that_are_left_are_those_that_are_not_0(study, findings):
  cell = grid.Cell('public_3m', TASKS, pruning='magnitude=0.5')
  folder = grid.run_folder(study, cell, 0)
  params = trained_model.load(folder).variables['params']
  layers = [*params['trunk'].values(), *params['heads'].values()]
  number = sum(np.count_nonzero(layer['kernel']) for layer in layers)
  # Pruning leaves the biases alone; of two tasks the smaller one's are padded.
  number += sum(np.size(layer['bias']) for layer in layers) - 1
  (row,) = (
    row
    for row in findings['sparsity']
    if row['pruner'] == 'magnitude' and row['task'] == 'color'
  )
  assert row['parameters'] == pytest.approx(number, abs=4)


def test_a_network_with_fewer_units_is_as_small_as_a_pruned_one(study):
  small = results.read(
    grid.run_folder(
      *(study, grid.Cell('public_3m', TASKS, pruning='fewer_units=0.5'), 0)
    )
  )
  pruning = config.Pruning(sparsity=0.5, prune_unit='unit')
  run = config.Run(
    data_dir='',
    workdir='',
    model=tiny.SMALL,
    optimizer=config.Optimizer(pruning=pruning),
  )
  pruned = types.SimpleNamespace(run=run, task_set=small.task_set)
  assert sparsity.num_left(pruned) == small.num_params


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'sparsities': (0.5, 1.0)}, 'must be below 1'),
    ({'pruners': ('magnitude', 'luck')}, 'pruners'),
    ({'main_label_shares': (0.5, 1.0)}, 'not with'),
  ],
)
def test_bad_studies(built, tmp_path, options, message):
  with pytest.raises(ValueError, match=message):
    _study(built, tmp_path, **options)
