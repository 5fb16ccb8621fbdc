import io
import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from imat_jax import errors, tasks
from imat_jax.data import source, tfds_builder

APPAREL = tasks.Task('apparel', ('dress', 'outerwear', 'pants', 'shoe'))
COLOR = tasks.Task('color', ('blue', 'green', 'red'))


def read(data_dir, *selected, split='train'):
  """All labels of a split, photos × tasks."""
  examples = source.Source(data_dir, split, tasks.TaskSet(selected))
  return np.array([examples[i].label_T for i in range(len(examples))])


@pytest.fixture
def copied(built, tmp_path) -> str:
  """A copy of the data set that a test may damage."""
  shutil.copytree(built, tmp_path / 'copy')
  return str(tmp_path / 'copy')


def test_a_record_is_what_was_built(built):
  task_set = source.read_tasks(built).select(['apparel', 'color', 'age'])
  examples = source.Source(built, 'train', task_set)
  assert len(examples) == 50
  assert examples.split == 'train'
  assert examples.task_set == task_set
  record = examples[7]  # a shoe in the second color; no age: 7 % 3 is 1
  assert record.image_id == '7'
  assert record.label_T.dtype == np.int32
  assert record.label_T.tolist() == [3, 1, -1]
  image = Image.open(io.BytesIO(record.jpeg))
  assert (image.format, image.mode) == ('JPEG', 'RGB')
  assert image.size == (examples.stored_side,) * 2 == (160, 160)


def test_each_split_has_its_photos(built):
  examples = source.Source(built, 'validation', tasks.TaskSet((APPAREL,)))
  ids = [examples[i].image_id for i in range(len(examples))]
  assert ids == [str(i) for i in range(21)]


def test_any_order_of_reading_gives_the_same_records(built):
  examples = source.Source(built, 'train', tasks.TaskSet((COLOR,)))
  there = {i: examples[i] for i in (31, 3, 49, 0)}
  again = source.Source(built, 'train', tasks.TaskSet((COLOR,)))
  for i, record in there.items():
    assert again[i].jpeg == record.jpeg
    assert again[i].image_id == record.image_id == str(i)


def test_labels_follow_the_order_of_the_tasks(built):
  both = read(built, APPAREL, COLOR)
  np.testing.assert_array_equal(read(built, COLOR, APPAREL), both[:, ::-1])
  np.testing.assert_array_equal(read(built, COLOR), both[:, 1:])


def test_labels_are_found_by_name_not_by_number(built):
  usual = read(built, COLOR)[:, 0]
  turned = read(built, tasks.Task('color', ('red', 'blue', 'green')))[:, 0]
  wider = read(built, tasks.Task('color', ('azure', *COLOR.labels)))[:, 0]
  assert set(usual) == {-1, 0, 1, 2}
  np.testing.assert_array_equal(turned, np.array([1, 2, 0, -1])[usual])
  np.testing.assert_array_equal(wider, np.array([1, 2, 3, -1])[usual])


def test_an_unknown_label_becomes_other(built):
  usual = read(built, COLOR)[:, 0]
  numbers = read(built, tasks.Task('color', ('red', 'other')))[:, 0]
  np.testing.assert_array_equal(numbers, np.array([1, 1, 0, -1])[usual])


def test_an_unknown_label_is_missing_where_there_is_no_other(built):
  usual = read(built, COLOR)[:, 0]
  numbers = read(built, tasks.Task('color', ('red', 'pink')))[:, 0]
  np.testing.assert_array_equal(numbers, np.array([-1, -1, 0, -1])[usual])


def test_the_task_of_a_class_is_labelled_on_that_class_alone(built):
  own = source.read_tasks(built)['dress:color']
  apparel, union, dresses = read(built, APPAREL, COLOR, own).T
  is_dress = apparel == APPAREL.index('dress')
  assert (dresses[~is_dress] == -1).all()
  names = np.array([*COLOR.labels, 'none'])[union[is_dress]]
  own_names = np.array([*own.labels, 'none'])[dresses[is_dress]]
  assert set(own_names) > {'none'}
  np.testing.assert_array_equal(own_names, names)


def test_read_tasks_has_apparel_first(built):
  task_set = source.read_tasks(built)
  assert task_set.names[:4] == ('apparel', 'age', 'color', 'material')
  assert task_set['apparel'] == APPAREL
  assert task_set['color'] == COLOR


def test_no_data_set(tmp_path):
  with pytest.raises(errors.UserError) as caught:
    source.Source(tmp_path, 'train', tasks.TaskSet((APPAREL,)))
  assert str(tmp_path) in str(caught.value)
  assert 'imat_jax.data.build' in str(caught.value)


def test_no_such_split(built):
  with pytest.raises(errors.UserError) as caught:
    source.Source(built, 'test', tasks.TaskSet((APPAREL,)))
  assert "no split 'test'; available: train, validation" in str(caught.value)


def test_no_such_task(built):
  selected = tasks.TaskSet((APPAREL, tasks.Task('size', ('large',))))
  with pytest.raises(
    errors.UserError, match="no task 'size'; available: apparel"
  ):
    source.Source(built, 'train', selected)


NEEDED = ['tasks', 'num_examples', 'stored_side', 'fingerprint', 'image_size']


@pytest.mark.parametrize('key', NEEDED)
def test_metadata_without_a_fact(copied, key):
  path = tfds_builder.directory(copied) / 'metadata.json'
  metadata = json.loads(path.read_text())
  del metadata[key]
  path.write_text(json.dumps(metadata))
  with pytest.raises(errors.UserError, match='metadata.json: damaged'):
    source.read_metadata(copied)


@pytest.mark.parametrize('value', [None, 3, 'text', [], {'age': 3}])
def test_metadata_whose_tasks_are_none(copied, value):
  path = tfds_builder.directory(copied) / 'metadata.json'
  metadata = json.loads(path.read_text())
  path.write_text(json.dumps(metadata | {'tasks': value}))
  with pytest.raises(errors.UserError, match='damaged'):
    source.Source(copied, 'train', tasks.TaskSet((APPAREL,)))


@pytest.mark.parametrize(
  'body', [b'', b'{', b'[]', b'3', b'null', b'"text"', b'{}', b'\xff\xfe']
)
def test_metadata_that_is_damaged(copied, body):
  path = tfds_builder.directory(copied) / 'metadata.json'
  path.write_bytes(body)
  with pytest.raises(errors.UserError) as caught:
    source.Source(copied, 'train', tasks.TaskSet((APPAREL,)))
  complaint = f'{path}: damaged; rebuild with --overwrite'
  assert str(caught.value) == complaint


@pytest.mark.parametrize('name', ['dataset_info.json', 'features.json'])
def test_a_file_that_is_missing(copied, name):
  directory = pathlib.Path(tfds_builder.directory(copied))
  (directory / name).unlink()
  with pytest.raises(errors.UserError, match='damaged'):
    source.Source(copied, 'train', tasks.TaskSet((APPAREL,)))


@pytest.mark.parametrize('damage', ['missing', 'empty', 'cut', 'zeros'])
def test_damaged_records(copied, damage):
  (path,) = tfds_builder.directory(copied).glob('*validation.array_record*')
  body = path.read_bytes()
  path.unlink()
  content = {
    'empty': b'',
    'cut': body[: len(body) // 2],
    'zeros': bytes(len(body)),
  }
  if damage != 'missing':
    path.write_bytes(content[damage])
  with pytest.raises(errors.UserError, match='damaged'):
    source.Source(copied, 'validation', tasks.TaskSet((APPAREL,)))[0]


def test_damaged_info(copied):
  (tfds_builder.directory(copied) / 'dataset_info.json').write_text('{')
  with pytest.raises(errors.UserError, match='damaged'):
    source.Source(copied, 'train', tasks.TaskSet((APPAREL,)))


@pytest.mark.parametrize('value', [5, None, 'train'])
def test_metadata_of_another_kind(copied, value):
  path = tfds_builder.directory(copied) / 'metadata.json'
  metadata = json.loads(path.read_text()) | {'num_examples': value}
  path.write_text(json.dumps(metadata))
  with pytest.raises(errors.UserError, match='damaged'):
    source.Source(copied, 'train', tasks.TaskSet((APPAREL,)))


def test_metadata_that_nests_without_end(copied):
  (tfds_builder.directory(copied) / 'metadata.json').write_text('[' * 10**5)
  with pytest.raises(errors.UserError, match='damaged'):
    source.read_metadata(copied)


def test_nothing_is_imported_that_a_data_set_names(copied, tmp_path):
  (tmp_path / 'evil_module.py').write_text('raise SystemExit("imported")')
  path = tfds_builder.directory(copied) / 'features.json'
  name = 'tensorflow_datasets.core.features.text_feature.Text'
  path.write_text(path.read_text().replace(name, 'evil_module.Text'))
  with pytest.MonkeyPatch.context() as patched:
    patched.syspath_prepend(tmp_path)
    with pytest.raises(errors.UserError, match='damaged'):
      source.Source(copied, 'train', tasks.TaskSet((APPAREL,)))


@pytest.mark.parametrize(
  'old, new',
  [
    ('{DATASET}-{SPLIT}', '../../../../{DATASET}-{SPLIT}'),
    ('"array_record"', '"tfrecord"'),
    ('"splits"', '"parts"'),
  ],
)
def test_no_other_files_are_read(copied, old, new):
  path = tfds_builder.directory(copied) / 'dataset_info.json'
  path.write_text(path.read_text().replace(old, new))
  with pytest.raises(errors.UserError, match='damaged'):
    source.Source(copied, 'train', tasks.TaskSet((APPAREL,)))


def test_a_part_of_the_examples(built):
  """Drawn by the seed, in the stored order, each at most once."""
  whole = source.Source(built, 'train', tasks.TaskSet((COLOR,)))
  drawn = [whole.draw(10, seed) for seed in (0, 0, 1)]
  ids = [[one[n].image_id for n in range(len(one))] for one in drawn]
  assert ids[0] == ids[1] != ids[2]
  assert len(set(ids[0])) == 10
  order = [whole[n].image_id for n in range(len(whole))]
  assert sorted(ids[0], key=order.index) == ids[0]
  expected = [whole.label_NxT()[order.index(name)] for name in ids[0]]
  np.testing.assert_array_equal(drawn[0].label_NxT(), expected)
