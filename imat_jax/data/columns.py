"""Infers the roles of a table's columns: photos, split, group, tasks.

A column is a task unless its labels cannot be learned. Each decision is a note
for the user, with the flag that changes it.
"""

import collections
import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from imat_jax import errors, tasks
from imat_jax.data import configs, wording
from imat_jax.data.label_notes import FEW
from imat_jax.data.tables import Table

# The best name first; `_` also matches blanks and hyphens.
_PHOTO_NAMES = (
  *('photo', 'image', 'file', 'filename', 'file_name', 'path', 'image_path'),
  *('photo_path', 'img_path', 'file_path', 'filepath', 'image_file'),
  *('photo_file', 'image_name', 'img_name', 'image_filename', 'img', 'picture'),
  *('image_url', 'photo_url', 'img_url', 'picture_url', 'image_link', 'url'),
  *('link', 'image_src', 'img_src', 'src', 'image_uri', 'uri'),
)
_SPLIT_NAMES = (
  *('split', 'set', 'subset', 'partition', 'data_split', 'dataset_split'),
  *('ml_use', 'phase', 'evaluation_status', 'fold_name', 'dataset', 'usage'),
)
_FOLD_NAMES = (
  *('fold', 'folds', 'kfold', 'k_fold', 'cv_fold', 'fold_id', 'fold_number'),
)
# Columns that identify a product.
_GROUP_NAMES = (
  *('item_group_id', 'parent_sku', 'parent_id', 'product_id', 'productid'),
  *('sku', 'handle', 'style_id', 'style_code', 'article_id', 'item_id'),
  *('article_number', 'product_code', 'item_code', 'listing_id', 'asin'),
)
_LONG = 80  # letters of an average cell: too long for a class name
_PHOTO = re.compile(r'://|\.(jpe?g|png|webp|gif|bmp|tiff?)$', re.IGNORECASE)
_FRACTION = re.compile(r'[^\d]{0,3}-?\d[\d.,\' ]*[.,]\d+[^\d]{0,3}')


class Resolves(Protocol):
  """Whether a cell is a link, or the path of an existing photo."""

  def __call__(self, cell: str, search: bool = False) -> bool:
    """`search`: accept other spellings of a path, see `photo_paths`."""


@dataclasses.dataclass(frozen=True)
class Columns:
  """The columns by their roles."""

  photo: str
  split: str | None
  group: str | None
  tasks: tuple[str, ...]


def is_photo_name(name: str) -> bool:
  """Whether a column of this name may hold the photos."""
  return _unnumbered(name) in _PHOTO_NAMES


def is_split_name(name: str) -> bool:
  """Whether a column of this name may hold the splits."""
  return wording.column_key(name) in (*_SPLIT_NAMES, *wording.IS_SPLIT)


def understand(
  table: Table, command: configs.Own, resolves: Resolves
) -> tuple[Columns, list[str]]:
  """Finds the columns of photos, splits, groups and tasks.

  Args:
    table: as read.
    command: the user's flags.
    resolves: see `Resolves`.

  Returns:
    the columns, and notes on what was inferred.

  Raises:
    UserError: no column of photos, or none of a name in the flags.
  """
  kept = {_find(table, n, 'keep_columns') for n in command.keep_columns}
  dropped = {_find(table, n, 'drop_columns') for n in command.drop_columns}
  photo, notes = _photo_column(table, command, resolves)
  names = [n for n in table.columns if n != photo and n not in dropped]
  split = _split_column(table, names, kept, command, notes)
  names = [name for name in names if name != split]
  group = _group_column(table, names, kept, command, notes)
  names = [name for name in names if name != group]
  return Columns(photo, split, group, tuple(names)), notes


def task_names(names: Iterable[str], path: object) -> dict[str, str]:
  """Column → task name; flags use , ; and : as separators.

  Raises:
    UserError: two columns get the same name.
  """
  task_by_column = {}
  for name in names:
    task = re.sub(r'[,;:=/\\]+', '_', ' '.join(name.split()))
    if task == tasks.APPAREL:  # the task of Kaggle's four classes
      task = f'{tasks.APPAREL}_'
    if task in task_by_column.values():
      raise errors.UserError(f"{path}: duplicate column '{task}'; rename one")
    task_by_column[name] = task
  return task_by_column


def not_learnable(labels: Sequence[str]) -> str:
  """Why labels, one per photo, cannot be learned; empty if they can."""
  counts = collections.Counter(labels)
  if not counts:
    return 'empty'
  if len(counts) == 1:
    return f"one label only ('{wording.short(labels[0])}')"
  alone = sum(count == 1 for count in counts.values())
  if alone == len(counts):
    return 'each label has one photo'
  if 2 * alone > len(labels) or (
    len(counts) >= FEW and 4 * len(counts) > len(labels)
  ):
    return f'{len(counts):,} values on {len(labels):,} photos'
  if sum(map(len, labels)) > _LONG * len(labels):
    return 'long text'
  if len(counts) > FEW and all(map(_FRACTION.fullmatch, counts)):
    return f'{len(counts):,} numbers with decimals'
  return ''


def few_photos_warning(number: int, labels: Mapping[str, Sequence[str]]) -> str:
  """A warning if labels have too few photos for meaningful scores, else empty.

  Args:
    number: of photos.
    labels: task → a label per labelled photo.
  """
  if number < FEW:
    return f'{number:,} photos are too few to learn from'
  rare = {
    (task, label): count
    for task, task_labels in labels.items()
    for label, count in collections.Counter(task_labels).items()
    if count < FEW
  }
  if not rare:
    return ''
  (task, label), count = min(rare.items(), key=lambda pair: pair[1])
  return (
    f'{len(rare):,} labels have fewer than {FEW} photos (fewest: {task} '
    f"'{wording.short(label)}', {count}); expect chance-level scores for them"
  )


def _unnumbered(name: str) -> str:
  """`Image 1` → `image`: the first of a product's photos."""
  return re.sub(r'_?0?1$', '', wording.column_key(name))


def _find(table: Table, name: str, flag: str) -> str:
  """The column that a flag names."""
  if name in table.columns:
    return name
  matches = [c for c in table.columns if wording.key(c) == wording.key(name)]
  if len(matches) == 1:
    return matches[0]
  raise errors.UserError(
    f"--{flag}={name}: no column '{name}' in {table.path}; available: "
    f'{", ".join(table.columns)}'
  )


def _photo_column(
  table: Table, command: configs.Own, resolves: Resolves
) -> tuple[str, list[str]]:
  if command.photo_column:
    return _find(table, command.photo_column, 'photo_column'), []
  for name in table.columns:
    if resolves(name) or _PHOTO.search(name):
      raise errors.UserError(
        f"{table.path}: the first line is data ('{name}'), not column names; "
        'insert a header such as photo,label (Vertex AI: split,photo,label)'
      )
  named_columns = sorted(
    filter(is_photo_name, table.columns),
    key=lambda name: _PHOTO_NAMES.index(_unnumbered(name)),
  )
  sample = table.rows[:: max(1, len(table.rows) // 100)]

  def share(name: str, search: bool = False) -> float:
    """The share of rows whose cell resolves to a distinct photo."""
    distinct = {row.cells[name] for row in sample}
    return sum(resolves(c, search) for c in distinct) / max(1, len(sample))

  candidates = (
    [name for name in named_columns if share(name)]
    or [name for name in table.columns if share(name) > 0.5]
    or named_columns
    or [name for name in table.columns if share(name, search=True) > 0.9]
  )
  if not candidates:
    names = ', '.join(table.columns) or 'none'
    raise errors.UserError(
      f"{table.path}: no column 'photo' (the file or link of each photo); the "
      f'columns are: {names}. If one has the photos: --photo_column=NAME'
    )
  # The best name of those that resolve often: `image_link`, which some products
  # lack, before `link`, a web page.
  best_share = max(map(share, candidates))
  best = next(name for name in candidates if 2 * share(name) >= best_share)
  return best, [] if best == 'photo' else [f"photos in the column '{best}'"]


def _split_column(
  table: Table,
  names: Sequence[str],
  kept: set[str],
  command: configs.Own,
  notes: list[str],
) -> str | None:
  if command.split_column:
    return _find(table, command.split_column, 'split_column')
  candidates = [name for name in names if name not in kept]
  for name in _ranked(candidates, (*_SPLIT_NAMES, *wording.IS_SPLIT)):
    if name == 'split':
      return name
    words = {row.cells[name] for row in table.rows} - {''}
    splits = {wording.split_of(word, name) for word in words}
    if len(splits) > 1 and None not in splits:
      notes.append(f"splits in the column '{name}'")
      return name
  for name in candidates:
    words = {row.cells[name] for row in table.rows}
    if len(set(map(wording.split_of, words)) - {None}) > 1:
      raise errors.UserError(
        f"{table.path}: column '{name}' looks like a split; use "
        f'--split_column={name}, or --keep_columns={name} if it is a task'
      )
    numbers = set(map(wording.whole, words)) - {''}
    if (
      wording.column_key(name) in (*_SPLIT_NAMES, *_FOLD_NAMES)
      and len(numbers) > 1
      and all(map(str.isdecimal, numbers))
    ):
      raise errors.UserError(
        f"{table.path}: column '{name}' looks like numbered splits; add a "
        'column split (train, validation), or use '
        f'--drop_columns={name} to draw the splits, or --keep_columns={name} '
        'if it is a task'
      )
  return None


def _group_column(
  table: Table,
  names: Sequence[str],
  kept: set[str],
  command: configs.Own,
  notes: list[str],
) -> str | None:
  """The column that identifies products, if any."""
  if command.group_column:
    return _find(table, command.group_column, 'group_column')
  for name in _ranked(names, _GROUP_NAMES):
    filled = [cell for row in table.rows if (cell := row.cells[name])]
    if name not in kept and 1 < len(set(filled)) < len(filled):
      notes.append(
        f"photos with the same '{name}' stay together in drawn splits "
        f'(--keep_columns={name} makes it a task)'
      )
      return name
  return None


def _ranked(names: Sequence[str], order: Sequence[str]) -> list[str]:
  """The columns whose names are in `order`, in its order."""
  fitting = (name for name in names if wording.column_key(name) in order)
  return sorted(fitting, key=lambda name: order.index(wording.column_key(name)))
