"""Label formats that people have, each as a table with a row per photo.

Read: tables (see `tables`), folders of classes, one-hot columns, COCO and
Fashionpedia, iMaterialist 2018 and 2019 to 2021, DeepFashion's and CelebA's
`list_*.txt`, image folders with a `metadata.csv` or `.jsonl`. Others are
recognised by name, with the line that says what to do.

Where a photo shows several objects, that with the largest area gives its label.
"""

import collections
import csv
import json
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from imat_jax import config, errors, files
from imat_jax.data import columns, photo_files, tables
from imat_jax.data.tables import Row, Table

# Tables that lie among the photos that they describe, in this order.
_INSIDE = (
  *('metadata.csv', 'metadata.jsonl', 'metadata.parquet', '_classes.csv'),
  '_annotations.coco.json',
)
# By the file's ending, or by what stands at its beginning.
_UNREAD = {
  'tar': 'an archive; unpack it. The shards of a WebDataset hold photos with '
  'their labels beside them: write a CSV with the columns photo and label',
  'zip': 'an archive; unpack it and give the table or folder in it',
  'xml': 'XML; export it from CVAT as COCO 1.0, from others as CSV or COCO',
  'tfrecord': 'TFRecord; write the photos as files and a CSV of their labels',
  'yaml': 'a YOLO data set; export it as COCO, or as folders of classes',
}
_ENDINGS = {
  **dict.fromkeys(('.tar', '.tgz', '.tar.gz', '.tar.bz2', '.tar.xz'), 'tar'),
  **dict.fromkeys(('.zip', '.7z', '.rar', '.gz', '.bz2', '.xz'), 'zip'),
  '.xml': 'xml',
  '.tfrecord': 'tfrecord',
  **dict.fromkeys(('.yaml', '.yml'), 'yaml'),
}
_TABLES = ('.csv', '.tsv', '.xlsx', '.jsonl', '.json', '.parquet')
_YES, _NO = 'yes', 'no'
_ONE = frozenset({'1', '1.0', 'true'})
_BINARY = _ONE | {'0', '0.0', 'false'}


class Source(NamedTuple):
  """A table, the folder that its photos are relative to."""

  table: Table
  root: pathlib.Path


def read(command: config.Own) -> Source:
  """Reads what --source names.

  Raises:
    UserError: nothing is there, or a format that is not read.
  """
  place = pathlib.Path(command.source)
  if place.is_dir():
    table, root = _of_folder(place, command), place
  elif place.exists():
    table, root = _of_file(place, command), place.parent
  else:
    raise errors.UserError(f'{place}: there is no such table or folder')
  if command.photo_folder:
    root = pathlib.Path(command.photo_folder)
    if not root.is_dir():
      raise errors.UserError(f'--photo_folder={root}: there is no such folder')
  return Source(table, root)


def _of_file(path: pathlib.Path, command: config.Own) -> Table:
  name = path.name.lower()
  for ending, kind in _ENDINGS.items():
    if name.endswith(ending):
      raise errors.UserError(f'{path}: {_UNREAD[kind]}')
  if re.fullmatch(r'list_\w+\.txt', name):
    return _of_list(path, command)
  if name.endswith('.json'):
    content = _json(path, command)
    if isinstance(content, dict):
      return _of_json(path, content, command)
  with path.open('rb') as file:
    head = file.readline(4096)
  if b'EncodedPixels' in head and b'ClassId' in head:
    return _of_masks(path, command)
  table = tables.read(
    path,
    encoding=command.encoding,
    skip_bad_rows=command.skip_bad_rows,
    expects=lambda names: _is_header(names, command),
  )
  _refuse_label_studio(table)
  return _one_hot(table, command)


def _is_header(names: Sequence[str], command: config.Own) -> bool:
  if command.photo_column:
    plain = columns.key(command.photo_column)
    return plain in map(columns.key, names)
  return any(map(columns.is_photo_name, names))


def _refuse_label_studio(table: Table) -> None:
  if any('nested' in note for note in table.notes) and (
    {'id', 'project'} <= set(table.columns)
  ):
    raise errors.UserError(
      f"{table.path}: Label Studio's JSON; export the project as CSV or COCO"
    )


def _json(path: pathlib.Path, command: config.Own) -> Any:
  text, _ = tables.decode(path, path.read_bytes(), command.encoding)
  try:
    return json.loads(text)
  except (ValueError, RecursionError) as error:
    raise errors.UserError(f'{path}: not JSON: {error}') from None


# Folders


def _of_folder(root: pathlib.Path, command: config.Own) -> Table:
  """Tables that lie inside; else a folder is a label; or a split of labels."""
  folders = sorted(
    path
    for path in root.iterdir()
    if path.is_dir() and not files.is_foreign(path.name)
  )
  splits = {path: columns.split_of(path.name) for path in folders}
  of_splits = None not in splits.values() and columns.TRAIN in splits.values()
  places = {root: None} | (splits if of_splits else {})
  inside = {
    place: next((place / n for n in _INSIDE if (place / n).is_file()), None)
    for place in places
  }
  if any(inside.values()):
    for place, path in inside.items():
      if path is None and place != root:
        raise errors.UserError(
          f'{place}: has no table of its labels, as other splits have '
          f'({", ".join(_INSIDE)})'
        )
    parts = [
      _inside(root, path, places[place], command)
      for place, path in inside.items()
      if path
    ]
    return _joined(root, parts)
  for path in sorted(root.iterdir()):
    if path.suffix.lower() in _TABLES:
      raise errors.UserError(
        f'{root}: a table is in this folder; give it as --source={path}'
      )
  if of_splits:
    rows = [
      row
      for folder, split in splits.items()
      for row in _class_rows(root, folder, command, {'split': split})
    ]
    note = f'splits by folders: {", ".join(path.name for path in folders)}'
    names = ('photo', 'split', command.task)
    return _filled(Table(root, names, rows, (note,)))
  rows = list(_class_rows(root, root, command, {}))
  return _filled(Table(root, ('photo', command.task), rows))


def _class_rows(
  root: pathlib.Path,
  folder: pathlib.Path,
  command: config.Own,
  cells: Mapping[str, str],
) -> Iterator[Row]:
  """The photos below a folder, with its folders as their labels."""
  skipped = photo_files.Skipped()
  for path in photo_files.photos_in(folder, skipped):
    label, *more = pathlib.Path(path).relative_to(folder).parts
    labels = {command.task: label if more else ''}
    photo = os.path.relpath(path, root)
    yield Row(path, {'photo': photo, **cells, **labels})


def _filled(table: Table) -> Table:
  """Raises where a folder has no photo, or no photo has a label."""
  task = table.columns[-1]
  if not table.rows:
    raise errors.UserError(f'{table.path}: no photo is in this folder')
  if not any(row.cells[task] for row in table.rows):
    raise errors.UserError(
      f'{table.path}: {len(table.rows):,} photos without labels; put them into '
      'a folder per label (SOURCE/LABEL/1.jpg), or write a CSV with the '
      'columns photo and label'
    )
  return table


def _inside(
  root: pathlib.Path,
  path: pathlib.Path,
  split: str | None,
  command: config.Own,
) -> Table:
  """A table among its photos; its paths from the root, its split known."""
  table = _of_file(path, command)
  names = ['file_name', *filter(columns.is_photo_name, table.columns)]
  names = [name for name in names if name in table.columns]
  photo = command.photo_column or (names[0] if names else 'photo')
  folder = path.parent.relative_to(root).as_posix()
  rows = []
  for row in table.rows:
    cells = {**row.cells, 'photo': row.cells.get(photo, '')}
    if folder != '.' and not re.match(r'[a-z]+://', cells['photo']):
      cells['photo'] = f'{folder}/{cells["photo"]}'
    if photo != 'photo':
      del cells[photo]
    if split:
      cells['split'] = split
    rows.append(Row(row.where, cells))
  first = ('photo', 'split') if split else ('photo',)
  others = [n for n in table.columns if n not in (*first, photo)]
  return table._replace(columns=(*first, *others), rows=rows)


def _joined(root: pathlib.Path, parts: Sequence[Table]) -> Table:
  names = dict.fromkeys(name for table in parts for name in table.columns)
  empty = dict.fromkeys(names, '')
  rows = [Row(r.where, empty | r.cells) for table in parts for r in table.rows]
  notes = dict.fromkeys(note for table in parts for note in table.notes)
  read = ', '.join(str(table.path.relative_to(root)) for table in parts)
  return Table(root, tuple(names), rows, (f'labels of {read}', *notes))


# One-hot


def _one_hot(table: Table, command: config.Own) -> Table:
  """Columns of 0 and 1 of which one is 1 become one task of their names."""
  apart = map(columns.key, (*command.keep_columns, *command.drop_columns))
  names = _binary_columns(table, set(apart))
  sums = collections.Counter(
    sum(_is_one(row.cells[name]) for name in names) for row in table.rows
  )
  roboflow = table.path.name.lower() == '_classes.csv'
  if len(names) < 2 or not (
    set(sums) == {1} or (roboflow and set(sums) <= {0, 1})
  ):
    return table
  hot_names, rows = set(names), []
  for row in table.rows:
    hot = [name for name in names if _is_one(row.cells[name])]
    cells = {n: c for n, c in row.cells.items() if n not in hot_names}
    rows.append(Row(row.where, {**cells, command.task: ''.join(hot)}))
  kept = [name for name in table.columns if name not in hot_names]
  if command.task in kept:
    raise errors.UserError(
      f'{table.path}: the one-hot columns need a name that no column has: '
      '--task=NAME'
    )
  note = f"one-hot columns are the task '{command.task}' (--task names it)"
  return Table(table.path, (*kept, command.task), rows, (*table.notes, note))


def _binary_columns(table: Table, apart: set[str]) -> list[str]:
  """Of 0 and 1 alone; but for those that flags speak of, and of splits."""
  return [
    name
    for name in table.columns
    if columns.key(name) not in apart
    and not columns.is_split_name(name)
    and all(row.cells[name].lower() in _BINARY for row in table.rows)
  ]


def _is_one(cell: str) -> bool:
  return cell.lower() in _ONE


# COCO, Fashionpedia, iMaterialist 2018


def _of_json(
  path: pathlib.Path, content: dict[str, Any], command: config.Own
) -> Table:
  if {'taskInfo', 'labelInfo'} & content.keys() or path.name.startswith(
    'fgvc4_iMat'
  ):
    raise errors.UserError(
      f'{path}: Kaggle’s form already; go on with imat_jax.data.download'
    )
  if not isinstance(content.get('images'), list):
    raise errors.UserError(
      f'{path}: JSON of an unknown form; COCO, a list of objects with a photo '
      'each, and JSON lines are read; others save as CSV'
    )
  try:
    if 'categories' in content:
      return _of_coco(path, content, command)
    return _of_label_lists(path, content)
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise errors.UserError(
      f'{path}: neither COCO nor iMaterialist 2018: {error!r}'
    ) from None


def _of_coco(
  path: pathlib.Path, content: dict[str, Any], command: config.Own
) -> Table:
  for kind in ('images', 'categories'):
    ids = collections.Counter(record['id'] for record in content[kind])
    for key, count in ids.items():
      if count > 1:
        raise errors.UserError(f"{path}: {kind}: duplicate id '{key}'")
  names = {c['id']: tables.as_text(c['name']) for c in content['categories']}
  attributes = {
    a['id']: (a.get('supercategory') or 'attribute', tables.as_text(a['name']))
    for a in content.get('attributes', ())
  }
  objects = collections.defaultdict(list)
  for annotation in content.get('annotations', ()):
    objects[annotation['image_id']].append(annotation)
  rows = []
  for number, image in enumerate(content['images'], 1):
    photo = image.get('file_name') or image.get('coco_url')
    cells = {'photo': tables.as_text(photo)}
    if shown := objects[image['id']]:
      largest = max(shown, key=_area)
      cells[command.task] = names[largest['category_id']]
      for key in largest.get('attribute_ids', ()):
        cells.setdefault(*attributes[key])
    rows.append(Row(f'{path}: image {number}', cells))
  several = sum(
    len({a['category_id'] for a in shown}) > 1 for shown in objects.values()
  )
  listed = {image['id'] for image in content['images']}
  lost = sum(len(a) for key, a in objects.items() if key not in listed)
  note = (
    f'COCO; {several:,} photos show several categories: the largest counts; '
    f'{lost:,} annotations are of images that are not listed'
  )
  return _even(path, rows, note)


def _area(annotation: Mapping[str, Any]) -> float:
  *_, width, height = annotation.get('bbox') or (0, 0)
  return float(annotation.get('area') or width * height)


def _of_label_lists(path: pathlib.Path, content: dict[str, Any]) -> Table:
  """iMaterialist 2018: links, and a list of label numbers of each photo."""
  labels = {}
  for annotation in content['annotations']:
    if not isinstance(annotation['labelId'], list):
      raise ValueError('labelId is no list')
    labels[str(annotation['imageId'])] = set(map(str, annotation['labelId']))
  every = sorted(set().union(*labels.values()), key=lambda x: (len(x), x))
  rows = []
  for number, image in enumerate(content['images'], 1):
    (photo, *_) = (
      [image['url']] if isinstance(image['url'], str) else image['url']
    )
    own = labels.get(str(image['imageId']))
    cells = {} if own is None else _yes_or_no(every, own)
    rows.append(Row(f'{path}: image {number}', {'photo': photo, **cells}))
  return _even(path, rows, 'iMaterialist 2018: a task per label, yes or no')


def _yes_or_no(every: Iterable[str], own: set[str]) -> dict[str, str]:
  return {f'label_{name}': _YES if name in own else _NO for name in every}


def _even(path: pathlib.Path, rows: Sequence[Row], note: str) -> Table:
  """The table of rows that have not all the same cells."""
  names = dict.fromkeys(name for row in rows for name in row.cells)
  empty = dict.fromkeys(names, '')
  rows = [Row(row.where, empty | row.cells) for row in rows]
  return Table(path, tuple(names), rows, (note,))


# iMaterialist 2019 to 2021: a row per object with its mask in run lengths


def _of_masks(path: pathlib.Path, command: config.Own) -> Table:
  described = path.with_name('label_descriptions.json')
  content = _json(described, command) if described.is_file() else {}
  names = {str(c['id']): c['name'] for c in content.get('categories', ())}
  attributes = {
    str(a['id']): (a.get('supercategory') or 'attribute', a['name'])
    for a in content.get('attributes', ())
  }
  largest: dict[str, tuple[int, Row]] = {}
  with path.open(newline='', encoding='utf-8-sig', errors='replace') as file:
    reader = csv.DictReader(tables.long_lines(file), restval='')
    for record in reader:
      runs = record['EncodedPixels'].split()[1::2]
      area = sum(map(int, runs))
      # In 2019 the attributes stand behind the class: 6_12_34.
      number, *own = record['ClassId'].split('_')
      own += (record.get('AttributesIds') or '').split(',')
      cells = {
        'photo': record['ImageId'],
        command.task: names.get(number, number),
      }
      for key in filter(None, own):
        cells.setdefault(*attributes.get(key, (f'attribute_{key}', _YES)))
      before = largest.get(record['ImageId'])
      if before is None or area > before[0]:
        row = Row(f'{path}: line {reader.line_num}', cells)
        largest[record['ImageId']] = area, row
  rows = [row for _, row in largest.values()]
  return _even(path, rows, 'iMaterialist 2019 to 2021: the largest mask counts')


_CELEBA = {'0': 'train', '1': 'validation', '2': 'test'}

# DeepFashion, CelebA: a number of rows, a header, cells between blanks


def _of_list(path: pathlib.Path, command: config.Own) -> Table:
  lines = _list_lines(path, command)
  header, rows = lines[1].split(), lines[2:]
  names, types = _list_names(path, header, len(rows[0].split()) - 1, command)
  splits = _partition(path, command)
  categories = 'category' in path.name.lower()
  numbers = {str(n): name for n, name in enumerate(names, 1)}
  found = []
  for number, line in enumerate(rows, 3):
    photo, *values = line.split()
    if len(values) != (1 if categories else len(names)):
      raise errors.UserError(
        f'{path}: line {number}: {len(values)} labels of {len(names)}'
      )
    cells = {'photo': photo}
    if split := splits.get(photo):
      cells['split'] = split
    if categories:
      if values[0] not in numbers:
        raise errors.UserError(
          f'{path}: line {number}: no category {values[0]}; there are 1 to '
          f'{len(names)}'
        )
      cells[command.task] = numbers[values[0]]
    else:
      cells |= _grouped(names, types, values)
    found.append(Row(f'{path}: line {number}', cells))
  return _even(path, found, 'a list as of DeepFashion')


def _list_lines(path: pathlib.Path, command: config.Own) -> list[str]:
  text, _ = tables.decode(path, path.read_bytes(), command.encoding)
  lines = [line for line in text.splitlines() if line.strip()]
  if len(lines) < 3 or not lines[0].strip().isdigit():
    raise errors.UserError(
      f'{path}: a list as of DeepFashion begins with the number of its rows '
      'and a line of names; save another table as CSV'
    )
  return lines


def _list_names(
  path: pathlib.Path, header: list[str], number: int, command: config.Own
) -> tuple[list[str], list[str]]:
  """The names of the values of a row, and the group that each is of."""
  if len(header) in (number, number + 1) and number > 1:  # CelebA's
    return header[-number:], ['0'] * number
  kind = 'category' if 'category' in path.name.lower() else 'attr'
  beside = path.with_name(f'list_{kind}_cloth.txt')
  if not beside.is_file():
    raise errors.UserError(
      f'{path}: needs {beside.name} beside it, which names the labels'
    )
  lines = _list_lines(beside, command)[2:]
  pairs = [line.rsplit(maxsplit=1) for line in lines]
  return [p[0].strip() for p in pairs], [p[-1] for p in pairs]


def _grouped(
  names: Sequence[str], types: Sequence[str], values: Sequence[str]
) -> dict[str, str]:
  """One label per group where the groups are; else yes or no of each name."""
  cells = {}
  for name, kind, value in zip(names, types, values, strict=True):
    if kind == '0':
      if value != '0':
        cells[name] = _YES if value == '1' else _NO
    elif value == '1':
      cells.setdefault(f'attribute_{kind}', name)
  return cells


def _partition(path: pathlib.Path, command: config.Own) -> dict[str, str]:
  """Photo → split, where the list of them lies near."""
  name = 'list_eval_partition.txt'
  places = [path.with_name(name), path.parent.parent / 'Eval' / name]
  for place in filter(pathlib.Path.is_file, places):
    text, _ = tables.decode(place, place.read_bytes(), command.encoding)
    cells = [line.split() for line in text.splitlines()]
    # CelebA's has no header, and numbers.
    return {c[0]: _CELEBA.get(c[-1], c[-1]) for c in cells if len(c) > 1}
  return {}
