"""Reads common label formats as a table with a row per photo.

Supported: tables (see `tables`), folders of classes, one-hot columns, COCO and
Fashionpedia, iMaterialist 2018 and 2019 to 2021, `list_*.txt` of DeepFashion
and CelebA, image folders with a `metadata.csv` or `.jsonl`. Others are
recognised, with advice on how to convert them.

If a photo shows several objects, the one with the largest area is its label.
"""

import collections
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from imat_jax import errors
from imat_jax.data import (
  coco,
  columns,
  configs,
  list_files,
  photo_files,
  tables,
  wording,
)
from imat_jax.data.tables import Row, Table
from imat_jax.runtime import files

# Tables in the folder of their photos, in this order.
_INSIDE = (
  *('metadata.csv', 'metadata.jsonl', 'metadata.parquet', '_classes.csv'),
  '_annotations.coco.json',
)
# Advice by kind.
_UNSUPPORTED = {
  'tar': 'an archive; unpack it (WebDataset: write a CSV with the columns '
  'photo and label)',
  'zip': 'an archive; unpack it and use the table or folder in it',
  'xml': 'XML; export it as COCO 1.0 (CVAT), or as CSV or COCO',
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
_ONE = frozenset({'1', '1.0', 'true'})
_BINARY = _ONE | {'0', '0.0', 'false'}


class Source(NamedTuple):
  """A table, and the folder that its paths are relative to."""

  table: Table
  root: pathlib.Path


def read(command: configs.Own) -> Source:
  """Reads --source.

  Raises:
    UserError: no such file or folder, or an unsupported format.
  """
  place = pathlib.Path(command.source)
  if place.is_dir():
    table, root = _of_folder(place, command), place
  elif place.exists():
    table, root = _of_file(place, command), place.parent
  else:
    raise errors.UserError(f'{place}: no such table or folder')
  if command.photo_folder:
    root = pathlib.Path(command.photo_folder)
    if not root.is_dir():
      raise errors.UserError(f'--photo_folder={root}: no such folder')
  return Source(table, root)


def _of_file(path: pathlib.Path, command: configs.Own) -> Table:
  name = path.name.lower()
  for ending, kind in _ENDINGS.items():
    if name.endswith(ending):
      raise errors.UserError(f'{path}: {_UNSUPPORTED[kind]}')
  if re.fullmatch(r'list_\w+\.txt', name):
    return list_files.read(path, command)
  if name.endswith('.json'):
    content = _json(path, command)
    if isinstance(content, dict):
      return _of_json(path, content, command)
  with path.open('rb') as file:
    head = file.readline(4096)
  if b'EncodedPixels' in head and b'ClassId' in head:
    return coco.of_masks(path, _described(path, command), command)
  table = tables.read(
    path,
    encoding=command.encoding,
    skip_bad_rows=command.skip_bad_rows,
    expects=lambda names: _is_header(names, command),
  )
  _refuse_label_studio(table)
  return _one_hot(table, command)


def _is_header(names: Sequence[str], command: configs.Own) -> bool:
  if command.photo_column:
    plain = wording.key(command.photo_column)
    return plain in map(wording.key, names)
  return any(map(columns.is_photo_name, names))


def _refuse_label_studio(table: Table) -> None:
  if any('nested' in note for note in table.notes) and (
    {'id', 'project'} <= set(table.columns)
  ):
    raise errors.UserError(
      f"{table.path}: Label Studio's JSON; export the project as CSV or COCO"
    )


def _described(path: pathlib.Path, command: configs.Own) -> Any:
  """The names of the classes of masks, if their file is in the same folder."""
  label_file = path.with_name('label_descriptions.json')
  return _json(label_file, command) if label_file.is_file() else {}


def _json(path: pathlib.Path, command: configs.Own) -> Any:
  text, _ = tables.decode(path, path.read_bytes(), command.encoding)
  try:
    return json.loads(text)
  except (ValueError, RecursionError) as error:
    raise errors.UserError(f'{path}: not JSON: {error}') from None


# Folders


def _of_folder(root: pathlib.Path, command: configs.Own) -> Table:
  """The tables inside; else a label per folder, or a split of such folders."""
  folders = sorted(
    path
    for path in root.iterdir()
    if path.is_dir() and not files.is_foreign(path.name)
  )
  splits = {path: wording.split_of(path.name) for path in folders}
  has_splits = None not in splits.values() and wording.TRAIN in splits.values()
  places = {root: None} | (splits if has_splits else {})
  table_paths = {
    place: next((place / n for n in _INSIDE if (place / n).is_file()), None)
    for place in places
  }
  if any(table_paths.values()):
    for place, path in table_paths.items():
      if path is None and place != root:
        raise errors.UserError(
          f'{place}: no table of labels, which other splits have '
          f'({", ".join(_INSIDE)})'
        )
    parts = [
      _inside(root, path, places[place], command)
      for place, path in table_paths.items()
      if path
    ]
    return _joined(root, parts)
  for path in sorted(root.iterdir()):
    if path.suffix.lower() in _TABLES:
      raise errors.UserError(
        f'{root}: there is a table in this folder; use --source={path}'
      )
  if has_splits:
    rows = [
      row
      for folder, split in splits.items()
      for row in _class_rows(root, folder, command, {'split': split})
    ]
    note = f'splits from folders: {", ".join(path.name for path in folders)}'
    names = ('photo', 'split', command.task)
    return _filled(Table(root, names, rows, (note,)))
  known_splits = set(splits.values())
  if wording.TRAIN in known_splits and len(known_splits) > 2:
    class_folder = next(
      path.name for path, split in splits.items() if not split
    )
    raise errors.UserError(
      f"{root}: '{class_folder}' is not a split, but in the same folder as "
      'splits; move it away'
    )
  rows = list(_class_rows(root, root, command, {}))
  return _filled(Table(root, ('photo', command.task), rows))


def _class_rows(
  root: pathlib.Path,
  folder: pathlib.Path,
  command: configs.Own,
  cells: Mapping[str, str],
) -> Iterator[Row]:
  """The photos below a folder, labelled by its subfolders."""
  skipped = photo_files.Skipped()
  for path in photo_files.photos_in(folder, skipped):
    label, *more = pathlib.Path(path).relative_to(folder).parts
    labels = {command.task: label if more else ''}
    photo = os.path.relpath(path, root)
    yield Row(path, {'photo': photo, **cells, **labels})


def _filled(table: Table) -> Table:
  """Raises if a folder has no photo, or no photo has a label."""
  task = table.columns[-1]
  if not table.rows:
    raise errors.UserError(f'{table.path}: no photos in this folder')
  if not any(row.cells[task] for row in table.rows):
    raise errors.UserError(
      f'{table.path}: {len(table.rows):,} photos without labels; use a folder '
      'per label (SOURCE/LABEL/1.jpg), or a CSV with the columns photo and '
      'label'
    )
  return table


def _inside(
  root: pathlib.Path,
  path: pathlib.Path,
  split: str | None,
  command: configs.Own,
) -> Table:
  """A table in the folder of its photos; adds its path and its split."""
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
  table_names = ', '.join(str(table.path.relative_to(root)) for table in parts)
  return Table(root, tuple(names), rows, (f'labels from {table_names}', *notes))


# One-hot


def _one_hot(table: Table, command: configs.Own) -> Table:
  """Merges columns of 0 and 1, with a single 1 per row, into one task."""
  excluded = map(wording.key, (*command.keep_columns, *command.drop_columns))
  names = _binary_columns(table, set(excluded))
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
  other_columns = [name for name in table.columns if name not in hot_names]
  if command.task in other_columns:
    raise errors.UserError(
      f"{table.path}: the task of the one-hot columns, '{command.task}', is "
      'also a column; rename it with --task=NAME'
    )
  note = f"one-hot columns are the task '{command.task}' (--task renames it)"
  return Table(
    table.path, (*other_columns, command.task), rows, (*table.notes, note)
  )


def _binary_columns(table: Table, excluded: set[str]) -> list[str]:
  """The columns of 0 and 1, except splits and those of --keep/drop_columns."""
  return [
    name
    for name in table.columns
    if wording.key(name) not in excluded
    and not columns.is_split_name(name)
    and all(row.cells[name].lower() in _BINARY for row in table.rows)
  ]


def _is_one(cell: str) -> bool:
  return cell.lower() in _ONE


# JSON


def _of_json(
  path: pathlib.Path, content: dict[str, Any], command: configs.Own
) -> Table:
  if {'taskInfo', 'labelInfo'} & content.keys() or path.name.startswith(
    'fgvc4_iMat'
  ):
    raise errors.UserError(
      f"{path}: already in Kaggle's format; continue with "
      'imat_jax.data.download'
    )
  if not isinstance(content.get('images'), list):
    raise errors.UserError(
      f'{path}: unknown JSON; supported are COCO, a list of objects, one per '
      'photo, and JSON lines; save others as CSV'
    )
  try:
    if 'categories' in content:
      return coco.read(path, content, command)
    return coco.of_label_lists(path, content)
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise errors.UserError(
      f'{path}: neither COCO nor iMaterialist 2018: {error!r}'
    ) from None
