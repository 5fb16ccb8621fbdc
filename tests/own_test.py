"""A CSV file or folders become what the build reads."""

import csv
import io
import json
import pathlib

import pytest

from imat_jax import config, errors
from imat_jax.data import annotations, build, own, source


def _run(root: pathlib.Path, place: str, **knobs) -> config.Own:
  command = config.Own(
    source=str(root / place),
    annotations=str(root / 'annotations'),
    images=str(root / 'images'),
    **knobs,
  )
  own.main(command)
  return command


def _table(root: pathlib.Path, *rows, name='labels.csv') -> None:
  text = io.StringIO()
  csv.writer(text).writerows(rows)
  (root / name).write_text(text.getvalue())


@pytest.fixture
def shop(kaggle, tmp_path) -> pathlib.Path:
  """20 photos and a table with two tasks, of which cells are empty."""
  (tmp_path / 'photos').mkdir()
  rows = [('photo', 'split', 'shape', 'color')]
  for i in range(20):
    name = f'photos/{i}.jpg'
    body = (kaggle.images / f'validation/{i}.jpg').read_bytes()
    (tmp_path / name).write_bytes(body)
    split = 'validation' if i % 4 == 3 else 'train'
    rows.append((name, split, 'ab'[i % 2], '' if i % 3 else 'red'))
  _table(tmp_path, *rows)
  return tmp_path


def _labels(root: pathlib.Path, split: str) -> dict[str, dict[str, str]]:
  found, _ = annotations.labels_by_image(
    annotations.read_split(root / 'annotations', split)
  )
  return found


def test_a_table_becomes_annotations(shop, capsys):
  _run(shop, 'labels.csv')
  assert '15 train, 5 validation photos' in capsys.readouterr().out
  train = _labels(shop, 'train')
  assert list(train) == [str(i + 1) for i in range(20) if i % 4 != 3]
  for image_id, labels in train.items():
    i = int(image_id) - 1
    expected = {'shape': 'ab'[i % 2]} | ({} if i % 3 else {'color': 'red'})
    attributes = {n: x for n, x in labels.items() if ':' not in n}
    del attributes['apparel']
    assert attributes == expected
    photo = shop / f'images/train/{image_id}.jpg'
    assert photo.read_bytes() == (shop / f'photos/{i}.jpg').read_bytes()


def test_the_build_has_the_columns_as_its_tasks(shop, tmp_path, capsys):
  _run(shop, 'labels.csv')
  data_dir = str(tmp_path / 'built')
  build.main(
    config.Build(
      annotations=str(shop / 'annotations'),
      images=str(shop / 'images'),
      data_dir=data_dir,
    )
  )
  # No task of a class that all have, and no line of it.
  assert source.read_tasks(data_dir).names == ('color', 'shape')
  assert 'apparel' not in capsys.readouterr().out


def test_folders_are_labels(kaggle, tmp_path):
  for label, numbers in (('a', range(12)), ('b c', range(12, 20))):
    (tmp_path / 'sorted' / label).mkdir(parents=True)
    for i in numbers:
      body = (kaggle.images / f'validation/{i}.jpg').read_bytes()
      (tmp_path / 'sorted' / label / f'{i}.jpg').write_bytes(body)
  _run(tmp_path, 'sorted', task='style', validation_share=0.4)
  labels = _labels(tmp_path, 'train') | _labels(tmp_path, 'validation')
  found = [labels[str(n)]['style'] for n in range(1, 21)]
  assert found == ['a'] * 12 + ['b c'] * 8
  assert _labels(tmp_path, 'train') and _labels(tmp_path, 'validation')


def test_the_split_of_a_photo_does_not_depend_on_the_others(tmp_path):
  def splits(number):
    _table(
      tmp_path, ('photo', 'x'), *((f'{i}.jpg', 'a') for i in range(number))
    )
    _run(tmp_path, 'labels.csv')
    return {
      name: set(_labels(tmp_path, name)) for name in ('train', 'validation')
    }

  few, many = splits(200), splits(300)
  for name, ids in few.items():
    assert ids <= many[name]
  assert 30 < len(few['validation']) < 50  # a fifth of 200, about


def test_links_are_for_the_download(tmp_path, capsys):
  link = 'https://shop.example/1.jpg'
  _table(tmp_path, ('photo', 'split', 'x'), (link, 'train', 'a'))
  _run(tmp_path, 'labels.csv')
  assert '1 are links' in capsys.readouterr().out
  (image,) = annotations.read_split(tmp_path / 'annotations', 'train').images
  assert image.urls == (link,)


def test_a_photo_that_is_not_there_is_counted(shop, capsys):
  (shop / 'photos/0.jpg').unlink()
  _run(shop, 'labels.csv')
  _run(shop, 'labels.csv')  # a second time changes nothing
  assert '1 are not there' in capsys.readouterr().out
  assert not (shop / 'images/train/1.jpg').exists()


@pytest.mark.parametrize(
  ('rows', 'said'),
  [
    ([('file', 'x'), ('1.jpg', 'a')], "no column 'photo'"),
    ([], "no column 'photo'"),
    ([('photo', 'x', 'x'), ('1.jpg', 'a', 'b')], "'x' stands twice"),
    ([('photo', 'a:b'), ('1.jpg', 'a')], 'cannot name a task'),
    ([('photo', 'apparel'), ('1.jpg', 'a')], 'cannot name a task'),
    ([('photo', ''), ('1.jpg', 'a')], 'cannot name a task'),
    ([('photo', 'x'), ('1.jpg',)], 'line 2: not as many cells'),
    ([('photo', 'x'), ('1.jpg', 'a', 'b')], 'line 2: not as many cells'),
    ([('photo', 'x'), ('', 'a')], "line 2: no 'photo'"),
    ([('photo', 'split', 'x'), ('1.jpg', 'test', 'a')], "the split 'test'"),
    ([('photo', 'x'), ('1.jpg', '')], 'no photo with a label'),
  ],
)
def test_a_bad_table_is_one_line(tmp_path, rows, said):
  _table(tmp_path, *rows)
  with pytest.raises(errors.UserError, match=said) as caught:
    _run(tmp_path, 'labels.csv')
  assert '\n' not in str(caught.value)
  assert not (tmp_path / 'annotations').exists()


@pytest.mark.parametrize('body', [b'photo,x\n\xff\xfe,a\n', b'photo,x\n"a'])
def test_what_is_no_table_is_one_line(tmp_path, body):
  (tmp_path / 'labels.csv').write_bytes(body)
  with pytest.raises(errors.UserError, match=r'labels.csv: no CSV file'):
    _run(tmp_path, 'labels.csv')


def test_no_table_is_one_line(tmp_path):
  with pytest.raises(errors.UserError, match='there is no such table'):
    _run(tmp_path, 'labels.csv')


def test_a_table_of_a_spreadsheet_begins_with_a_mark(tmp_path):
  text = '\ufeffphoto,x\n1.jpg,ä\n'
  (tmp_path / 'labels.csv').write_text(text, encoding='utf-8')
  _run(tmp_path, 'labels.csv')
  maps = json.loads(
    (tmp_path / 'annotations/fgvc4_iMat.label_map.json').read_text()
  )
  assert maps['labelInfo'] == [{'labelId': '1', 'labelName': 'ä'}]
