"""The submission file: a row per test image and task."""

import csv
import json
import pathlib
import shutil

import pytest
import tiny

from imat_jax import errors, inference, submit
from imat_jax.data import kaggle as kaggle_lib

CLOTHING = pathlib.Path(__file__).parents[2] / 'shared/data/clothing'


@pytest.fixture
def kaggle_test(kaggle, tmp_path):
  """The validation photos as test images, one of them missing."""
  shutil.copytree(kaggle.annotations, tmp_path / 'annotations')
  images = tmp_path / 'images'
  shutil.copytree(kaggle.images / 'validation', images / 'test')
  (images / 'test/5.jpg').unlink()
  _write_test_images(tmp_path / 'annotations', map(str, range(21)))
  return tmp_path


def _write_test_images(folder: pathlib.Path, ids) -> None:
  images = [{'imageId': i, 'url': []} for i in ids]
  path = folder / 'fgvc4_iMat.test.image.json'
  path.write_text(json.dumps({'images': images}))


def _submit(root: pathlib.Path, run: str) -> list[list[str]]:
  output = root / 'out' / 'submission.csv'
  submit.main(
    submit.Submit(
      run=run,
      annotations=str(root / 'annotations'),
      images=str(root / 'images'),
      output=str(output),
    )
  )
  with output.open(newline='') as file:
    return list(csv.reader(file))


@pytest.fixture(scope='module')
def all_tasks(built, tmp_path_factory) -> str:
  """A run of the tasks of one class, as experiments.all_tasks makes it."""
  from experiments import all_tasks

  path = str(tmp_path_factory.mktemp('all') / 'run')
  all_tasks.main(
    all_tasks.DEFAULTS(
      data_dir=built, workdir=path, model=tiny.SMALL, epochs=1, batch_size=16
    )
  )
  return path


def test_all_tasks_trains_the_tasks_of_one_class(all_tasks):
  stored = json.loads(pathlib.Path(all_tasks, 'config.json').read_text())
  names = list(stored['tasks'])
  assert 'shoe:color' in names
  assert all(':' in name for name in names)
  assert stored['config']['tasks'] == names
  assert stored['config']['task_weight_decay'] == 1


def test_every_image_and_task_has_a_row(kaggle_test, all_tasks, capsys):
  header, *rows = _submit(kaggle_test, all_tasks)
  maps = kaggle_lib.read_maps(kaggle_test / 'annotations')
  assert header == ['id', 'predicted']
  assert [key for key, _ in rows] == [
    f'{image}_{task_id}' for image in range(21) for task_id in maps.tasks
  ]
  assert {label_id for _, label_id in rows} <= maps.labels.keys()
  stdout = capsys.readouterr().out
  assert f'21 images × {len(maps.tasks)} tasks' in stdout
  assert '1 images without a photo' in stdout


def test_a_row_has_the_likeliest_label(kaggle_test, all_tasks):
  rows = dict(_submit(kaggle_test, all_tasks)[1:])
  maps = kaggle_lib.read_maps(kaggle_test / 'annotations')
  predictor = inference.Predictor(all_tasks)
  ids = [str(i) for i in range(21) if i != 5]
  paths = [str(kaggle_test / f'images/test/{i}.jpg') for i in ids]
  for image_id, result in zip(ids, predictor.label(paths), strict=True):
    for task_id, name in maps.tasks.items():
      if name in predictor.task_set.names:
        best = result.best(predictor.task_set, name, 99)
        label = next(label for label, _ in best if label != 'other')
        assert maps.labels[rows[f'{image_id}_{task_id}']] == label


def test_without_a_prediction_the_commonest_label_is_used(
  kaggle_test, trained, kaggle
):
  """Image 5 has no photo; the other run has no task of one class."""
  rows = _submit(kaggle_test, trained)[1:]
  maps = kaggle_lib.read_maps(kaggle_test / 'annotations')
  split = kaggle_lib.read_split(kaggle.annotations, 'train')
  labels_by_image, _ = kaggle_lib.labels_by_image(split)
  for key, label_id in rows:
    name = maps.tasks[key.partition('_')[2]]
    labels = [
      photo[name] for photo in labels_by_image.values() if name in photo
    ]
    if labels:
      most = max(map(labels.count, labels))
      assert labels.count(maps.labels[label_id]) == most


def test_a_task_without_train_labels_has_those_of_its_attribute():
  maps = kaggle_lib.Maps(
    {'1': 'shoe:color', '2': 'dress:color', '3': 'dress:length'},
    {'10': 'red', '11': 'blue'},
  )
  pairs = [('shoe:color', 'blue'), ('shoe:color', 'blue'), ('shoe:age', 'red')]
  assert submit.commonest(maps, pairs) == {'1': '11', '2': '11', '3': '11'}


def test_other_is_no_answer(kaggle_test, all_tasks):
  maps = kaggle_lib.read_maps(kaggle_test / 'annotations')
  assert 'other' not in maps.labels.values()
  rows = _submit(kaggle_test, all_tasks)[1:]
  assert all(label_id in maps.labels for _, label_id in rows)


@pytest.mark.skipif(not CLOTHING.exists(), reason='needs ../shared')
def test_the_real_maps_at_full_size(tmp_path, trained, capsys):
  """33,726 images whose links are all dead, 45 tasks."""
  folder = tmp_path / 'annotations'
  folder.mkdir()
  for path in CLOTHING.glob('*.json'):
    shutil.copy(path, folder)
  _write_test_images(folder, (str(i) for i in range(1, 33_727)))
  rows = _submit(tmp_path, trained)
  assert len(rows) == 33_726 * 45 + 1
  assert len({key for key, _ in rows}) == len(rows)
  assert '33,726 images × 45 tasks = 1,517,670 rows' in capsys.readouterr().out


@pytest.mark.parametrize('image_id', ['../../x', '', 'a/b', '.hidden'])
def test_an_id_leads_nowhere(kaggle_test, trained, image_id):
  _write_test_images(kaggle_test / 'annotations', [image_id])
  rows = _submit(kaggle_test, trained)
  assert rows[1][0].startswith(image_id)


def test_without_the_test_images_nothing_is_written(kaggle, trained, tmp_path):
  shutil.copytree(kaggle.annotations, tmp_path / 'annotations')
  with pytest.raises(errors.UserError, match='test.image.json'):
    _submit(tmp_path, trained)
  assert not (tmp_path / 'out').exists()
