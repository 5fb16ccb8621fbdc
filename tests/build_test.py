import collections
import csv
import dataclasses
import json
import pathlib
import sys
import tempfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from imat_jax import errors
from imat_jax.data import (
  build,
  configs,
  image_validation,
  manifest,
  source,
  tfds_builder,
)
from imat_jax.runtime import outputs, progress

SIDE = 10  # of a stored photo for an image_size of 8
CLASSES = ('dress', 'shoe')
# Photos that will not be there, and why.
NOT_FOUND, BROKEN, UNLABELLED = 'train-5', 'train-6', 'train-20'
DEAD_LINK, DEAD_HOST = 'train-21', 'validation-3'
FAILED = {DEAD_LINK: 'http_404', DEAD_HOST: 'dns'}
LOST = {NOT_FOUND, BROKEN, UNLABELLED, *FAILED}

# Rare in train alone.
TEAL = {'train': (10,), 'validation': (2, 4, 10, 12, 13, 14, 16, 17, 19)}


@dataclasses.dataclass
class Shop:
  """Files as Kaggle and the download leave them; 40 and 20 photos of 32 px."""

  root: pathlib.Path

  @property
  def annotations(self):
    return self.root / 'annotations'

  @property
  def images(self):
    return self.root / 'images'

  def read(self, name):
    return json.loads(self._path(name).read_text())

  def write(self, name, content):
    self._path(name).write_text(json.dumps(content))

  def _path(self, name):
    return self.annotations / f'fgvc4_iMat.{name}.json'

  @property
  def built(self):
    return self.root / 'built'

  def build(self, data_dir=None, **flags):
    folders = {
      'annotations': str(self.annotations),
      'images': str(self.images),
      'data_dir': str(data_dir or self.built),
    }
    build.main(configs.Build(**folders | {'image_size': 8} | flags))


def labels_of(split, number) -> dict[str, str]:
  """Attribute → label, as the shop's people gave them."""
  if f'{split}-{number}' == UNLABELLED:
    return {}
  labels = {'color': ('blue', 'red')[number // 2 % 2]}
  if number % 3 == 0:
    labels['age'] = 'kids'
    if number % 2:
      del labels['color']
  if number in TEAL[split]:
    labels['color'] = 'teal'
  if (split, number) == ('validation', 1):
    labels['size'] = 'large'  # a task that train does not have
  return labels


def class_of(number) -> str:
  return CLASSES[number % len(CLASSES)]


ATTRIBUTES = ('age', 'color', 'size')
NAMES = ('blue', 'kids', 'large', 'red', 'teal')
TASKS = [f'{apparel}:{name}' for apparel in CLASSES for name in ATTRIBUTES]


def make_shop(root) -> Shop:
  shop = Shop(root)
  shop.annotations.mkdir()
  for kind, names in (('task', TASKS), ('label', NAMES)):
    records = [
      {f'{kind}Id': str(i), f'{kind}Name': name} for i, name in enumerate(names)
    ]
    shop.write(f'{kind}_map', {f'{kind}Info': records})
  for split, number in (('train', 40), ('validation', 20)):
    shop.write(f'{split}.data', _content(split, number))
    _place_photos(shop.images, split, number)
  return shop


def _content(split, number):
  images = [
    {'imageId': f'{split}-{i}', 'url': [f'https://shop.example/{split}/{i}']}
    for i in range(number)
  ]
  labels = [
    {
      'imageId': f'{split}-{i}',
      'taskId': str(TASKS.index(f'{class_of(i)}:{attribute}')),
      'labelId': str(NAMES.index(label)),
    }
    for i in range(number)
    for attribute, label in labels_of(split, i).items()
  ]
  if split == 'train':
    # Photo 0 is a dress with two labels in its favor, and a shoe with one.
    labels.append(labels[0] | {'taskId': str(TASKS.index('shoe:color'))})
    labels.append(labels[0] | {'imageId': 'nobody'})
    labels.append(labels[2] | {'labelId': str(NAMES.index('red'))})
  return {'images': images, 'annotations': labels}


def _place_photos(images, split, number):
  folder, lines = images / split, []
  folder.mkdir(parents=True)
  rng = np.random.default_rng(number)
  for name in (f'{split}-{i}' for i in range(number)):
    if name in FAILED:
      link = 'https://shop.example'
      lines.append(manifest.failed(name, link, FAILED[name], 1))
    elif name != NOT_FOUND:
      path = folder / f'{name}.jpg'
      color = tuple(int(c) for c in rng.integers(0, 256, 3))
      Image.new('RGB', (32, 24), color).save(path)
      if name == BROKEN:
        path.write_bytes(path.read_bytes()[:100])
      picture = image_validation.Picture('', 32, 24)
      lines.append(manifest.ok(name, None, picture, 1))
  manifest.write(manifest.path(images, split), lines)


@pytest.fixture
def shop(tmp_path) -> Shop:
  root = tmp_path / 'shop'
  root.mkdir()
  return make_shop(root)


@pytest.fixture(scope='module')
def built_shop(tmp_path_factory) -> Shop:
  """A shop with a data set in `root / 'built'`; read-only."""
  root = tmp_path_factory.mktemp('shop')
  shop = make_shop(root)
  shop.build(root / 'built', min_label_share=0.1)
  return shop


@pytest.fixture
def data_dir(built_shop) -> pathlib.Path:
  return built_shop.root / 'built'


def opened(data_dir):
  """A data set, without a line of imat_jax."""
  (directory,) = pathlib.Path(data_dir).glob('*/*')
  return tfds.builder_from_directory(directory)


def plain_read(data_dir, split) -> list[dict]:
  return list(opened(data_dir).as_data_source(split))


def plain_tasks(data_dir) -> dict[str, list[str]]:
  return dict(opened(data_dir).info.metadata['tasks'])


def statistics_of(data_dir):
  return json.loads((data_dir / 'statistics.json').read_text())


def expected_labels(split, number, task, names):
  """The number that a photo should have in a task."""
  labels = labels_of(split, number)
  apparel, colon, attribute = task.rpartition(':')
  if task == 'apparel':
    label = class_of(number)
  elif colon and apparel != class_of(number):
    return -1
  else:
    label = labels.get(attribute)
  if label is None:
    return -1
  return names.index(label if label in names else 'other')


def files_of(folder) -> dict[str, bytes]:
  """All but the record, which has a line of each time that a file changed."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob('*'))
    if path.is_file() and path.name != outputs.RECORD
  }


def assert_tidy(data_dir):
  """Nothing half-written is left behind."""
  names = {path.name for path in data_dir.iterdir()}
  assert names <= {
    'imaterialist',
    'lost_photos.csv',
    'near_duplicates.csv',
    'statistics.json',
    outputs.RECORD,
  }


def test_any_tool_that_reads_tfds_can_read_it(data_dir):
  rows = plain_read(data_dir, 'train')
  assert len(rows) == 36
  for row in rows:
    assert row['image'].shape == (SIDE, SIDE, 3)
    assert row['image'].dtype == np.uint8
    assert row['labels'].dtype == np.int32
  ids = [row['image_id'].decode() for row in rows]
  assert ids == [f'train-{i}' for i in range(40) if f'train-{i}' not in LOST]
  assert len(plain_read(data_dir, 'validation')) == 19


def test_each_image_belongs_to_its_id(built_shop, data_dir):
  for row in plain_read(data_dir, 'train'):
    name = f'{row["image_id"].decode()}.jpg'
    with Image.open(built_shop.images / 'train' / name) as photo:
      color = photo.getpixel((0, 0))
    np.testing.assert_allclose(row['image'].mean((0, 1)), color, atol=4)


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_labels_are_numbers_and_minus_one_where_missing(data_dir, split):
  task_names = plain_tasks(data_dir)
  for row in plain_read(data_dir, split):
    number = int(row['image_id'].decode().split('-')[1])
    expected = [
      expected_labels(split, number, task, list(names))
      for task, names in task_names.items()
    ]
    assert row['labels'].tolist() == expected


def test_the_tasks_are_apparel_the_attributes_and_those_of_a_class(data_dir):
  """Counted on train alone, where no photo has a size, and few are teal."""
  assert {k: list(v) for k, v in plain_tasks(data_dir).items()} == {
    'apparel': ['dress', 'shoe'],
    'age': ['kids'],
    'color': ['blue', 'red', 'other'],
    'dress:age': ['kids'],
    'dress:color': ['blue', 'red', 'other'],
    'shoe:age': ['kids'],
    'shoe:color': ['blue', 'red', 'other'],
  }


def test_the_statistics_say_what_was_lost_and_why(data_dir):
  splits = statistics_of(data_dir)['splits']
  assert (splits['train']['listed'], splits['train']['kept']) == (40, 36)
  assert splits['train']['lost'] == {
    'without annotations': 1,
    'no file': 1,
    'does not decode': 1,
    'download: http_404': 1,
  }
  assert splits['validation']['lost'] == {'download: dns': 1}
  assert splits['train']['irregular'] == {
    'two_classes': 1,
    'repeated_labels': 1,
    'without_annotations': 1,
    'annotations_without_image': 1,
  }
  assert set(splits['validation']['irregular'].values()) == {0}


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_the_statistics_equal_a_recount_of_the_rows(data_dir, split):
  rows = plain_read(data_dir, split)
  split_statistics = statistics_of(data_dir)['splits'][split]
  assert split_statistics['kept'] == len(rows)
  assert (
    split_statistics['kept'] + sum(split_statistics['lost'].values())
    == split_statistics['listed']
  )
  task_names = plain_tasks(data_dir)
  assert list(split_statistics['tasks']) == list(task_names)
  for column, (task, names) in enumerate(task_names.items()):
    numbers = [row['labels'][column] for row in rows]
    counts = collections.Counter(names[n] for n in numbers if n != -1)
    assert split_statistics['tasks'][task] == {
      'labelled': counts.total(),
      'fill_rate': pytest.approx(counts.total() / len(rows)),
      'counts': {name: counts[name] for name in names},
    }


def test_the_metadata_is_in_the_data_set_and_in_the_statistics(data_dir):
  metadata = source.read_metadata(data_dir)
  assert metadata == statistics_of(data_dir)['metadata']
  assert metadata['image_size'] == 8
  assert metadata['stored_side'] == SIDE
  assert metadata['num_examples'] == {'train': 36, 'validation': 19}
  assert len(metadata['sources']) == 4


def test_a_build_prints_its_table_and_writes_nothing_else(shop, capsys):
  shop.build(min_label_share=0.1)
  out = capsys.readouterr().out
  assert 'lost: download: http 404' in out
  assert 'filled in train' in out
  assert "rare labels became 'other': color 1 of 3" in out
  assert 'each on less than 0.1 of the labelled train photos' in out
  assert_tidy(shop.built)


def test_beam_builds_the_same_bytes(shop, monkeypatch):
  monkeypatch.setenv('HOME', str(shop.root))
  shop.build(shop.root / 'here')
  temp = shop.root / 'temp'
  there = shop.root / 'in a folder' / 'there'
  shop.build(there, beam='--runner=FnApiRunner --temp_location=~/temp')
  assert files_of(shop.root / 'here') == files_of(there)
  assert list(temp.iterdir()) == []


@pytest.mark.parametrize(
  'options, complaint',
  [
    ('--runner=Nope', 'Unexpected .* Nope'),
    ("--temp_location='a", 'No closing quotation'),
  ],
)
def test_options_that_beam_does_not_know(shop, options, complaint):
  refuse(shop, f'--beam: {complaint}', beam=options)


def test_without_beam_a_line_names_the_extra(shop, monkeypatch):
  monkeypatch.setitem(sys.modules, 'apache_beam', None)
  install = r"pip install 'imat_jax\[beam\]'"
  refuse(shop, install, beam='--runner=DirectRunner')


def test_a_second_build_reports_the_existing_data_set(shop, capsys):
  shop.build()
  before = files_of(shop.built)
  capsys.readouterr()
  shop.build()
  assert 'already exists' in capsys.readouterr().out
  assert files_of(shop.built) == before
  assert_tidy(shop.built)


def overwrite_refused(shop, **flags):
  before = files_of(shop.built)
  with pytest.raises(errors.UserError) as caught:
    shop.build(**flags)
  assert str(tfds_builder.directory(shop.built)) in str(caught.value)
  assert '--overwrite' in str(caught.value)
  assert files_of(shop.built) == before
  assert_tidy(shop.built)


@pytest.mark.parametrize(
  'change',
  [
    {'image_size': 16},
    {'exact_size': True},
    {'min_label_share': 0.2},
    {'require_any_of': ('age',)},
  ],
)
def test_other_options_do_not_replace_a_data_set_unasked(shop, change):
  shop.build()
  overwrite_refused(shop, **change)
  shop.build(overwrite=True, **change)
  shop.build(shop.root / 'fresh', **change)
  assert files_of(shop.built) == files_of(shop.root / 'fresh')
  assert_tidy(shop.built)


def test_other_files_do_not_replace_a_data_set_unasked(shop):
  shop.build()
  content = shop.read('validation.data')
  fewer = content | {'annotations': content['annotations'][:-1]}
  shop.write('validation.data', fewer)
  overwrite_refused(shop)
  shop.write('validation.data', content)
  Image.new('RGB', (9, 9)).save(shop.images / 'train' / 'train-0.jpg')
  overwrite_refused(shop)


def test_require_any_of_keeps_the_photos_that_have_such_a_label(shop):
  shop.build(require_any_of=('age',))
  for split, number in (('train', 40), ('validation', 20)):
    reference = {
      f'{split}-{i}'
      for i in range(number)
      if {'age'} & labels_of(split, i).keys()
    }
    rows = plain_read(shop.built, split)
    assert {row['image_id'].decode() for row in rows} == reference - LOST
    split_statistics = statistics_of(shop.built)['splits'][split]
    # Photos that were not selected are counted as such.
    without = UNLABELLED.startswith(split)
    dropped = number - len(reference) - without
    assert split_statistics['lost']['no label of the selection'] == dropped
    assert (
      split_statistics['kept'] + sum(split_statistics['lost'].values())
      == number
    )


def test_photos_without_a_manifest_have_plain_reasons(shop):
  for path in shop.images.glob('*.jsonl'):
    path.unlink()
  shop.build()
  lost = statistics_of(shop.built)['splits']['train']['lost']
  reasons = {'without annotations': 1, 'no file': 2, 'does not decode': 1}
  assert lost == reasons


def refuse(shop, complaint, **flags):
  with pytest.raises(errors.UserError, match=complaint):
    shop.build(**flags)
  if shop.built.exists():
    assert list(shop.built.iterdir()) == []


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_no_folder_of_photos(shop, split):
  folder = shop.images / split
  folder.rename(shop.root / 'elsewhere')
  refuse(shop, f'{folder}: no such folder')


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_no_photo_at_all(shop, split):
  for path in (shop.images / split).iterdir():
    path.unlink()
  refuse(shop, 'has the download run?')


def test_no_annotations_folder(shop):
  shop.annotations.rename(shop.root / 'elsewhere')
  refuse(shop, f'{shop.annotations}: no such folder')


@pytest.mark.parametrize(
  'name', ['train.data', 'validation.data', 'task_map', 'label_map']
)
def test_no_annotations_file(shop, name):
  (shop.annotations / f'fgvc4_iMat.{name}.json').unlink()
  refuse(shop, f'{name}.json: no such file')


def test_a_failure_while_writing_leaves_what_was_there(shop, monkeypatch):
  def fail(*arguments):
    raise OSError(28, 'No space left on device')

  def build_on_a_full_disk(**flags):
    with monkeypatch.context() as patch:
      patch.setattr(tfds_builder, 'write', fail)
      with pytest.raises(OSError, match='No space left'):
        shop.build(**flags)
    return files_of(shop.built)

  assert build_on_a_full_disk() == {}
  assert list(shop.built.iterdir()) == []
  shop.build()
  before = files_of(shop.built)
  assert build_on_a_full_disk(image_size=16, overwrite=True) == before
  assert_tidy(shop.built)


def test_overwrite_replaces_a_damaged_data_set(shop):
  shop.build()
  before = files_of(shop.built)
  (tfds_builder.directory(shop.built) / 'metadata.json').write_text('{')
  shop.build(overwrite=True)
  assert files_of(shop.built) == before


@pytest.mark.parametrize('names', [('colr',), ('color', 'materail')])
def test_a_selection_that_is_no_task_is_refused(shop, names):
  refuse(shop, f"no task '{names[-1]}'", require_any_of=names)


def test_the_selection_takes_the_spelling_of_the_report(shop):
  shop.build(shop.root / 'one', require_any_of=('color',))
  shop.build(shop.root / 'two', require_any_of=('colour',))
  rows = [plain_read(shop.root / name, 'train') for name in ('one', 'two')]
  ids = [[row['image_id'] for row in result] for result in rows]
  assert ids[0] == ids[1] != []


@pytest.fixture
def leaking_shop(shop) -> Shop:
  """Each photo is another, but two of validation are smaller ones of train."""
  rng = np.random.default_rng(0)
  for path in shop.images.glob('*/*.jpg'):
    noise = rng.integers(40, 200, (12, 12, 3), np.uint8)
    Image.fromarray(noise).resize((300, 300), Image.BICUBIC).save(path)
  for here, there in (
    ('train-10', 'validation-5'),
    ('train-11', 'validation-6'),
  ):
    with Image.open(shop.images / 'train' / f'{here}.jpg') as photo:
      smaller = photo.resize((200, 220))
    smaller.save(shop.images / 'validation' / f'{there}.jpg')
  return shop


def test_near_duplicates_are_counted_and_listed(leaking_shop, capsys):
  leaking_shop.build(image_size=64)
  split_statistics = statistics_of(leaking_shop.built)['splits']
  assert split_statistics['validation']['near_duplicates'] == {
    'of_its_own': 0,
    'of_train': 2,
  }
  assert 'near duplicates: of train' in capsys.readouterr().out
  with (leaking_shop.built / 'near_duplicates.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert {(r['twin_id'], r['image_id']) for r in rows} == {
    ('train-10', 'validation-5'),
    ('train-11', 'validation-6'),
  }


def test_validation_photos_with_duplicates_in_train_can_be_dropped(
  leaking_shop,
):
  leaking_shop.build(image_size=64, drop_duplicates=True)
  split_statistics = statistics_of(leaking_shop.built)['splits']
  ids = {
    row['image_id'].decode()
    for row in plain_read(leaking_shop.built, 'validation')
  }
  assert not ids & {'validation-5', 'validation-6'}
  assert split_statistics['validation']['kept'] == len(ids)
  lost = split_statistics['validation']['lost']
  assert lost['stands in train'] == 2
  assert split_statistics['validation']['listed'] == len(ids) + sum(
    lost.values()
  )
  plain = leaking_shop.root / 'plain'
  leaking_shop.build(plain, image_size=64)
  assert (
    statistics_of(plain)['metadata']['fingerprint']
    != statistics_of(leaking_shop.built)['metadata']['fingerprint']
  )


def test_no_name_reaches_the_terminal_unescaped(shop, capsys):
  """A name may hold what moves the cursor or turns the writing around."""
  odd = 'red\x1b[2Jgone\u202e\n<b>'
  labels = shop.read('label_map')
  labels['labelInfo'][0]['labelName'] = odd
  shop.write('label_map', labels)
  shop.build()
  out = capsys.readouterr().out
  assert not {letter for letter in out if not letter.isprintable()} - {'\n'}
  names = [n for of in plain_tasks(shop.built).values() for n in of]
  assert odd in names, 'the data keeps it as it is'


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_a_split_without_photos_is_reported(shop, split):
  shop.write(f'{split}.data', {'images': [], 'annotations': []})
  refuse(shop, f'{split}.data.json: no {split} photos;')


def test_a_split_without_labels_is_reported(shop):
  content = shop.read('validation.data')
  shop.write('validation.data', content | {'annotations': []})
  refuse(shop, 'none of the 20 listed photos has a label')


def test_a_task_without_a_validation_label_is_named(shop, capsys):
  content = shop.read('validation.data')
  ages = {str(n) for n, name in enumerate(TASKS) if name.endswith(':age')}
  content['annotations'] = [
    a for a in content['annotations'] if a['taskId'] not in ages
  ]
  shop.write('validation.data', content)
  shop.build()
  assert 'no validation photo has a label of: age,' in capsys.readouterr().out


def test_files_that_are_there_are_no_question_of_the_download(shop):
  content = shop.read('train.data')
  images = [image | {'url': []} for image in content['images'][1:3]]
  shop.write('train.data', content | {'images': images})
  folder = shop.images / 'train'
  (folder / 'train-1.jpg').write_text('<html>')
  (folder / 'train-2.jpg').unlink()
  with pytest.raises(errors.UserError) as caught:
    shop.build()
  assert str(caught.value) == (
    f'{folder}: none of the 2 listed photos can be used: '
    f'does not decode: HTML page 1 (first: {folder}/train-1.jpg), '
    f'no file 1 (first: {folder}/train-2.jpg)'
  )


def test_each_lost_photo_is_named(shop, capsys):
  (shop.images / 'train' / 'train-7.jpg').write_bytes(b'\0\0\0\x18ftypheic')
  shop.build()
  out = capsys.readouterr().out
  assert f'{shop.built}/lost_photos.csv' in out
  assert f'first: {shop.images}/train/train-7.jpg' in out
  with (shop.built / 'lost_photos.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  reasons = {row['image_id']: row['reason'] for row in rows}
  assert reasons == {
    NOT_FOUND: 'no file',
    BROKEN: 'does not decode',
    'train-7': 'does not decode: HEIC',
    UNLABELLED: 'without annotations',
    DEAD_LINK: 'download: http_404',
    DEAD_HOST: 'download: dns',
  }
  assert rows[0]['file'] == f'{shop.images}/train/{NOT_FOUND}.jpg'
  assert rows[0]['link'] == 'https://shop.example/train/5'
  for split, result in statistics_of(shop.built)['splits'].items():
    counts = collections.Counter(
      row['reason'] for row in rows if row['split'] == split
    )
    assert result['lost'] == counts


def test_a_lost_id_may_be_any_text(shop):
  odd = 'a "b",\n\ud800'
  content = shop.read('train.data')
  content['images'].append({'imageId': odd, 'url': []})
  shop.write('train.data', content)
  shop.build()
  with (shop.built / 'lost_photos.csv').open(newline='') as file:
    ids = [row['image_id'] for row in csv.DictReader(file)]
  assert r'a "b",\n\ud800' in ids


USERS_FILES = [
  'statistics.json',
  'near_duplicates.csv',
  'lost_photos.csv',
  'imaterialist/1.0.0/notes.txt',
  'imaterialist/1.0.0/imaterialist-train.tfrecord-00000-of-00001',
]


@pytest.mark.parametrize('name', USERS_FILES)
@pytest.mark.parametrize('is_built', [False, True])
def test_files_of_the_users_are_not_overwritten(shop, name, is_built):
  if is_built:
    shop.build()
  path = shop.built / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text('mine')
  before = files_of(shop.built)
  with pytest.raises(errors.UserError, match=name):
    shop.build(overwrite=True, image_size=16)
  assert files_of(shop.built) == before


def test_half_a_data_set_is_replaced_where_one_asks_for_it(shop):
  shop.build()
  (tfds_builder.directory(shop.built) / 'metadata.json').unlink()
  overwrite_refused(shop)
  shop.build(overwrite=True)
  assert len(plain_read(shop.built, 'train')) == 36


def test_what_an_earlier_version_wrote_can_be_replaced(shop):
  shop.build()
  (shop.built / outputs.RECORD).unlink()
  (shop.built / 'lost_photos.csv').unlink()
  shop.build(image_size=16, overwrite=True)
  shop.build(shop.root / 'fresh', image_size=16)
  assert files_of(shop.built) == files_of(shop.root / 'fresh')


@pytest.mark.parametrize('flag', ['annotations', 'images'])
def test_a_data_set_does_not_replace_what_it_is_made_of(shop, flag):
  inside = shop.built / 'imaterialist'
  shop.built.mkdir()
  (shop.root / flag).rename(inside)
  before = files_of(shop.root)
  with pytest.raises(errors.UserError, match=f'--{flag}=.* overlap'):
    shop.build(overwrite=True, **{flag: str(inside)})
  assert files_of(shop.root) == before


def test_photos_and_data_set_may_share_a_folder(shop):
  shop.build(shop.images)
  assert statistics_of(shop.images)['splits']['train']['kept'] == 36


def test_what_file_managers_leave_does_not_matter(shop):
  shop.build()
  home = tfds_builder.directory(shop.built)
  names = ('.DS_Store', '._metadata.json', '._1.jpg', 'Thumbs.db')
  litter = [
    folder / name
    for folder in (
      *(shop.built, home.parent, home, shop.annotations, shop.images),
      *(shop.images / 'train', shop.images / 'validation'),
    )
    for name in names
  ]
  for path in litter:
    path.write_bytes(b'\0\0\0\1Bud1')
  shop.build()  # the same one
  shop.build(overwrite=True, image_size=16)
  assert all(path.read_bytes() == b'\0\0\0\1Bud1' for path in litter)
  examples = source.Source(shop.built, 'train', source.read_tasks(shop.built))
  assert len(examples) == 36


def test_what_a_killed_build_left_is_removed(shop):
  left = shop.built / '.build-abcdefgh'
  (left / 'work' / 'train').mkdir(parents=True)
  (left / 'lock').touch()
  shop.build()
  assert_tidy(shop.built)


def test_no_folder_is_left_in_the_temporary_one(shop, monkeypatch):
  temporary = shop.root / 'tmp'
  temporary.mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(temporary))
  shop.build()
  task_set = source.read_tasks(shop.built)
  source.Source(shop.built, 'train', task_set)
  assert list(temporary.iterdir()) == []


def test_every_slow_part_reports_progress(shop, monkeypatch, capsys):
  monkeypatch.setattr(progress, 'PLAIN_SECONDS', 0.0)
  shop.build()
  err = capsys.readouterr().err
  labels = {line.partition(': ')[0] for line in err.splitlines()}
  assert labels >= {
    'read fgvc4_iMat.train.data.json',
    'labels of train',
    'train',
    'near-duplicates',
    'fingerprint',
    'write train',
    'count labels',
  }
