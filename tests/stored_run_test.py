"""A run that an earlier version left, of November 2026, is still read."""

import pathlib
import zipfile

import jax
import numpy as np
import pytest

from imat_jax.reporting import results
from imat_jax.training import trained_model

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
  leaves = [*map(np.asarray, jax.tree.leaves(trained.params))]
  assert sum(leaf.size for leaf in leaves) == 2_482
  total = sum(np.abs(leaf).sum(dtype=np.float64) for leaf in leaves)
  assert total == pytest.approx(179.83015557546605)


def test_its_results_are_read(run):
  result = results.read(run)
  assert result.evaluation['tasks']['apparel']['count'] == 60
  assert result.guesses.label.shape == (60, 2)
