"""Tables and folders from the wild are converted for the build."""

import collections
import contextlib
import csv
import io
import json
import os
import pathlib
import shutil

import pytest

from imat_jax import errors
from imat_jax.data import build, configs, image_validation, own, source
from imat_jax.data import kaggle as kaggle_lib
from imat_jax.runtime import outputs

KINDS, COLORS = ('shirt', 'shoe'), ('', 'blue', 'black', '', 'blue', 'white')
EXPECTED = {
  'kind': {'shirt': 12, 'shoe': 12},
  'color': {'blue': 8, 'black': 4, 'white': 4},
}
HEADER = ('photo', 'kind', 'color')
ROWS = [(f'photos/{i}.jpg', KINDS[i % 2], COLORS[i % 6]) for i in range(24)]


@pytest.fixture
def shop(kaggle, tmp_path) -> pathlib.Path:
  """24 photos in a folder."""
  (tmp_path / 'photos').mkdir()
  for i in range(24):
    photo = kaggle.images / f'train/{i}.jpg'
    shutil.copy(photo, tmp_path / f'photos/{i}.jpg')
  return tmp_path


def run(root: pathlib.Path, place: str = 'labels.csv', **options) -> str:
  """Converts a table or folder; returns what is printed."""
  folders = {'annotations': 'annotations', 'images': 'images', 'source': place}
  paths = {name: str(root / folder) for name, folder in folders.items()}
  with contextlib.redirect_stdout(io.StringIO()) as printed:
    own.main(configs.Own(**paths | options))
  return printed.getvalue()


def csv_text(rows, separator=',', end='\n') -> str:
  text = io.StringIO()
  csv.writer(text, delimiter=separator, lineterminator=end).writerows(rows)
  return text.getvalue()


def third(name: str, *cells) -> list[tuple]:
  """A header and `ROWS`, with these cells in turn in a third column."""
  rows = [(p, k, cells[i % len(cells)]) for i, (p, k, _) in enumerate(ROWS)]
  return [('photo', 'kind', name), *rows]


def convert(root: pathlib.Path, *rows, **options) -> str:
  """`run` of a table of these rows, the first its header."""
  (root / 'labels.csv').write_text(csv_text(rows))
  return run(root, **options)


def sort_photos(root: pathlib.Path, folder_of) -> None:
  """Copies photo i of a kind to the folder `folder_of(i, kind)` in `root`."""
  for i, (photo, kind, _) in enumerate(ROWS):
    folder = root / folder_of(i, kind)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(root.parent / photo, folder)


def labels(root: pathlib.Path, split: str) -> dict[str, dict[str, str]]:
  """Image id → task → label."""
  read = kaggle_lib.read_split(root / 'annotations', split)
  actual, _ = kaggle_lib.labels_by_image(read)
  return {
    image_id: {
      name: label
      for name, label in of_photo.items()
      if ':' not in name and name != 'apparel'
    }
    for image_id, of_photo in actual.items()
  }


def counts(root: pathlib.Path) -> dict[str, dict[str, int]]:
  """Task → label → photos, of both splits."""
  counts_by_task = collections.defaultdict(collections.Counter)
  for split in ('train', 'validation'):
    for of_photo in labels(root, split).values():
      for name, label in of_photo.items():
        counts_by_task[name][label] += 1
  return {name: dict(of_task) for name, of_task in counts_by_task.items()}


def digest(path: pathlib.Path) -> str:
  return image_validation.digest(path.read_bytes())[:20]


def test_labels_and_photos_belong_together(shop):
  output = convert(shop, HEADER, *ROWS)
  assert (
    '24 photos; kind 24 labels in 2 classes; color 16 labels in 3' in output
  )
  by_id = labels(shop, 'train') | labels(shop, 'validation')
  for photo, kind, color in ROWS:
    expected = {'kind': kind} | ({'color': color} if color else {})
    assert by_id[digest(shop / photo)] == expected
  for split in ('train', 'validation'):
    for image_id in labels(shop, split):
      placed = shop / f'images/{split}/{image_id}.jpg'
      assert digest(placed) == image_id


def test_the_build_has_the_columns_as_its_tasks(shop, capsys):
  convert(shop, HEADER, *ROWS)
  names = ('annotations', 'images', 'data_dir')
  build.main(configs.Build(**{name: str(shop / name) for name in names}))
  # No task of a class that all have, and no line of it.
  assert source.read_tasks(shop / 'data_dir').names == ('color', 'kind')
  assert 'apparel' not in capsys.readouterr().out


def table(separator=',', end='\n', encoding='utf-8', changes=()) -> bytes:
  """The table of `ROWS`, in which these texts are replaced."""
  text = csv_text([HEADER, *ROWS], separator, end)
  for old, new in changes:
    text = text.replace(old, new)
  return text.encode(encoding)


OBJECTS = [dict(zip(HEADER, row, strict=True)) for row in ROWS]
NUMBERED = [('', *HEADER), *((i, *row) for i, row in enumerate(ROWS))]
# name of the file → its bytes, what one line says of it.
TABLES = {
  'semicolons.csv': (table(';'), 'semicolons'),
  'tabs.tsv': (table('\t'), 'tabs'),
  'bars.txt': (table('|'), 'separated by |'),
  'sep.csv': (b'sep=;\r\n' + table(';', '\r\n'), 'semicolons'),
  'utf16.txt': (table('\t', encoding='utf-16'), 'utf-16'),
  'utf16be.txt': (table(encoding='utf-16-be'), 'utf-16-be'),
  'mark.csv': (table(encoding='utf-8-sig'), ''),
  'mac.csv': (table(end='\r'), ''),
  'blanks.csv': (table() + b',,\n\n', 'empty rows skipped: 2'),
  'trailing.csv': (table(end=',\n'), 'columns without a name skipped: 1'),
  'rows_end_in_commas.csv': (
    table(end=',\n', changes=[('color,\n', 'color\n')]),
    '',
  ),
  'index.csv': (
    csv_text(NUMBERED).encode(),
    'columns without a name skipped: 1',
  ),
  'spaces.csv': (table(changes=[(',', ' , ')]), '24 photos'),
  'windows.csv': (table(end='\r\n', changes=[('/', '\\')]), '24 photos'),
  'lines.jsonl': (
    '\n'.join(json.dumps(x | {'box': [1, 2]}) for x in OBJECTS).encode(),
    'nested values skipped: box',
  ),
  'list.json': (json.dumps(OBJECTS).encode(), ''),
}


@pytest.mark.parametrize('name', TABLES)
def test_a_table_in_any_dialect(shop, name):
  body, output = TABLES[name]
  (shop / name).write_bytes(body)
  printed = run(shop, name)
  assert counts(shop) == EXPECTED
  assert output in printed


def test_an_excel_sheet(shop):
  openpyxl = pytest.importorskip('openpyxl')
  book = openpyxl.Workbook()
  book.active.append(['Photo', 'Kind ', 'size'])
  for i, (photo, kind, _) in enumerate(ROWS):
    book.active.append([photo, kind, 38.0 if i % 2 else 40])
  book.save(shop / 'labels.xlsx')
  output = run(shop, 'labels.xlsx')
  assert counts(shop) == {
    'Kind': EXPECTED['kind'],
    'size': {'38': 12, '40': 12},
  }
  assert "Excel sheet 'Sheet'" in output


def test_a_parquet_file(shop):
  pyarrow = pytest.importorskip('pyarrow')
  from pyarrow import parquet

  columns = dict(zip(HEADER, zip(*ROWS, strict=True), strict=True))
  columns = {name: list(cells) for name, cells in columns.items()}
  parquet.write_table(pyarrow.table(columns), shop / 'labels.parquet')
  run(shop, 'labels.parquet')
  assert counts(shop) == EXPECTED


@pytest.mark.parametrize('encoding', ['latin-1', 'cp1252', 'cp1251'])
def test_letters_of_another_encoding(shop, encoding):
  word = 'Платье' if encoding == 'cp1251' else 'Hülle'
  rows = [(photo, word if kind == 'shirt' else 'b') for photo, kind, _ in ROWS]
  text = csv_text([('photo', 'kind'), *rows])
  (shop / 'labels.csv').write_bytes(text.encode(encoding))
  output = run(shop, encoding='cp1251' if encoding == 'cp1251' else '')
  assert counts(shop)['kind'] == {word: 12, 'b': 12}
  assert 'encoding cp125' in output


@pytest.mark.parametrize(
  'name', ['Photo', ' photo', 'image', 'File Name', 'image-path', 'URL', 'link']
)
def test_the_column_of_photos_has_many_names(shop, name):
  output = convert(shop, (name, 'kind', 'color'), *ROWS)
  assert counts(shop) == EXPECTED
  assert f"photos in the column '{name}'" in output or name == ' photo'


def test_the_column_of_photos_is_the_one_that_leads_to_photos(shop):
  header = ('link', 'image', 'kind', 'Bild')
  rows = [('page', 'gone.jpg', kind, photo) for photo, kind, _ in ROWS]
  convert(shop, header, *rows)  # by what is in it
  assert counts(shop)['kind'] == EXPECTED['kind']
  run(shop, photo_column='bild')
  assert counts(shop)['kind'] == EXPECTED['kind']


def test_a_page_of_a_product_is_no_photo(shop):
  photos = [f'https://a.example/{i}.jpg' if i else '' for i in range(24)]
  rows = [
    (f'https://a.example/page/{i}', photo, KINDS[i % 2])
    for i, photo in enumerate(photos)
  ]
  convert(shop, ('link', 'Picture 1', 'kind'), *rows)
  listed = (shop / 'annotations').glob('*.json')
  assert not any('page' in path.read_text() for path in listed)
  assert sum(counts(shop)['kind'].values()) == 23


def test_numbers_of_products_find_their_photos(shop):
  rows = [(i, kind, f'201{i % 3}.0') for i, (_, kind, _) in enumerate(ROWS)]
  output = convert(shop, ('id', 'kind', 'year'), *rows)
  assert counts(shop) == {
    'kind': EXPECTED['kind'],
    'year': {'2010': 8, '2011': 8, '2012': 8},
  }
  assert "photos in the column 'id'" in output


@pytest.mark.parametrize('name', [' split', 'Split', 'subset '])
def test_the_split_of_the_table_counts(shop, name):
  words = ['train', 'Training', ' TRAIN', 'val', 'valid', 'Validation', 'dev']
  convert(shop, *third(name, *words))
  for split, numbers in (('train', (0, 1, 2)), ('validation', (3, 4, 5, 6))):
    expected = {
      digest(shop / row[0]) for i, row in enumerate(ROWS) if i % 7 in numbers
    }
    assert labels(shop, split).keys() == expected
  assert counts(shop) == {'kind': EXPECTED['kind']}


@pytest.mark.parametrize('word', ['test', 'Holdout'])
def test_test_photos_are_kept_apart(shop, word):
  output = convert(shop, *third('split', 'train', 'train', word))
  assert '8 test photos, for neither training nor' in output
  kept_apart = {
    image.image_id
    for image in kaggle_lib.read_split(shop / 'annotations', 'test').images
  }
  used = labels(shop, 'train').keys() | labels(shop, 'validation').keys()
  assert kept_apart == {digest(shop / row[0]) for row in ROWS[2::3]}
  assert len(used) == 16 and not used & kept_apart
  assert labels(shop, 'validation')  # a share of the train photos
  # Their labels are what scores are reported on.
  expected = {digest(shop / photo): kind for photo, kind, _ in ROWS[2::3]}
  assert {i: x['kind'] for i, x in labels(shop, 'test').items()} == expected


def test_a_task_that_looks_like_a_split_is_questioned(shop):
  with pytest.raises(errors.UserError, match='--split_column=part, or --keep'):
    convert(shop, *third('part', *['val'] * 6, *['train'] * 18))
  run(shop, keep_columns=('part',))
  assert counts(shop)['part'] == {'val': 6, 'train': 18}
  run(shop, split_column='part')
  assert len(labels(shop, 'validation')) == 6


@pytest.mark.parametrize('column', ['fold', 'partition'])
def test_numbers_of_folds_are_questioned(shop, column):
  with pytest.raises(errors.UserError, match=f'--drop_columns={column} to dr'):
    convert(shop, *third(column, '0.0', '1.0', '2.0', '3.0'))
  run(shop, keep_columns=(column,))
  assert counts(shop)[column] == {str(n): 6 for n in range(4)}
  run(shop, drop_columns=(column,))
  assert counts(shop).keys() == {'kind'}


def test_missing_labels_are_spelled_in_many_ways(shop):
  words = ['NA', 'N/A', 'nan', 'null', 'None', '-', '?', 'Unknown', '-1', ' ']
  cells = [word for word in words for _ in range(2)]
  output = convert(shop, *third('color', *cells, *'rbrb'))
  assert counts(shop)['color'] == {'r': 2, 'b': 2}
  assert "18 cells mean a missing label: 'NA' 2" in output
  run(shop, keep_label=('none',))
  assert counts(shop)['color'] == {'r': 2, 'b': 2, 'None': 2}


def test_spellings_of_one_label_are_one(shop):
  words = ['Red', 'red ', 'RED', 'red', 'caf\u00e9', 'cafe\u0301']
  output = convert(shop, *third('color', *words))
  assert counts(shop)['color'] == {'red': 16, 'caf\u00e9': 8} or counts(shop)[
    'color'
  ] == {'red': 16, 'cafe\u0301': 8}
  assert 'color: 2 labels merged from several spellings' in output
  run(shop, exact_labels=True)
  assert len(counts(shop)['color']) == 5


def test_a_photo_in_several_rows_is_one(shop):
  shutil.copy(shop / 'photos/0.jpg', shop / 'photos/copy.jpg')
  rows = [*ROWS, ('photos/0.jpg', 'shoe', ''), ('photos/copy.jpg', '', 'green')]
  output = convert(shop, HEADER, *rows)
  assert (
    '24 photos' in output
    and 'rows of a photo that has an earlier row: 2' in output
  )
  assert 'line 2: shirt and shoe' in output
  by_id = labels(shop, 'train') | labels(shop, 'validation')
  image_id = digest(shop / 'photos/0.jpg')
  assert by_id[image_id] == {'kind': 'shirt', 'color': 'green'}


def test_columns_that_cannot_be_learned_are_left_out(shop):
  header = (*HEADER, 'sku', 'price', 'shop', 'text')
  rows = [
    (*row, f'A-{i}', f'{i},90', 'ours', f'a {"very " * i} long text')
    for i, row in enumerate(ROWS)
  ]
  output = convert(shop, header, *rows)
  assert counts(shop) == EXPECTED
  assert "shop (one label only ('ours'))" in output
  assert '--keep_columns=sku,price,shop,text keeps them' in output
  run(shop, keep_columns=('sku',), drop_columns=('color',))
  assert counts(shop).keys() == {'kind', 'sku'}


def test_few_photos_of_some_kinds_are_a_task(shop):
  convert(shop, *third('style', *(f'style {i}' for i in range(8))))
  assert len(counts(shop)['style']) == 8


@pytest.mark.parametrize('column', ['SKU', 'product'])
def test_photos_of_one_product_are_in_one_split(shop, column):
  products = [f'A-{i // 4}' for i in range(24)]
  flags = {} if column == 'SKU' else {'group_column': column}
  convert(shop, *third(column, *products), **flags)
  assert counts(shop).keys() == {'kind'}
  sides = collections.defaultdict(set)
  for split in ('train', 'validation'):
    for image_id in labels(shop, split):
      (number,) = (
        i for i in range(24) if digest(shop / ROWS[i][0]) == image_id
      )
      sides[number // 4].add(split)
  assert len(sides) == 6 and all(len(of_one) == 1 for of_one in sides.values())
  assert set.union(*sides.values()) == {'train', 'validation'}


def test_a_single_column_is_kept_with_a_warning(shop):
  output = convert(
    shop, ('photo', 'sku'), *((row[0], i) for i, row in enumerate(ROWS))
  )
  assert len(counts(shop)['sku']) == 24
  assert 'warning: no column seems possible' in output


def test_three_photos_have_both_sides_and_a_warning(shop):
  output = convert(shop, HEADER, *ROWS[:3])
  assert len(labels(shop, 'train')) == 2
  assert len(labels(shop, 'validation')) == 1
  assert '3 photos are too few' in output


def test_names_that_command_lines_cannot_hold_are_changed(shop):
  header = ('photo', 'apparel', 'color: main, first')
  output = convert(shop, header, *((p, k, k) for p, k, _ in ROWS))
  assert counts(shop).keys() == {'apparel_', 'color_ main_ first'}
  assert "column 'apparel' is the task 'apparel_'" in output


@pytest.mark.parametrize(
  ('body', 'message'),
  [
    (b'foo,x\nnone.jpg,a\n', "no column 'photo'.*columns are: foo, x"),
    (b'', "no column 'photo'"),
    (b'TRAIN,gs://b/1.jpg,a\n', 'the first line is data'),
    (b'9.jpg,a\n1.jpg,b\n', "the first line is data .'9.jpg'."),
    (b'photo,x,x\n1.jpg,a,b\n', "duplicate column 'x'"),
    (b'photo,x\n1.jpg\n', 'line 2: 1 cells in 2 columns.*--skip_bad_rows'),
    (b'photo,x\n1.jpg,a,b\n', 'line 2: 3 cells in 2 columns'),
    (b'photo,x\n1.jpg,"a" b\n', 'line 2: .*quotation marks'),
    (b'photo,x\n\n1.jpg,"a\n2.jpg,b\n', 'line 3: a quotation mark'),
    (b'photo,split,x\n1.jpg,maybe,a\n', "line 2: unknown split 'maybe'"),
    (b'photo,x\n1.jpg,\n', 'no photo has a label'),
    (b'photo,x\n', 'no rows'),
    (b'photo,x\n,a\n', 'no photos found; .*line 2'),
    (b'\x00\x01\x02\xff', 'neither a table nor text'),
  ],
)
def test_a_bad_table_is_one_line(shop, body, message):
  (shop / 'labels.csv').write_bytes(body)
  shutil.copy(shop / 'photos/1.jpg', shop)
  with pytest.raises(errors.UserError, match=message) as caught:
    run(shop)
  assert '\n' not in str(caught.value)
  assert not (shop / 'annotations').exists()
  assert not (shop / 'images').exists()


def test_bad_rows_can_be_left_out(shop):
  text = csv_text([HEADER, *ROWS])
  text += 'photos/1.jpg,a, with a comma,blue\nphotos/2.jpg,"a" b,blue\n'
  (shop / 'labels.csv').write_text(text)
  output = run(shop, skip_bad_rows=True)
  assert counts(shop) == EXPECTED
  assert 'bad rows skipped: 2 (first: line 26)' in output


def _nfd(root: pathlib.Path) -> str:
  (root / 'photos/0.jpg').rename(root / 'photos/cafe\u0301.jpg')
  return 'photos/caf\u00e9.jpg'


def _link(root: pathlib.Path) -> str:
  (root / 'deep/er').mkdir(parents=True)
  (root / 'photos/0.jpg').rename(root / 'blob')
  (root / 'deep/er/0.jpg').symlink_to('../../blob')
  return 'deep/er/0.jpg'


@pytest.mark.parametrize(
  'spell',
  [
    lambda root: 'photos\\0.jpg',
    lambda root: '.\\photos\\0.jpg',
    lambda root: 'C:\\Users\\me\\shop\\photos\\0.jpg',
    lambda root: '/home/other/photos/0.jpg',
    lambda root: str(root / 'photos/0.jpg'),
    lambda root: f'file://{root}/photos/0.jpg',
    lambda root: (root / 'photos/0.jpg').as_uri().replace('0', '%30'),
    lambda root: 'photos/%30.jpg',
    lambda root: 'photos/0.JPG',
    lambda root: 'photos/0',
    lambda root: '0.jpg',
    _nfd,
    _link,
  ],
)
def test_a_path_is_found_as_it_is_written(shop, spell):
  original = digest(shop / 'photos/0.jpg')
  convert(shop, HEADER, (spell(shop), *ROWS[0][1:]), *ROWS[1:])
  placed = [*(shop / 'images').glob(f'*/{original}.jpg')]
  assert [digest(path) for path in placed] == [original]
  assert not placed[0].is_symlink()


@pytest.mark.parametrize(
  ('cell', 'message'),
  [
    ('elsewhere/0.jpg', '1 no such file'),  # there is another 0.jpg
    ('x.jpg', '1 several files with this name'),
    ('s3://shop/0.jpg', '1 in a bucket'),
    ('www.shop.example/0.jpg', '1 a link without https://'),
    ('ftp://shop.example/0.jpg', '1 neither a file nor an http'),
    ('photos', '1 a folder'),
    ('labels.csv', '1 not a photo: text'),
    ('empty.jpg', '1 empty files'),
  ],
)
def test_a_photo_that_is_not_there_is_named(shop, cell, message):
  (shop / 'empty.jpg').touch()
  for folder in ('a', 'b'):
    (shop / folder).mkdir()
    shutil.copy(shop / 'photos/0.jpg', shop / folder / 'x.jpg')
  printed = convert(shop, HEADER, *ROWS[1:], (cell, 'shirt', ''))
  assert (
    'rows without a photo (1)' in printed
    and message in printed
    and 'line 25' in printed
  )


def test_links_are_for_the_download(shop):
  links = ['https://shop.example/1.jpg', 'HTTP://shop.example/2.jpg']
  output = convert(
    shop, HEADER, *ROWS, *((link, 'shirt', 'blue') for link in links)
  )
  assert '2 of them are links' in output and 'imat_jax.data.download' in output
  images = [
    image
    for split in ('train', 'validation')
    for image in kaggle_lib.read_split(shop / 'annotations', split).images
    if image.urls
  ]
  assert {image.image_id: image.urls for image in images} == {
    image_validation.digest(link.replace('HTTP', 'http').encode())[:20]: (link,)
    for link in links
  }


def test_folders_are_labels(shop):
  for i, (photo, kind, _) in enumerate(ROWS):
    folder = shop / 'sorted' / kind / ('deep' if i % 3 else '')
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(shop / photo, folder / f'{i}')  # no ending
  for foreign in ('.ipynb_checkpoints', '__MACOSX'):
    (shop / 'sorted' / foreign).mkdir()
    shutil.copy(shop / 'photos/0.jpg', shop / 'sorted' / foreign)
  (shop / 'sorted/shirt/._0.jpg').write_bytes(b'resource fork')
  (shop / 'sorted/.DS_Store').write_bytes(b'Bud1')
  run(shop, 'sorted', task='style')
  assert counts(shop) == {'style': EXPECTED['kind']}


# Of a photo i of a kind; photo 9 may be next to the folders of splits.
SPLIT_FOLDERS = {
  'above': lambda i, kind: f'{"val" if i < 6 else "Train"}/{kind}',
  'below': lambda i, kind: (
    f'{kind}/{"" if i == 9 else "val" if i < 6 else "train"}'
  ),
}


@pytest.mark.parametrize('place', SPLIT_FOLDERS)
def test_folders_of_splits_are_above_or_below_the_labels(shop, place):
  sort_photos(shop / 'data', SPLIT_FOLDERS[place])
  run(shop, 'data')
  assert counts(shop) == {'kind': EXPECTED['kind']}
  assert labels(shop, 'validation').keys() == {
    digest(shop / row[0]) for row in ROWS[:6]
  }


def test_folders_of_splits_beside_others_are_questioned(shop):
  for folder in ('train/a', 'val/a', 'extra'):
    (shop / 'data' / folder).mkdir(parents=True)
    shutil.copy(shop / 'photos/0.jpg', shop / 'data' / folder)
  with pytest.raises(errors.UserError, match="'extra' is not a split"):
    run(shop, 'data')


def test_a_table_in_a_folder_is_named(shop):
  with pytest.raises(errors.UserError, match='use --source=.*csv'):
    convert(shop, HEADER, *ROWS, source=str(shop))


def test_photos_without_folders_have_no_labels(shop):
  with pytest.raises(errors.UserError, match='24 photos without labels'):
    run(shop, 'photos')


# Nothing of the user's is lost.


@pytest.mark.parametrize('images', ['.', 'data', 'data/train', 'link'])
def test_originals_are_never_touched(shop, images):
  (shop / 'data/train').mkdir(parents=True)
  (shop / 'link').symlink_to('data')
  rows = []
  for i, (photo, kind, _) in enumerate(ROWS):
    shutil.copy(shop / photo, shop / f'data/train/{i}.jpg')
    rows.append((f'data/train/{23 - i}.jpg', kind))
  before = {path: path.read_bytes() for path in shop.rglob('*.jpg')}
  with pytest.raises(errors.UserError, match='apart from your photos'):
    convert(shop, ('photo', 'kind'), *rows, images=str(shop / images))
  after = {path: path.read_bytes() for path in shop.rglob('*.jpg')}
  assert after == before and not (shop / 'annotations').exists()


def test_the_output_is_never_input(shop):
  sort_photos(shop / 'sorted', lambda i, kind: kind)
  with pytest.raises(errors.UserError, match='overlap'):
    run(shop / 'sorted', '.')


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('annotations/fgvc4_iMat.train.data.json', 'did not write'),
    ('images/train.manifest.jsonl', 'not a manifest'),
    # Of an earlier version of this command.
    ('images/train/7.jpg', 'numbered.*new folder'),
  ],
)
def test_files_of_others_are_not_overwritten(shop, name, message):
  (shop / name).parent.mkdir(parents=True)
  (shop / name).write_text('mine\n')
  with pytest.raises(errors.UserError, match=message):
    convert(shop, HEADER, *ROWS)
  written = [*(shop / 'annotations').rglob('*'), *(shop / 'images').rglob('*')]
  assert [path for path in written if path.is_file()] == [shop / name]
  assert (shop / name).read_text() == 'mine\n'


def test_a_photo_that_was_damaged_since_is_placed_again(shop):
  convert(shop, HEADER, *ROWS)
  placed = next((shop / 'images/train').glob('*.jpg'))
  placed.unlink()
  placed.write_bytes(b'half')
  run(shop)
  assert digest(placed) == placed.stem


def test_a_file_of_anothers_with_such_a_name_stays(shop):
  convert(shop, HEADER, *ROWS)
  placed = next((shop / 'images/train').glob('*.jpg'))
  shutil.rmtree(shop / 'images')
  placed.parent.mkdir(parents=True)
  placed.write_bytes(b'mine')
  with pytest.raises(errors.UserError, match='did not write'):
    run(shop)
  assert placed.read_bytes() == b'mine'


def test_the_record_of_what_was_written_is_hidden(shop):
  convert(shop, HEADER, *ROWS)
  run(shop)  # and may be written again
  assert outputs.RECORD in os.listdir(shop / 'annotations')


# What an attack found.


def test_paths_of_two_folders_do_not_share_photos(shop):
  rows = [(f'/srv/other/{i}.jpg', 'shoe') for i in range(24)]
  rows += [(f'/srv/photos/{i}.jpg', 'shirt') for i in range(23)]
  (shop / 'photos/labels.csv').write_text(csv_text([('photo', 'kind'), *rows]))
  run(shop, 'photos/labels.csv')
  assert counts(shop) == {'kind': {'shirt': 23}}


def test_of_files_in_two_folders_the_one_with_more_of_the_path_counts(shop):
  rows = [(f'C:\\data\\photos\\{i}.jpg', KINDS[i % 2]) for i in range(24)]
  for i in range(24):
    (shop / f'photos/{i}.jpg').rename(shop / f'{i}.jpg')
  for i in range(24):
    shutil.copy(shop / f'{i}.jpg', shop / f'photos/{(i + 1) % 24}.jpg')
  convert(shop, ('photo', 'kind'), *rows)
  given = labels(shop, 'train') | labels(shop, 'validation')
  assert len(given) == 24
  for i in range(24):
    assert given[digest(shop / f'photos/{i}.jpg')] == {'kind': KINDS[i % 2]}


def test_the_path_of_a_lost_photo_leads_to_no_other(shop):
  (shop / 'photos/3.jpg').rename(shop / '3.jpg')
  assert 'no such file' in convert(shop, HEADER, *ROWS)
  assert sum(counts(shop)['kind'].values()) == 23


def test_sizes_are_no_photos(shop):
  rows = [(f'A-{i}', i % 6, 'rb'[i % 2]) for i in range(60)]
  with pytest.raises(errors.UserError, match="no column 'photo'"):
    convert(shop, ('sku', 'size', 'color'), *rows)


@pytest.mark.parametrize(
  'text',
  [
    'photo,size,kind\nphotos/1.jpg,"5 inch,a\nphotos/2.jpg,6,b\n'
    'photos/3.jpg,5",a\nphotos/4.jpg,6,b',
    'kind,photo,note\na,photos/1.jpg,"old\nb,photos/2.jpg,x\n'
    'a,photos/3.jpg,look"\nb,photos/4.jpg,',
  ],
)
def test_a_quotation_mark_does_not_swallow_rows(shop, text):
  (shop / 'labels.csv').write_text(text)
  with pytest.raises(errors.UserError, match='line 2: a quotation mark'):
    run(shop)


def test_a_link_to_a_class_takes_no_photo_from_it(shop):
  sort_photos(shop / 'sorted', lambda i, kind: kind)
  (shop / 'sorted/red').symlink_to('shirt')
  (shop / 'sorted/shirt/all').symlink_to('..')
  output = run(shop, 'sorted')
  assert 'photos whose rows disagree: 12' in output


@pytest.mark.parametrize(
  ('column', 'yes', 'no'), [('is_valid', 'True', 'False'), ('Is_Train', 0, 1)]
)
def test_yes_and_no_may_name_a_split(shop, column, yes, no):
  convert(shop, *third(column, *[yes] * 6, *[no] * 18))
  assert len(labels(shop, 'validation')) == 6
  assert counts(shop).keys() == {'kind'}


@pytest.mark.parametrize('outer', ['', 'dev/'])
def test_folders_in_the_paths_name_splits(shop, outer):
  rows = []
  for i, (photo, kind, _) in enumerate(ROWS):
    folder = outer + ('val' if i < 6 else 'train')
    (shop / folder).mkdir(exist_ok=True, parents=True)
    shutil.move(shop / photo, shop / folder / f'{i}.jpg')
    rows.append((f'{folder}/{i}.jpg', kind))
  convert(shop, ('photo', 'kind'), *rows)
  assert len(labels(shop, 'validation')) == 6


def test_validation_photos_that_are_lost_are_not_replaced(shop):
  lost = ('gone.jpg', 'shoe', 'val')
  output = convert(shop, *third('split', 'train'), lost)
  assert 'warning: 24 train and 0 validation' in output
  assert not labels(shop, 'validation')


def test_a_photo_that_is_held_out_somewhere_is_not_trained_on(shop):
  again = ('photos/1.jpg', 'shoe', 'val')
  convert(shop, *third('split', 'val', 'train'), again)
  assert digest(shop / 'photos/1.jpg') in labels(shop, 'validation')


def test_links_that_ask_for_the_same_are_one(shop):
  pairs = ('https://a.example/1.jpg', 'HTTPS://A.example/1.jpg#x')
  convert(shop, HEADER, *ROWS, *((link, 'shirt', 'blue') for link in pairs))
  assert sum(counts(shop)['kind'].values()) == 25


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('写真'.encode('shift_jis') + b'\x81', 'set --encoding'),
    (
      'grün,schön,weiß\n'.encode() + 'ü'.encode('latin-1'),
      'line 3: invalid UTF-8',
    ),
  ],
)
def test_a_doubtful_encoding_is_not_guessed(shop, text, message):
  (shop / 'labels.csv').write_bytes(b'photo,a,b\n' + text)
  with pytest.raises(errors.UserError, match=message):
    run(shop)
