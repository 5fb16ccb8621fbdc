"""A test split: drawn or given, untouched by training, and what is reported."""

import contextlib
import csv
import io
import json
import pathlib

import numpy as np
import pytest
import tiny

from imat_jax import config, errors, evaluate
from imat_jax.data import build, configs, kaggle, preprocess, selection, source
from imat_jax.models import presets
from imat_jax.reporting import results
from imat_jax.study import sweep
from imat_jax.study.config import Study
from imat_jax.training import features


def _photos(number: int, labels=('a', 'b')) -> selection.Photos:
  ids = [str(n) for n in range(number)]
  images = tuple(kaggle.Image(i, ()) for i in ids)
  stored = preprocess.Stored(pathlib.Path(), 0, 0, np.zeros(4, np.uint64))
  return selection.Photos(
    kaggle.Split('validation', images, ()),
    # As of a shop's table: all photos are of one class.
    {
      i: {'apparel': 'photo', 'kind': labels[n % len(labels)]}
      for n, i in enumerate(ids)
    },
    {},
    kaggle.Irregularities(0, 0, 0, 0),
    dict.fromkeys(ids, stored),
  )


def test_groups_stay_together_and_away_from_train():
  # Photos 0 to 9 are twins of each other, 10 and 11 of a train photo.
  groups = [
    [('validation', str(n)) for n in range(10)],
    [('train', '3'), ('validation', '10'), ('validation', '11')],
  ]
  for share in (0.3, 0.5, 0.7):
    rest, test = selection.draw_test(_photos(60), share, groups)
    assert len({str(n) in test.stored for n in range(10)}) == 1
    assert not {'10', '11'} & test.stored.keys()
    assert not rest.stored.keys() & test.stored.keys()
    assert rest.stored.keys() | test.stored.keys() == _photos(60).stored.keys()
    assert abs(len(test.stored) - share * 58) <= 10  # a group more or less
    for photos, name in ((rest, 'validation'), (test, 'test')):
      assert photos.split.name == name
      ids = {image.image_id for image in photos.split.images}
      assert ids == photos.labels.keys() == photos.stored.keys()


def test_each_label_has_its_share_of_the_test():
  _, test = selection.draw_test(_photos(400, 'abbb'), 0.25, [])
  kinds = [labels['kind'] for labels in test.labels.values()]
  assert (kinds.count('a'), kinds.count('b')) == (25, 75)
  # The same each time; more photos move few.
  _, again = selection.draw_test(_photos(440, 'abbb'), 0.25, [])
  assert len(test.stored.keys() - again.stored.keys()) <= 15


def test_too_few_photos_to_draw_from():
  with pytest.raises(errors.UserError, match='--test_share=0.5: too few'):
    selection.draw_test(_photos(1), 0.5, [])


def _build(kaggle_folders, data_dir, **flags) -> str:
  printed = io.StringIO()
  with contextlib.redirect_stdout(printed):
    build.main(
      configs.Build(
        annotations=str(kaggle_folders.annotations),
        images=str(kaggle_folders.images),
        data_dir=str(data_dir),
        image_size=32,
        **flags,
      )
    )
  return printed.getvalue()


@pytest.fixture(scope='module')
def with_test(kaggle, tmp_path_factory) -> str:
  """`built` with a part of its validation photos as a test split."""
  data_dir = tmp_path_factory.mktemp('with_test')
  _build(kaggle, data_dir, test_share=0.6)
  return str(data_dir)


def _ids(data_dir: str, split: str) -> list[str]:
  examples = source.Source(data_dir, split, source.read_tasks(data_dir))
  return [examples[n].image_id for n in range(len(examples))]


def test_the_build_divides_the_validation_photos(with_test, built):
  parts = [_ids(with_test, split) for split in ('validation', 'test')]
  assert all(parts)
  assert sorted(sum(parts, [])) == sorted(_ids(built, 'validation'))
  assert _ids(with_test, 'train') == _ids(built, 'train')
  statistics = source.read_statistics(with_test)
  assert statistics['metadata']['test_share'] == 0.6
  assert statistics['metadata']['tasks'] == source.read_tasks(built).to_json()
  assert {n: s['kept'] for n, s in statistics['splits'].items()} == {
    'train': 50,
    'validation': len(parts[0]),
    'test': len(parts[1]),
  }
  assert statistics['splits']['test']['near_duplicates']['of_train'] == 0


def test_a_given_test_split(kaggle, tmp_path):
  folders = kaggle._replace(annotations=tmp_path / 'annotations')
  folders.annotations.mkdir()
  for path in kaggle.annotations.iterdir():
    (folders.annotations / path.name).write_bytes(path.read_bytes())
  path = folders.annotations / 'fgvc4_iMat.validation.data.json'
  content = json.loads(path.read_text())
  test_path = path.with_name('fgvc4_iMat.test.data.json')
  test_path.write_text(json.dumps(content | {'annotations': []}))
  # The same photos under another name: all are twins of validation's.
  images = tmp_path / 'images'
  images.mkdir()
  for split in ('train', 'validation'):
    (images / split).symlink_to(kaggle.images / split)
  (images / 'test').symlink_to(kaggle.images / 'validation')
  folders = folders._replace(images=images)
  _build(folders, tmp_path / 'unlabelled')  # as Kaggle's, it is left out
  assert source.reported_split(tmp_path / 'unlabelled') == 'validation'
  test_path.write_text(json.dumps(content))
  output = _build(folders, tmp_path / 'built')
  assert _ids(tmp_path / 'built', 'test') == _ids(
    tmp_path / 'built', 'validation'
  )
  assert '21 test photos have a near-duplicate in an earlier split' in output
  # Training does not see it: the same with and without.
  one, two = (
    tiny.results(tmp_path / f'run_{name}')
    for name in ('unlabelled', 'built')
    if tiny.run(str(tmp_path / name), tmp_path / f'run_{name}', epochs=2)
  )
  assert one['rows'] == two['rows'] and one['variables'] == two['variables']
  with pytest.raises(errors.UserError, match='has a test split already'):
    _build(folders, tmp_path / 'again', test_share=0.5)
  with pytest.raises(errors.UserError, match='every test photo has a near-dup'):
    _build(folders, tmp_path / 'again', drop_duplicates=True)


@pytest.mark.parametrize(
  ('cached', 'select_by'), [(False, 'total'), (True, 'main')]
)
def test_training_chooses_on_validation_and_reports_on_test(
  with_test, tmp_path, cached, select_by
):
  printed = tiny.run(
    with_test,
    tmp_path / 'run',
    cache_on_device=cached,
    stopping=config.Stopping(min_delta=0.0, select_by=select_by),
  )
  evaluation = json.loads((tmp_path / 'run/evaluation.json').read_text())
  ids = _ids(with_test, 'test')
  assert (evaluation['split'], evaluation['num_examples']) == ('test', len(ids))
  assert 'labelled test photos' in printed
  # The loss that chose the epoch is that of the validation photos.
  command = {'run': str(tmp_path / 'run'), 'data_dir': with_test}
  of = {
    split: evaluate.evaluate(evaluate.Evaluate(**command, split=split))
    for split in ('', 'validation', 'test')
  }
  assert of[''] == of['test'] != of['validation']
  result = results.read(tmp_path / 'run')
  row = result.rows[evaluation['epoch'] - 1]
  for name in result.task_set.names:
    scores = evaluation['tasks'][name]
    assert of['test']['tasks'][name]['loss'] == pytest.approx(scores['loss'])
    assert of['validation']['tasks'][name]['loss'] == pytest.approx(
      row['validation'][name]['loss']
    )
  losses = [
    row['total']['validation']
    if select_by == 'total'
    else row['validation']['apparel']['loss']
    for row in result.rows
  ]
  assert evaluation['epoch'] == 1 + int(np.argmin(losses))
  # The guesses are of the test photos, in their order.
  examples = source.Source(with_test, 'test', result.task_set)
  np.testing.assert_array_equal(result.guesses.label, examples.label_NxT())
  for name in ('report.html', 'README.md'):
    assert 'test photos' in (tmp_path / 'run' / name).read_text()


def test_frozen_features_of_the_test_photos(with_test, monkeypatch):
  def read(training, trunk, examples):
    feature_NxVxD = np.arange(len(examples), dtype=np.float32)[:, None, None]
    return feature_NxVxD, examples.label_NxT()

  monkeypatch.setattr(features, 'read', read)
  run = config.Run(data_dir=with_test, workdir='', batch_size=8)
  task_set = source.read_tasks(with_test).select(run.tasks)
  data = features.FeatureInputs(run, tiny.SMALL.trunk, task_set)
  label_NxT = source.Source(with_test, 'test', task_set).label_NxT()
  found_NxT = np.concatenate([b.label_BxT for b in data.reported()])
  number = data.num_reported
  np.testing.assert_array_equal(found_NxT[:number], label_NxT)
  assert (found_NxT[number:] == -1).all()


@pytest.mark.devices(4)
def test_runs_at_once_and_on_several_devices(with_test, tmp_path, monkeypatch):
  """A study says everywhere that its numbers are of the test photos."""
  monkeypatch.setattr(presets, 'by_name', lambda name: tiny.SMALL)
  study = Study(
    data_dir=with_test,
    workdir=str(tmp_path / 'study'),
    models=('public_3m',),
    task_sets='apparel;apparel,color',
    seeds=2,
    epochs=2,
    batch_size=8,
    cache_on_device=True,
    runs_at_once=4,
    stopping=config.Stopping(select_by='main'),
  )
  with contextlib.redirect_stdout(io.StringIO()):
    sweep.run_study(study)
  number = len(_ids(with_test, 'test'))
  runs = sorted((tmp_path / 'study').glob('runs/*/*/*'))
  assert len(runs) == 4
  for path in runs:
    evaluation = results.read(path).evaluation
    assert (evaluation['split'], evaluation['num_examples']) == ('test', number)
    again = evaluate.evaluate(
      evaluate.Evaluate(run=str(path), data_dir=with_test)
    )
    for name, scores in evaluation['tasks'].items():
      assert again['tasks'][name]['loss'] == pytest.approx(scores['loss'])
  page = (tmp_path / 'study/report.html').read_text()
  assert 'Scores on the test photos' in page
  assert 'on which\nit is measured' not in page
  for name in ('scores', 'comparisons', 'labels', 'runs'):
    with (tmp_path / f'study/tables/{name}.csv').open(newline='') as file:
      assert {row['split'] for row in csv.DictReader(file)} == {'test'}
  with (tmp_path / 'study/tables/sensitivity.csv').open(newline='') as file:
    assert {row['split'] for row in csv.DictReader(file)} == {'validation'}
