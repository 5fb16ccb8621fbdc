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
  notes = [note('a', 'dress:color', 'blue'), note('b', 'shoe:age', 'kids')]
  whole = {'images': [record, *images('a')], 'annotations': notes}
  folder.write('train.data', whole)
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


RED, BLUE = (note('a', 'shoe:color', label) for label in ('red', 'blue'))
KIDS = note('a', 'shoe:age', 'kids')
DRESS = note('a', 'dress:color', 'blue')
SHOE = {'apparel': 'shoe'}
NO_IMAGE = [note('x', 'shoe:age', 'kids'), note('x', 'shoe:color', 'red')]
BOTH = SHOE | {'color': 'red', 'age': 'kids'}


@pytest.mark.parametrize(
  'notes, expected, two_classes, repeated, orphans',
  [
    ([RED], SHOE | {'color': 'red'}, 0, 0, 0),
    # The class with more annotations wins, in a tie the first.
    ([DRESS, RED, KIDS], BOTH, 1, 0, 0),
    ([DRESS, KIDS], {'apparel': 'dress', 'color': 'blue'}, 1, 0, 0),
    ([KIDS, DRESS], SHOE | {'age': 'kids'}, 1, 0, 0),
    # The most frequent label wins, in a tie the first.
    ([BLUE, RED, RED], SHOE | {'color': 'red'}, 0, 2, 0),
    ([BLUE, KIDS, RED], BOTH | {'color': 'blue'}, 0, 1, 0),
    ([RED, BLUE], SHOE | {'color': 'red'}, 0, 1, 0),
    # A repeat in the class that is left out is not counted.
    ([DRESS, DRESS, RED, RED, KIDS], BOTH, 1, 1, 0),
    ([KIDS, *NO_IMAGE], SHOE | {'age': 'kids'}, 0, 0, 2),
  ],
)
def test_each_rule_is_applied_and_counted(
  folder, notes, expected, two_classes, repeated, orphans
):
  """On annotations of photo a; the task of an attribute has its label too."""
  labels, irregular = folder.labels(*notes)
  of_class = {
    f'{expected["apparel"]}:{attribute}': label
    for attribute, label in expected.items()
    if attribute != 'apparel'
  }
  assert labels == {'a': expected | of_class}
  assert irregular == kaggle.Irregularities(
    two_classes=two_classes,
    repeated_labels=repeated,
    without_annotations=0,
    annotations_without_image=orphans,
  )


def test_an_image_without_annotations_has_no_labels(folder):
  labels, irregular = folder.labels(
    note('b', 'shoe:age', 'kids'), ids=('a', 'b', 'c')
  )
  assert list(labels) == ['a', 'b', 'c']
  assert labels['a'] == labels['c'] == {}
  assert irregular.without_annotations == 2


NO_TEXT = 'is missing or not a string'
NO_LIST = "'url' must be a list of strings"
LIKE = "must look like 'shoe:gender'"
# The second record of a file, and what is said of it.
BAD_ANNOTATIONS = [
  (KIDS | {'labelId': '999'}, "labelId '999' is not in the label map"),
  (KIDS | {'taskId': '77'}, "taskId '77' is not in the task map"),
  (KIDS | {'labelId': 3}, f"'labelId' {NO_TEXT}"),
  ({'taskId': '1', 'labelId': '1'}, f"'imageId' {NO_TEXT}"),
  (None, f"'taskId' {NO_TEXT}"),
]
BAD_IMAGES = [
  ({'url': []}, f"'imageId' {NO_TEXT}"),
  ({'imageId': 'a', 'url': []}, "duplicate imageId 'a'"),
  ({'imageId': 'b', 'url': 'link'}, NO_LIST),
  ({'imageId': 'b', 'url': [None]}, NO_LIST),
]
BAD_TASKS = [
  ({'taskId': '2'}, f"task 1: 'taskName' {NO_TEXT}"),
  ({'taskId': '1', 'taskName': 'a:b'}, "task 1: duplicate taskId '1'"),
  ({'taskId': '2', 'taskName': 'shoe'}, f"taskName 'shoe' {LIKE}"),
  ({'taskId': '2', 'taskName': ':age'}, f"taskName ':age' {LIKE}"),
  (
    {'taskId': '2', 'taskName': 'shoe:apparel'},
    "taskName 'shoe:apparel': 'apparel' is reserved for the task of the apparel"
    ' class',
  ),
]
BAD_LABELS = [
  ({'labelId': '1', 'labelName': 'red'}, "duplicate labelId '1'"),
  ('red', f"'labelId' {NO_TEXT}"),
]
BAD_RECORDS = [
  *(
    ('train.data', content(KIDS, x), f'annotation 1: {complaint}')
    for x, complaint in BAD_ANNOTATIONS
  ),
  *(
    (
      'train.data',
      content() | {'images': [*images('a'), x]},
      f'image 1: {complaint}',
    )
    for x, complaint in BAD_IMAGES
  ),
  *(
    (
      'task_map',
      {'taskInfo': [{'taskId': '1', 'taskName': 'a:b'}, x]},
      complaint,
    )
    for x, complaint in BAD_TASKS
  ),
  *(
    (
      'label_map',
      {'labelInfo': [{'labelId': '1', 'labelName': 'a'}, x]},
      f'label 1: {complaint}',
    )
    for x, complaint in BAD_LABELS
  ),
]


@pytest.mark.parametrize('name, value, complaint', BAD_RECORDS)
def test_an_error_names_the_file_the_record_and_the_problem(
  folder, name, value, complaint
):
  folder.write(name, value)
  assert folder.complaint() == f'fgvc4_iMat.{name}.json: {complaint}'


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
  utf_8_mark = b'\xef\xbb\xbf{}'
  for body in (
    b'{"images": [',
    b'\xff\xfe',
    b'\0',
    b'[' * 10**5,
    b'',
    utf_8_mark,
  ):
    path.write_bytes(body)
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
    folder.write('train.data', content(KIDS))
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
    folder.write('train.data', damage(content(KIDS)))
    folder.write('task_map', damage(task_map()))
    folder.write('label_map', damage(label_map()))
    with nothing_but_user_errors():
      kaggle.labels_by_image(kaggle.read_split(path, 'train'))


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
