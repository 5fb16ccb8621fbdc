"""A run that an earlier version left, of November 2026, is still read."""

import json
import pathlib
import zipfile

import jax
import numpy as np
import pytest

from imat_jax import config
from imat_jax.reporting import results
from imat_jax.runtime import workdir
from imat_jax.training import checkpoint, compiled, trained_model
from imat_jax.training.ensemble import Ensemble

STORED = pathlib.Path(__file__).parent / 'run_of_2026_11.zip'


@pytest.fixture(scope='module')
def run(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('stored')
  with zipfile.ZipFile(STORED) as archive:
    archive.extractall(folder)
  return folder / 'run'


def test_it_is_loaded(run):
  trained = trained_model.load(run)
  assert trained.task_set.names == ('apparel', 'color')
  assert not trained.run.cache_on_device
  assert trained.history.stopping.best_epoch == 1
  leaves = [*map(np.asarray, jax.tree.leaves(trained.variables['params']))]
  assert sum(leaf.size for leaf in leaves) == 2_482
  total = sum(np.abs(leaf).sum(dtype=np.float64) for leaf in leaves)
  assert total == pytest.approx(179.83015557546605)


def test_its_results_are_read(run):
  result = results.read(run)
  assert result.evaluation['tasks']['apparel']['count'] == 60
  assert result.guesses.label.shape == (60, 2)


def test_what_trained_it_is_unknown(run):
  """It is of before that was recorded; a study counts it apart."""
  result = results.read(run)
  today = result._replace(provenance={'threads': 2})
  assert results.trained_by([result, today, result]) == [
    {'runs': 2},
    {'runs': 1, 'threads': 2},
  ]


def test_its_training_is_restored(run):
  stored, task_set = workdir.read_run(workdir.Workdir(run))
  ensemble = Ensemble((stored,), task_set)
  described = json.loads((run / 'config.json').read_text())
  latest = checkpoint.restore_latest(
    run / 'checkpoints',
    workdir.config_hash(config.Run, described),
    compiled.fresh_shapes(ensemble),
  )
  assert latest.step == 4


def test_its_config_is_that_of_the_same_command_today(run):
  stored, task_set = workdir.read_run(workdir.Workdir(run))
  former = json.loads((run / 'config.json').read_text())
  described = workdir.describe(
    stored, task_set, {'data_set': former['data_set']}
  )
  assert described['config'].keys() != former['config'].keys()
  digests = {
    workdir.config_hash(config.Run, one) for one in (former, described)
  }
  assert len(digests) == 1
