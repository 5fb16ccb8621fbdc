"""Reads common label formats as a table with a row per photo.

Supported: tables (see `tables`), folders of classes, one-hot columns, COCO and
Fashionpedia, iMaterialist 2018 and 2019 to 2021, `list_*.txt` of DeepFashion
and CelebA, image folders with a `metadata.csv` or `.jsonl`. Others are
recognised, with advice on how to convert them.
"""

import functools
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from imat_jax import errors
from imat_jax.data import (
  coco,
  columns,
  configs,
  image_folders,
  list_files,
  tables,
  wording,
)
from imat_jax.data.tables import Row, Table

# Endings → advice.
_UNSUPPORTED = {
  ('.tar', '.tgz', '.tar.gz', '.tar.bz2', '.tar.xz'): (
    'an archive; unpack it (WebDataset: write a CSV with the columns photo and '
    'label)'
  ),
  ('.zip', '.7z', '.rar', '.gz', '.bz2', '.xz'): (
    'an archive; unpack it and use the table or folder in it'
  ),
  ('.xml',): 'XML; export it as COCO 1.0 (CVAT), or as CSV or COCO',
  ('.tfrecord',): (
    'TFRecord; write the photos as files and a CSV of their labels'
  ),
  ('.yaml', '.yml'): (
    'a YOLO data set; export it as COCO, or as folders of classes'
  ),
}
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
    read_table = functools.partial(_of_file, command=command)
    table, root = image_folders.read(place, command, read_table), place
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
  for endings, advice in _UNSUPPORTED.items():
    if name.endswith(endings):
      raise errors.UserError(f'{path}: {advice}')
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
  table = tables.read(path, command, functools.partial(_is_header, command))
  _refuse_label_studio(table)
  return _one_hot(table, command)


def _is_header(command: configs.Own, names: Sequence[str]) -> bool:
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
  return tables.parse_json(path, text)


# One-hot


def _one_hot(table: Table, command: configs.Own) -> Table:
  """Merges columns of 0 and 1, with a single 1 per row, into one task.

  Not splits and the columns of --keep_columns and --drop_columns.
  """
  excluded = set(
    map(wording.key, (*command.keep_columns, *command.drop_columns))
  )
  names = [
    name
    for name in table.columns
    if wording.key(name) not in excluded
    and not columns.is_split_name(name)
    and all(row.cells[name].lower() in _BINARY for row in table.rows)
  ]
  ones_by_row = [
    [name for name in names if row.cells[name].lower() in _ONE]
    for row in table.rows
  ]
  counts = set(map(len, ones_by_row))
  is_roboflow = table.path.name.lower() == '_classes.csv'
  if len(names) < 2 or not (
    counts == {1} or (is_roboflow and counts <= {0, 1})
  ):
    return table
  others = [name for name in table.columns if name not in names]
  if command.task in others:
    raise errors.UserError(
      f"{table.path}: the task of the one-hot columns, '{command.task}', is "
      'also a column; rename it with --task=NAME'
    )
  rows = [
    Row(
      row.where,
      {name: row.cells[name] for name in others}
      | {command.task: ''.join(ones)},
    )
    for row, ones in zip(table.rows, ones_by_row, strict=True)
  ]
  note = f"one-hot columns are the task '{command.task}' (--task renames it)"
  return Table(table.path, (*others, command.task), rows, (*table.notes, note))


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
