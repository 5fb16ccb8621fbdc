"""`imat_jax.prune`: the new run, and what its files compute."""

import contextlib
import dataclasses
import io
import json
import pathlib

import numpy as np
import pytest
import tiny

from imat_jax import artefact, config, errors, prune, train
from imat_jax.training import trained_model

HALF = config.Pruning(sparsity=0.5, prune_steps=5, prune_unit='unit')


@pytest.fixture(scope='module')
def masked(built, tmp_path_factory) -> pathlib.Path:
  """A run whose units were pruned in training: they are there, and 0."""
  path = tmp_path_factory.mktemp('prune') / 'masked'
  tiny.run(built, path, optimizer=config.Optimizer(pruning=HALF))
  return path


@pytest.fixture(scope='module')
def shrunk(built, masked) -> pathlib.Path:
  """The same without them."""
  return _prune(built, masked, masked.with_name('shrunk'), epochs=0)


def _prune(built, run, workdir, **options) -> pathlib.Path:
  command = prune.Prune(
    run=str(run), data_dir=built, workdir=str(workdir), **options
  )
  with contextlib.redirect_stdout(io.StringIO()):
    prune.main(command)
  return pathlib.Path(workdir)


def test_units_that_are_0_are_removed_and_nothing_changes(masked, shrunk):
  run = trained_model.load(shrunk).run
  assert run.model.trunk.filters == (1, 2, 2)
  assert run.model.trunk.shared_widths == (4,)
  assert run.model.head_widths == (2,)
  for name in ('predictions.npz', 'README.md', 'report.html'):
    assert (shrunk / name).is_file()
  before, after = (
    json.loads((path / 'evaluation.json').read_text())['tasks']['apparel']
    for path in (masked, shrunk)
  )
  assert after['confusion_matrix'] == before['confusion_matrix']
  assert after['loss'] == pytest.approx(before['loss'], abs=1e-5)


def test_the_smaller_export_computes_the_same(masked, shrunk):
  onnxruntime = pytest.importorskip('onnxruntime')
  pytest.importorskip('jax2onnx')
  contents = [
    artefact.onnx(trained_model.load(path)) for path in (masked, shrunk)
  ]
  image = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
  outputs = [
    onnxruntime.InferenceSession(content).run(None, {artefact.INPUT: image})
    for content in contents
  ]
  for expected, actual in zip(*outputs, strict=True):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)
  assert len(contents[1]) < len(contents[0])


def test_a_second_start_changes_nothing(built, masked, shrunk):
  before = tiny.results(shrunk)
  _prune(built, masked, shrunk, epochs=0)
  assert tiny.results(shrunk) == before
  with pytest.raises(errors.UserError, match='pruned_from'):
    _prune(built, masked, shrunk, epochs=0, prune_by='random')
  with pytest.raises(errors.UserError, match='and not trained →'):
    _prune(built, masked, shrunk, epochs=9)


@pytest.mark.parametrize('unit', ['unit', 'weight'])
def test_fine_tuning_that_is_stopped_is_resumed(
  built, tmp_path, uninterrupted, monkeypatch, unit
):
  options = {'prune_unit': unit, 'prune_by': 'saliency', 'epochs': 2}
  whole = _prune(built, uninterrupted, tmp_path / 'whole', **options)
  end_epoch = train._end_epoch

  def stop(*arguments):
    end_epoch(*arguments)
    raise errors.Interrupted(15, 'stopped')

  with monkeypatch.context() as patch:
    patch.setattr(train, '_end_epoch', stop)
    with pytest.raises(errors.Interrupted):
      _prune(built, uninterrupted, tmp_path / 'stopped', **options)
  stopped = _prune(built, uninterrupted, tmp_path / 'stopped', **options)
  assert tiny.results(stopped) == tiny.results(whole)
  kernel = trained_model.load(whole).variables['params']['trunk']['dense_0'][
    'kernel'
  ]
  if unit == 'weight':
    assert (kernel == 0).mean() == pytest.approx(0.5, abs=0.01)
  else:
    assert kernel.shape == (4 * 4 * 2, 4)


def test_it_starts_from_the_trained_weights(built, tmp_path, uninterrupted):
  """Those that are left are the run's own, and the largest ones."""
  path = _prune(
    *(built, uninterrupted, tmp_path / 'run'),
    **{'prune_unit': 'weight', 'epochs': 0, 'sparsity': 0.8},
  )
  before, after = (
    np.asarray(
      trained_model.load(p).variables['params']['trunk']['dense_0']['kernel']
    )
    for p in (uninterrupted, path)
  )
  is_left = after != 0
  assert is_left.mean() == pytest.approx(0.2, abs=0.01)
  np.testing.assert_array_equal(after[is_left], before[is_left])
  assert np.abs(before[is_left]).min() >= np.abs(before[~is_left]).max()


def test_what_cannot_be_pruned_is_refused(built, tmp_path, uninterrupted):
  with pytest.raises(ValueError, match='global_magnitude: not with'):
    _prune(built, uninterrupted, tmp_path, prune_by='global_magnitude')
  run = trained_model.load(uninterrupted).run
  run = dataclasses.replace(run, workdir=str(tmp_path), pruned_from='a run')
  with pytest.raises(errors.UserError, match='imat_jax.prune alone'):
    train.train(run)
