"""A run leaves what the contract says, and goes on where it was stopped."""

import contextlib
import dataclasses
import gzip
import io
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import tiny

from imat_jax import config, errors, options, train
from imat_jax.training import trained_model

TASKS = ('color', 'apparel', 'material')


def _config(data_dir: str, path: pathlib.Path, **knobs) -> config.Run:
  return config.Run(
    data_dir=data_dir,
    workdir=str(path),
    **{'tasks': TASKS, 'model': tiny.SMALL, 'epochs': 3, 'batch_size': 16}
    | knobs,
  )


def _run(run: config.Run) -> str:
  said = io.StringIO()
  with contextlib.redirect_stdout(said):
    train.train(run)
  return said.getvalue()


@pytest.fixture(scope='module')
def whole(built, tmp_path_factory) -> pathlib.Path:
  """A run that nothing interrupted."""
  path = tmp_path_factory.mktemp('whole') / 'run'
  _run(_config(built, path))
  return path


def _rows(path: pathlib.Path) -> list[dict]:
  """The rows of metrics.jsonl without their times."""
  rows = map(json.loads, (path / 'metrics.jsonl').read_text().splitlines())
  times = {'seconds', 'examples_per_second'}
  return [{k: v for k, v in r.items() if k not in times} for r in rows]


def test_evaluation_has_the_form_of_the_contract(whole):
  evaluation = json.loads((whole / 'evaluation.json').read_text())
  assert evaluation.keys() == {
    'epoch',
    'step',
    'stopped_early',
    'split',
    'num_examples',
    'tasks',
  }
  assert (evaluation['split'], evaluation['num_examples']) == ('validation', 21)
  assert (
    evaluation['step'] == evaluation['epoch'] * 4
  )  # 50 photos in batches of 16
  assert tuple(evaluation['tasks']) == TASKS
  apparel = evaluation['tasks']['apparel']
  assert apparel['labels'] == ['dress', 'outerwear', 'pants', 'shoe']
  assert apparel['count'] == 21
  assert apparel['support'] == [6, 5, 5, 5]
  assert np.sum(apparel['confusion_matrix'], 1).tolist() == [6, 5, 5, 5]
  right = np.trace(apparel['confusion_matrix'])
  assert apparel['accuracy'] == pytest.approx(right / 21)
  assert evaluation['tasks']['material']['count'] == 1
  assert len(apparel['precision']) == len(apparel['recall']) == 4


def test_metrics_have_a_row_per_epoch(whole):
  rows = _rows(whole)
  assert [row['epoch'] for row in rows] == [1, 2, 3]
  assert [row['step'] for row in rows] == [4, 8, 12]
  for row in rows:
    for split in ('train', 'validation'):
      assert set(row[split]) == set(TASKS)
      losses = [row[split][name]['loss'] or 0 for name in TASKS]
      expected = np.dot(losses, [1, 0.95, 0.95**2])
      assert row['total'][split] == pytest.approx(expected, rel=1e-6)


def test_evaluation_is_the_best_row(whole):
  evaluation = json.loads((whole / 'evaluation.json').read_text())
  row = _rows(whole)[evaluation['epoch'] - 1]
  for name in TASKS:
    for score in ('loss', 'accuracy'):
      assert evaluation['tasks'][name][score] == row['validation'][name][score]


def test_files_can_be_read_and_seen(whole):
  stored = json.loads((whole / 'config.json').read_text())
  assert options.from_json(config.Run, stored['config']).tasks == TASKS
  with np.load(whole / 'predictions.npz', allow_pickle=False) as arrays:
    label, guess = arrays['label'], arrays['guess']
  assert label.shape == guess.shape == (21, 3)
  evaluation = json.loads((whole / 'evaluation.json').read_text())
  for number, name in enumerate(TASKS):
    of_task = evaluation['tasks'][name]
    labelled = label[:, number] >= 0
    right = (label == guess)[labelled, number].mean()
    assert of_task['count'] == labelled.sum()
    assert of_task['accuracy'] == pytest.approx(right)
  page = (whole / 'report.html').read_text()
  assert 'src="http' not in page
  assert page.count('id="chart-') == 2


@pytest.mark.parametrize('processes', [0, 2])
def test_stopped_and_continued_equals_uninterrupted(
  built, whole, tmp_path, processes
):
  part = tmp_path / 'run'
  _run(_config(built, part, epochs=1))
  loader = config.Loader(loader_processes=processes)
  said = _run(_config(built, part, loader=loader))
  assert 'resumes at step 4' in said
  assert _rows(part) == _rows(whole)
  evaluations = [path / 'evaluation.json' for path in (part, whole)]
  assert evaluations[0].read_bytes() == evaluations[1].read_bytes()
  first, second = trained_model.load(whole), trained_model.load(part)
  jax.tree.map(np.testing.assert_array_equal, first.variables, second.variables)


def test_a_finished_run_says_so(built, whole, tmp_path):
  copy = tmp_path / 'copy'
  shutil.copytree(whole, copy)
  assert 'finished after epoch 3' in _run(_config(built, copy))
  assert _rows(copy) == _rows(whole)


def test_another_config_in_the_same_workdir_is_refused(built, whole):
  run = _config(built, whole, seed=1, batch_size=8)
  with pytest.raises(errors.UserError, match='batch_size: 16 → 8; seed: 0 → 1'):
    _run(run)


@pytest.mark.parametrize(
  ('knobs', 'message'),
  [
    ({'tasks': ('apparel', 'size')}, "no task 'size'; available: apparel, "),
    ({'tasks': ('apparel', 'apparel')}, 'duplicate task'),
    ({'data_dir': '/nowhere'}, 'no data set in this folder'),
    (
      {'model': tiny.model(geometry='original')},
      'build with --image_size=256',
    ),
  ],
)
def test_wrong_runs_end_with_a_clear_line(built, tmp_path, knobs, message):
  run = dataclasses.replace(_config(built, tmp_path / 'run'), **knobs)
  with pytest.raises(errors.UserError, match=message):
    _run(run)


@pytest.mark.parametrize(
  'damage',
  [
    lambda stored: stored.pop('config'),
    lambda stored: stored['config'].pop('seed'),
    lambda stored: stored['config'].update(seed='0'),
    lambda stored: stored['config'].update(batch_size=0),
    lambda stored: stored.update(tasks=[1]),
    lambda stored: stored.update(data_set=3),
  ],
)
def test_a_damaged_config_is_named(whole, tmp_path, damage):
  stored = json.loads((whole / 'config.json').read_text())
  damage(stored)
  (tmp_path / 'config.json').write_text(json.dumps(stored))
  with pytest.raises(errors.UserError, match='config.json: damaged'):
    trained_model.load(tmp_path)


def test_loading_what_is_no_run(tmp_path, whole):
  with pytest.raises(errors.UserError, match='not a trained run'):
    trained_model.load(tmp_path)
  shutil.copy(whole / 'config.json', tmp_path)
  with pytest.raises(
    errors.UserError, match='no epoch of this run is finished'
  ):
    trained_model.load(tmp_path)


def test_augmented_evaluation_differs(built, whole, tmp_path):
  _run(_config(built, tmp_path / 'run', epochs=1, eval_augmented=True))
  plain = _rows(whole)[0]
  augmented = _rows(tmp_path / 'run')[0]
  assert augmented['train'] == plain['train']
  assert augmented['validation'] != plain['validation']


def test_photos_on_the_device_train_the_same_run(built, whole, tmp_path):
  _run(_config(built, tmp_path / 'run', cache_on_device=True, epochs=1))
  row = _rows(tmp_path / 'run')[0]
  for split in ('train', 'validation'):
    for task, scores in _rows(whole)[0][split].items():
      # The pictures are the same to one grey level.
      assert row[split][task]['loss'] == pytest.approx(scores['loss'], rel=1e-3)


def test_photos_on_the_device_go_on_exactly(built, tmp_path):
  for path, epochs in (('part', 1), ('part', 2), ('whole', 2)):
    _run(_config(built, tmp_path / path, cache_on_device=True, epochs=epochs))
  assert _rows(tmp_path / 'part') == _rows(tmp_path / 'whole')


def test_profile_leaves_a_trace_and_changes_nothing(built, whole, tmp_path):
  _run(_config(built, tmp_path / 'run', profile=True))
  assert _rows(tmp_path / 'run') == _rows(whole)
  profile = tmp_path / 'run' / 'profile'
  assert list(profile.rglob('*.xplane.pb'))
  (trace,) = profile.rglob('perfetto_trace.json.gz')
  assert json.loads(gzip.decompress(trace.read_bytes()))['traceEvents']


def test_a_loss_that_is_not_finite_ends_the_run(built, tmp_path):
  wild = config.Optimizer(learning_rate=1e30)
  run = _config(built, tmp_path / 'run', optimizer=wild)
  broken = r'non-finite loss or gradient in task .*color.* at step \d+'
  with pytest.raises(errors.UserError, match=rf'{broken} \(.*: step 0\)'):
    _run(run)
  assert [
    path.name for path in (tmp_path / 'run' / 'checkpoints').iterdir()
  ] == ['0']


def test_a_run_that_saved_nothing_claims_nothing(built, tmp_path):
  wrong = tiny.model(geometry='original')
  with pytest.raises(errors.UserError, match='image_size'):
    _run(_config(built, tmp_path / 'run', model=wrong))
  assert 'files:' in _run(_config(built, tmp_path / 'run', epochs=1))
