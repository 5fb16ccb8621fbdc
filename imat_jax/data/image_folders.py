"""Reads folders: a subfolder of photos per label, or a table in each split."""

import os
import pathlib
import re
from collections.abc import Callable, Iterator

from imat_jax import errors
from imat_jax.data import columns, configs, photo_files, tables, wording
from imat_jax.data.tables import Row, Table
from imat_jax.data.types import TRAIN
from imat_jax.runtime import files

# Tables in the folder of their photos, in this order.
_INSIDE = (
  *('metadata.csv', 'metadata.jsonl', 'metadata.parquet', '_classes.csv'),
  '_annotations.coco.json',
)
_TABLES = ('.csv', '.tsv', '.xlsx', '.jsonl', '.json', '.parquet')


def read(
  root: pathlib.Path,
  command: configs.Own,
  read_table: Callable[[pathlib.Path], Table],
) -> Table:
  """The tables inside; else a label per folder, or a split of such folders.

  Args:
    root: --source.
    command: the user's flags.
    read_table: reads a table of any format.

  Raises:
    UserError: no photos, no labels, or a table that is not of its folder.
  """
  folders = sorted(
    path
    for path in root.iterdir()
    if path.is_dir() and not files.is_foreign(path.name)
  )
  splits = {path: wording.split_of(path.name) for path in folders}
  known_splits = set(splits.values())
  has_splits = None not in known_splits and TRAIN in known_splits
  split_by_place = {root: None} | (splits if has_splits else {})
  table_paths = {
    place: next((place / n for n in _INSIDE if (place / n).is_file()), None)
    for place in split_by_place
  }
  if any(table_paths.values()):
    for place, path in table_paths.items():
      if path is None and place != root:
        raise errors.UserError(
          f'{place}: no table of labels, which other splits have '
          f'({", ".join(_INSIDE)})'
        )
    parts = [
      _inside(root, read_table(path), split_by_place[place], command)
      for place, path in table_paths.items()
      if path
    ]
    return _joined(root, parts)
  for path in sorted(root.iterdir()):
    if path.suffix.lower() in _TABLES:
      raise errors.UserError(
        f'{root}: there is a table in this folder; use --source={path}'
      )
  if TRAIN in known_splits and len(known_splits) > 2 and not has_splits:
    class_folder = next(path.name for path in folders if not splits[path])
    raise errors.UserError(
      f"{root}: '{class_folder}' is not a split, but in the same folder as "
      'splits; move it away'
    )
  if not has_splits:
    rows = list(_class_rows(root, root, None, command))
    return _labelled(Table(root, ('photo', command.task), rows))
  rows = [
    row
    for folder, split in splits.items()
    for row in _class_rows(root, folder, split, command)
  ]
  note = f'splits from folders: {", ".join(path.name for path in folders)}'
  return _labelled(Table(root, ('photo', 'split', command.task), rows, (note,)))


def _class_rows(
  root: pathlib.Path,
  folder: pathlib.Path,
  split: str | None,
  command: configs.Own,
) -> Iterator[Row]:
  """The photos below a folder, labelled by its subfolders."""
  for path in photo_files.photos_in(folder, photo_files.Skipped()):
    label, *more = pathlib.Path(path).relative_to(folder).parts
    cells = {'photo': os.path.relpath(path, root)}
    if split:
      cells['split'] = split
    yield Row(path, {**cells, command.task: label if more else ''})


def _labelled(table: Table) -> Table:
  """Raises if a folder has no photo, or no photo has a label."""
  if not table.rows:
    raise errors.UserError(f'{table.path}: no photos in this folder')
  if not any(row.cells[table.columns[-1]] for row in table.rows):
    raise errors.UserError(
      f'{table.path}: {len(table.rows):,} photos without labels; use a folder '
      'per label (SOURCE/LABEL/1.jpg), or a CSV with the columns photo and '
      'label'
    )
  return table


def _inside(
  root: pathlib.Path, table: Table, split: str | None, command: configs.Own
) -> Table:
  """A table in the folder of its photos; adds its path and its split."""
  names = ['file_name', *filter(columns.is_photo_name, table.columns)]
  names = [name for name in names if name in table.columns]
  photo = command.photo_column or (names[0] if names else 'photo')
  first = ('photo', 'split') if split else ('photo',)
  others = [n for n in table.columns if n not in (*first, photo)]
  folder = table.path.parent.relative_to(root).as_posix()
  rows = []
  for row in table.rows:
    place = row.cells.get(photo, '')
    if folder != '.' and not re.match(r'[a-z]+://', place):
      place = f'{folder}/{place}'
    cells = dict(zip(first, (place, split), strict=False))
    rows.append(Row(row.where, cells | {n: row.cells[n] for n in others}))
  return table._replace(columns=(*first, *others), rows=rows)


def _joined(root: pathlib.Path, parts: list[Table]) -> Table:
  table_names = ', '.join(str(table.path.relative_to(root)) for table in parts)
  return tables.of_uneven_rows(
    root,
    [row for table in parts for row in table.rows],
    f'labels from {table_names}',
    *dict.fromkeys(note for table in parts for note in table.notes),
    names=[name for table in parts for name in table.columns],
  )
