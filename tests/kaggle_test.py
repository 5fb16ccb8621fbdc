import contextlib
import json
import pathlib
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imat_jax import errors
from imat_jax.data import kaggle

TASKS = {'1': 'shoe:color', '2': 'shoe:age', '3': 'dress:color'}
LABELS = {'1': 'red', '2': 'blue', '3': 'kids'}


def task_map(names=TASKS):
  return {'taskInfo': [{'taskId': i, 'taskName': n} for i, n in names.items()]}


def label_map(names=LABELS):
  return {
    'labelInfo': [{'labelId': i, 'labelName': n} for i, n in names.items()]
  }


def images(*ids):
  return [{'imageId': i, 'url': [f'https://shop.example/{i}']} for i in ids]


def note(image, task, label):
  """An annotation as in the file: `note('a', 'shoe:color', 'red')`."""
  task_id = next(i for i, name in TASKS.items() if name == task)
  label_id = next(i for i, name in LABELS.items() if name == label)
  return {'imageId': image, 'taskId': task_id, 'labelId': label_id}


def content(*notes, ids=('a',)):
  return {'images': images(*ids), 'annotations': list(notes)}


class Folder:
  """The files of Kaggle, of which a test replaces one."""

  def __init__(self, path):
    self.path = pathlib.Path(path)
    self.write('train.data', content())
    self.write('task_map', task_map())
    self.write('label_map', label_map())

  def write(self, name, value):
    path = self.path / f'fgvc4_iMat.{name}.json'
    path.write_text(json.dumps(value))

  def labels(self, *notes, ids=('a',)):
    self.write('train.data', content(*notes, ids=ids))
    split = kaggle.read_split(self.path, 'train')
    return kaggle.labels_by_image(split)

  def complaint(self, split='train'):
    with pytest.raises(errors.UserError) as caught:
      kaggle.read_split(self.path, split)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path) -> Folder:
  return Folder(tmp_path)


def test_a_split_is_read_in_the_order_of_the_file(folder):
  record = {'imageId': 'b', 'url': ['first', 'second']}
  annotations = [
    note('a', 'dress:color', 'blue'),
    note('b', 'shoe:age', 'kids'),
  ]
  folder.write(
    'train.data', {'images': [record, *images('a')], 'annotations': annotations}
  )
  split = kaggle.read_split(folder.path, 'train')
  assert split.name == 'train'
  assert split.images == (
    kaggle.Image('b', ('first', 'second')),
    kaggle.Image('a', ('https://shop.example/a',)),
  )
  assert split.annotations == (
    kaggle.Annotation('a', 'dress', 'color', 'blue'),
    kaggle.Annotation('b', 'shoe', 'age', 'kids'),
  )


def test_the_test_split_has_images_alone_and_needs_no_maps(tmp_path):
  path = tmp_path / 'fgvc4_iMat.test.image.json'
  path.write_text(json.dumps({'images': images('a', 'b')}))
  split = kaggle.read_split(tmp_path, 'test')
  assert [image.image_id for image in split.images] == ['a', 'b']
  assert split.annotations == ()


def test_an_attribute_may_hold_a_colon(folder):
  folder.write('task_map', task_map(TASKS | {'9': 'shoe:heel:height'}))
  record = {'imageId': 'a', 'taskId': '9', 'labelId': '1'}
  folder.write('train.data', content(record))
  split = kaggle.read_split(folder.path, 'train')
  assert split.annotations[0].attribute == 'heel:height'


def test_a_task_name_has_the_class_and_the_attribute(folder):
  labels, irregular = folder.labels(note('a', 'shoe:color', 'red'))
  assert labels == {
    'a': {'apparel': 'shoe', 'color': 'red', 'shoe:color': 'red'}
  }
  assert irregular == kaggle.Irregularities(0, 0, 0, 0)


def test_the_class_with_more_annotations_wins(folder):
  labels, irregular = folder.labels(
    note('a', 'dress:color', 'blue'),
    note('a', 'shoe:color', 'red'),
    note('a', 'shoe:age', 'kids'),
  )
  assert labels['a'] == {
    'apparel': 'shoe',
    'color': 'red',
    'shoe:color': 'red',
    'age': 'kids',
    'shoe:age': 'kids',
  }
  assert irregular.two_classes == 1
  assert irregular.repeated_labels == 0


def test_in_a_tie_the_first_class_wins(folder):
  labels, irregular = folder.labels(
    note('a', 'dress:color', 'blue'),
    note('a', 'shoe:age', 'kids'),
    note('b', 'shoe:age', 'kids'),
    note('b', 'dress:color', 'blue'),
    ids=('a', 'b'),
  )
  assert labels['a'] == {
    'apparel': 'dress',
    'color': 'blue',
    'dress:color': 'blue',
  }
  assert labels['b'] == {'apparel': 'shoe', 'age': 'kids', 'shoe:age': 'kids'}
  assert irregular.two_classes == 2


def test_the_most_frequent_label_wins(folder):
  labels, irregular = folder.labels(
    note('a', 'shoe:color', 'blue'),
    note('a', 'shoe:color', 'red'),
    note('a', 'shoe:color', 'red'),
  )
  assert labels['a']['color'] == labels['a']['shoe:color'] == 'red'
  assert irregular.two_classes == 0
  assert irregular.repeated_labels == 2


def test_in_a_tie_the_first_label_wins(folder):
  labels, irregular = folder.labels(
    note('a', 'shoe:color', 'blue'),
    note('a', 'shoe:color', 'red'),
    note('b', 'shoe:color', 'red'),
    note('b', 'shoe:age', 'kids'),
    note('b', 'shoe:color', 'blue'),
    ids=('a', 'b'),
  )
  assert labels['a']['color'] == 'blue'
  assert labels['b']['color'] == 'red'
  assert irregular.repeated_labels == 2


def test_a_repeat_in_the_class_that_is_left_out_counts_once(folder):
  _, irregular = folder.labels(
    note('a', 'dress:color', 'blue'),
    note('a', 'dress:color', 'red'),
    note('a', 'shoe:color', 'red'),
    note('a', 'shoe:color', 'red'),
    note('a', 'shoe:age', 'kids'),
  )
  assert irregular == kaggle.Irregularities(
    two_classes=1,
    repeated_labels=1,
    without_annotations=0,
    annotations_without_image=0,
  )


def test_an_annotation_without_an_image_is_left_out(folder):
  labels, irregular = folder.labels(
    note('a', 'shoe:age', 'kids'),
    note('x', 'shoe:age', 'kids'),
    note('x', 'shoe:color', 'red'),
  )
  assert set(labels) == {'a'}
  assert irregular.annotations_without_image == 2


def test_an_image_without_annotations_has_no_labels(folder):
  labels, irregular = folder.labels(
    note('b', 'shoe:age', 'kids'), ids=('a', 'b', 'c')
  )
  assert list(labels) == ['a', 'b', 'c']
  assert labels['a'] == labels['c'] == {}
  assert irregular.without_annotations == 2


LISTED = images('a')
GOOD = note('a', 'shoe:age', 'kids')


@pytest.mark.parametrize(
  'name, value, complaint',
  [
    (
      'train.data',
      content(*[GOOD] * 17, GOOD | {'labelId': '999'}),
      'fgvc4_iMat.train.data.json: annotation 17: '
      "labelId '999' is not in the label map",
    ),
    (
      'train.data',
      content(GOOD | {'taskId': '77'}),
      'fgvc4_iMat.train.data.json: annotation 0: '
      "taskId '77' is not in the task map",
    ),
    (
      'train.data',
      content(GOOD, GOOD | {'labelId': 3}),
      'fgvc4_iMat.train.data.json: annotation 1: '
      "'labelId' is missing or not a string",
    ),
    (
      'train.data',
      content({'taskId': '1', 'labelId': '1'}),
      'fgvc4_iMat.train.data.json: annotation 0: '
      "'imageId' is missing or not a string",
    ),
    (
      'train.data',
      content(None),
      'fgvc4_iMat.train.data.json: annotation 0: '
      "'taskId' is missing or not a string",
    ),
    (
      'train.data',
      {'images': [*LISTED, {'url': []}], 'annotations': []},
      'fgvc4_iMat.train.data.json: image 1: '
      "'imageId' is missing or not a string",
    ),
    (
      'train.data',
      {'images': images('a', 'b', 'a'), 'annotations': []},
      "fgvc4_iMat.train.data.json: image 2: duplicate imageId 'a'",
    ),
    (
      'train.data',
      {'images': [{'imageId': 'a', 'url': 'link'}], 'annotations': []},
      "fgvc4_iMat.train.data.json: image 0: 'url' must be a list of strings",
    ),
    (
      'train.data',
      {'images': [{'imageId': 'a', 'url': [None]}], 'annotations': []},
      "fgvc4_iMat.train.data.json: image 0: 'url' must be a list of strings",
    ),
    (
      'task_map',
      {'taskInfo': [{'taskId': '1', 'taskName': 'shoe:age'}, {'taskId': '2'}]},
      "fgvc4_iMat.task_map.json: task 1: 'taskName' is missing or not a string",
    ),
    (
      'task_map',
      {'taskInfo': task_map()['taskInfo'] * 2},
      "fgvc4_iMat.task_map.json: task 3: duplicate taskId '1'",
    ),
    (
      'task_map',
      task_map({'1': 'shoe'}),
      "fgvc4_iMat.task_map.json: taskName 'shoe' must look like 'shoe:gender'",
    ),
    (
      'task_map',
      task_map({'1': ':age'}),
      "fgvc4_iMat.task_map.json: taskName ':age' must look like 'shoe:gender'",
    ),
    (
      'task_map',
      task_map({'1': 'shoe:apparel'}),
      "fgvc4_iMat.task_map.json: taskName 'shoe:apparel': 'apparel' is "
      'reserved for the task of the apparel class',
    ),
    (
      'label_map',
      {'labelInfo': label_map()['labelInfo'] * 2},
      "fgvc4_iMat.label_map.json: label 3: duplicate labelId '1'",
    ),
    (
      'label_map',
      {'labelInfo': ['red']},
      'fgvc4_iMat.label_map.json: label 0: '
      "'labelId' is missing or not a string",
    ),
  ],
)
def test_an_error_names_the_file_the_record_and_the_problem(
  folder, name, value, complaint
):
  folder.write(name, value)
  assert folder.complaint() == complaint


@pytest.mark.parametrize(
  'name, key',
  [
    ('train.data', 'images'),
    ('train.data', 'annotations'),
    ('task_map', 'taskInfo'),
    ('label_map', 'labelInfo'),
  ],
)
@pytest.mark.parametrize('value', [None, {}, 'text', 3])
def test_a_file_without_its_list(folder, name, key, value):
  path = folder.path / f'fgvc4_iMat.{name}.json'
  whole = json.loads(path.read_text())
  folder.write(name, whole | {key: value})
  assert folder.complaint() == f"{path}: no list '{key}'"
  folder.write(name, [])
  assert folder.complaint().startswith(f'{path}: no list')


@pytest.mark.parametrize('name', ['train.data', 'task_map', 'label_map'])
def test_a_file_that_is_missing_or_no_json(folder, name):
  path = folder.path / f'fgvc4_iMat.{name}.json'
  path.write_text('{"images": [')
  assert folder.complaint().startswith(f'{path}: not JSON')
  path.write_bytes(b'\xff\xfe')
  assert folder.complaint().startswith(f'{path}: not JSON')
  path.unlink()
  assert folder.complaint() == f'{path}: no such file'


def test_a_folder_that_is_missing(tmp_path):
  with pytest.raises(errors.UserError, match='no such folder'):
    kaggle.read_split(tmp_path / 'none', 'train')


KEYS = ['images', 'annotations', 'taskInfo', 'labelInfo', 'imageId', 'url']
KEYS += ['taskId', 'taskName', 'labelId', 'labelName']
SCALARS = [None, True, 3, 1.5, '', '1', 'a', 'shoe:age', '\ud800', 'a\0']
JSON = st.recursive(
  st.sampled_from(SCALARS),
  lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
  ),
  max_leaves=12,
)


@contextlib.contextmanager
def nothing_but_user_errors():
  with contextlib.suppress(errors.UserError):
    yield


@given(st.sampled_from(['train.data', 'task_map', 'label_map']), JSON)
def test_arbitrary_json_raises_nothing_but_user_errors(name, value):
  with tempfile.TemporaryDirectory() as path:
    folder = Folder(path)
    folder.write('train.data', content(GOOD))
    folder.write(name, value)
    with nothing_but_user_errors():
      kaggle.labels_by_image(kaggle.read_split(path, 'train'))


@given(st.sampled_from(KEYS), JSON)
def test_arbitrary_values_in_a_record_raise_nothing_but_user_errors(key, value):
  """As above, deeper: one key of one good record has any value."""

  def damage(whole):
    lists = [records for records in whole.values() if key in records[0]]
    for records in lists:
      records[0] = records[0] | {key: value}
    return whole | ({key: value} if key in whole else {})

  with tempfile.TemporaryDirectory() as path:
    folder = Folder(path)
    folder.write('train.data', damage(content(GOOD)))
    folder.write('task_map', damage(task_map()))
    folder.write('label_map', damage(label_map()))
    with nothing_but_user_errors():
      kaggle.labels_by_image(kaggle.read_split(path, 'train'))


@pytest.mark.parametrize(
  'body', [b'', b'\x00', b'[' * 10**5, b'\xef\xbb\xbf{}']
)
def test_bytes_that_are_no_json_are_user_errors(folder, body):
  (folder.path / 'fgvc4_iMat.train.data.json').write_bytes(body)
  assert 'fgvc4_iMat.train.data.json' in folder.complaint()


def test_a_million_annotations_of_one_image_are_counted_once_each():
  """Linear, also if each has another attribute."""
  number = 10**6
  split = kaggle.Split(
    'train',
    (kaggle.Image('1', ()),),
    tuple(
      kaggle.Annotation('1', 'shoe', str(n % 10**5), 'ab'[n % 3 == 0])
      for n in range(number)
    ),
  )
  labels, counts = kaggle.labels_by_image(split)
  assert len(labels['1']) == 1 + 2 * 10**5
  assert counts.repeated_labels == number - 10**5
  assert labels['1']['7'] == 'a'


@pytest.mark.parametrize('name', ['🧥 👩\u200d👧', 'سماء', '<b>"&\'', 'a\nb\0'])
def test_any_name_is_kept_as_it_is(folder, name):
  folder.write('label_map', label_map(LABELS | {'1': name}))
  folder.write('train.data', content(note('a', 'shoe:color', 'red')))
  split = kaggle.read_split(folder.path, 'train')
  assert name in {a.label for a in split.annotations}


def test_half_a_letter_is_no_name(folder):
  folder.write('label_map', label_map(LABELS | {'1': 'a\ud800'}))
  assert 'not valid Unicode' in folder.complaint()


def test_an_empty_split_is_no_error(folder):
  folder.write('train.data', {'images': [], 'annotations': []})
  split = kaggle.read_split(folder.path, 'train')
  assert kaggle.labels_by_image(split)[0] == {}
