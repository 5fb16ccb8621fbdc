"""Infers the roles of a table's columns: photos, split, group, tasks.

Names are compared without case and spaces. A column is a task unless it cannot
be learned; words for "missing" are not labels; spellings of one label are
merged. Each decision is a note for the user, with the flag that changes it.
"""

import collections
import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from imat_jax import errors, tasks
from imat_jax.data import configs
from imat_jax.data.tables import Row, Table

# The best name first; `_` also matches blanks and hyphens.
PHOTO_NAMES = (
  *('photo', 'image', 'file', 'filename', 'file_name', 'path', 'image_path'),
  *('photo_path', 'img_path', 'file_path', 'filepath', 'image_file'),
  *('photo_file', 'image_name', 'img_name', 'image_filename', 'img', 'picture'),
  *('image_url', 'photo_url', 'img_url', 'picture_url', 'image_link', 'url'),
  *('link', 'image_src', 'img_src', 'src', 'image_uri', 'uri'),
)
SPLIT_NAMES = (
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
# Boolean columns whose name is a split.
_IS_SPLIT = {
  **dict.fromkeys(('is_valid', 'is_val', 'is_validation'), ('val', 'train')),
  **dict.fromkeys(('is_train', 'is_training'), ('train', 'val')),
  'is_test': ('test', 'train'),
}
_YES_NO = {
  **dict.fromkeys(('true', 'yes', '1', 't', 'y'), 0),
  **dict.fromkeys(('false', 'no', '0', 'f', 'n'), 1),
}
TRAIN, VALIDATION, TEST = 'train', 'validation', 'test'
_SPLIT_WORDS = {
  **dict.fromkeys(('train', 'training', 'trn', 'tr'), TRAIN),
  **dict.fromkeys(('validation', 'validate', 'valid', 'val'), VALIDATION),
  **dict.fromkeys(('dev', 'development', 'eval', 'evaluation'), VALIDATION),
  **dict.fromkeys(('test', 'testing', 'tst'), TEST),
}
# Cells that mean "missing", as spreadsheets and pandas write them.
MISSING = frozenset(
  [
    *('', 'na', 'n/a', 'n.a.', '#n/a', '<na>', 'nan', 'null', 'none', 'nil'),
    *('nat', '-', '--', '–', '—', '?', '??', '.', '...', '\\n', 'unknown'),
    *('undefined', 'missing', 'not available', 'not specified'),
    *('(blank)', '(none)', '(null)', '(unknown)', '-1'),
  ]
)
_NAMELESS = re.compile(r'unnamed(: ?\d+)?(_level_\d+)?|__index_level_\d+__')
_FEW = 20  # photos of a label; with fewer, its scores mean little
_SHORT = 60  # letters of a cell in a message
_LONG = 80  # letters of an average cell: too long for a class name
_PHOTO = re.compile(r'://|\.(jpe?g|png|webp|gif|bmp|tiff?)$', re.IGNORECASE)
_SIGNS = frozenset({'-1', '0', '1'})
# pandas writes integers in a column with missing values like this.
_WHOLE = re.compile(r'(-?\d+)\.0')
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


def key(text: str) -> str:
  """The canonical form of a label or name, to compare spellings.

  Ignores case, blanks, the Unicode form and zero-width characters.
  """
  visible = ''.join(c for c in text if unicodedata.category(c) != 'Cf')
  return ' '.join(unicodedata.normalize('NFKC', visible).casefold().split())


def is_photo_name(name: str) -> bool:
  """Whether a column of this name may hold the photos."""
  return _unnumbered(name) in PHOTO_NAMES


def is_split_name(name: str) -> bool:
  """Whether a column of this name may hold the splits."""
  return _named(name) in (*SPLIT_NAMES, *_IS_SPLIT)


def split_of(word: str, column: str = '') -> str | None:
  """The split that a word names, if any.

  Args:
    word: a cell, or a folder's name.
    column: the cell's column; in `is_valid` True means validation.
  """
  plain = key(word)
  if pair := _IS_SPLIT.get(_named(column)):
    plain = pair[_YES_NO[plain]] if plain in _YES_NO else plain
  return _SPLIT_WORDS.get(plain)


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
  for flag in ('keep_columns', 'drop_columns'):
    for name in getattr(command, flag):
      _find(table, name, flag)
  photo, notes = _photo_column(table, command, resolves)
  names = [name for name in table.columns if name != photo]
  dropped_columns = {
    _find(table, n, 'drop_columns') for n in command.drop_columns
  }
  kept_columns = {_find(table, n, 'keep_columns') for n in command.keep_columns}
  names = [name for name in names if name not in dropped_columns]
  split = _split_column(table, names, kept_columns, command, notes)
  other_columns = [name for name in names if name != split]
  group = _group_column(table, other_columns, kept_columns, command, notes)
  task_columns = tuple(name for name in other_columns if name != group)
  return Columns(photo, split, group, task_columns), notes


def _named(name: str) -> str:
  return re.sub(r'[\s_\-]+', '_', key(name))


def _unnumbered(name: str) -> str:
  """`Image 1` → `image`: the first of a product's photos."""
  return re.sub(r'_?0?1$', '', _named(name))


def _find(table: Table, name: str, flag: str) -> str:
  """The column that a flag names."""
  if name in table.columns:
    return name
  matches = [column for column in table.columns if key(column) == key(name)]
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
    key=lambda name: PHOTO_NAMES.index(_unnumbered(name)),
  )
  sample = table.rows[:: max(1, len(table.rows) // 100)]

  def share(name: str, search: bool = False) -> float:
    """The share of rows whose cell resolves to a distinct photo."""
    photo_cells = {
      c for row in sample if resolves(c := row.cells[name], search)
    }
    return len(photo_cells) / max(1, len(sample))

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
  kept_columns: set[str],
  command: configs.Own,
  notes: list[str],
) -> str | None:
  if command.split_column:
    return _find(table, command.split_column, 'split_column')
  candidates = [name for name in names if name not in kept_columns]
  for name in _ranked(candidates, (*SPLIT_NAMES, *_IS_SPLIT)):
    if name == 'split' or _only_splits(table, name):
      if name != 'split':
        notes.append(f"splits in the column '{name}'")
      return name
  for name in candidates:
    if _some_splits(table, name):
      raise errors.UserError(
        f"{table.path}: column '{name}' looks like a split; use "
        f'--split_column={name}, or --keep_columns={name} if it is a task'
      )
    if _is_numbered(table, name):
      raise errors.UserError(
        f"{table.path}: column '{name}' looks like numbered splits; add a "
        'column split (train, validation), or use '
        f'--drop_columns={name} to draw the splits, or --keep_columns={name} '
        'if it is a task'
      )
  return None


def _ranked(names: Sequence[str], order: Sequence[str]) -> list[str]:
  """The columns whose names are in `order`, in its order."""
  fitting = (name for name in names if _named(name) in order)
  return sorted(fitting, key=lambda name: order.index(_named(name)))


def _is_numbered(table: Table, name: str) -> bool:
  """Whether a column has fold numbers, or split numbers."""
  cells = {_whole(row.cells[name]) for row in table.rows} - {''}
  has_split_name = _named(name) in (*SPLIT_NAMES, *_FOLD_NAMES)
  return has_split_name and len(cells) > 1 and all(map(str.isdecimal, cells))


def _group_column(
  table: Table,
  names: Sequence[str],
  kept_columns: set[str],
  command: configs.Own,
  notes: list[str],
) -> str | None:
  """The column that identifies products, if any."""
  if command.group_column:
    return _find(table, command.group_column, 'group_column')
  for name in _ranked(names, _GROUP_NAMES):
    cells = [cell for row in table.rows if (cell := row.cells[name])]
    if name not in kept_columns and 1 < len(set(cells)) < len(cells):
      notes.append(
        f"photos with the same '{name}' stay together in drawn splits "
        f'(--keep_columns={name} makes it a task)'
      )
      return name
  return None


def _only_splits(table: Table, name: str) -> bool:
  words = {row.cells[name] for row in table.rows} - {''}
  splits = {split_of(word, name) for word in words}
  return len(splits) > 1 and None not in splits


def _some_splits(table: Table, name: str) -> bool:
  """Whether some cells are `train` and some of another split."""
  words = {row.cells[name] for row in table.rows}
  return len({split_of(word) for word in words} - {None}) > 1


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


class Labels:
  """The labels of one column: missing ones dropped, spellings merged.

  Attributes:
    by_cell: cell → label, without missing cells.
    missing: cell → count, of words that mean "missing".
    merged: label → spellings, of labels with several.
  """

  def __init__(self, cells: Sequence[str], command: configs.Own):
    keep = set(map(key, command.keep_label))
    counts = collections.Counter(filter(None, cells))
    if set(counts) <= _SIGNS:  # -1 means no, as in CelebA
      keep.add('-1')
    self.missing = collections.Counter()
    spellings = collections.defaultdict(dict)
    for cell, count in counts.items():
      plain = key(_whole(cell))
      if plain not in keep and (plain in MISSING):
        self.missing[cell] += count
      else:
        spellings[cell if command.exact_labels else plain][cell] = count
    self.by_cell, self.merged = {}, {}
    for group in spellings.values():
      # The commonest, in a tie lower case; independent of the order of rows.
      best = min(group, key=lambda c: (-group[c], c != c.lower(), c))
      if not command.exact_labels:
        best = _whole(' '.join(best.split()))
      self.by_cell |= dict.fromkeys(group, best)
      if len(group) > 1:
        self.merged[best] = sorted(group)


def _whole(text: str) -> str:
  match = _WHOLE.fullmatch(text)
  return match[1] if match else text


def not_learnable(labels: Sequence[str]) -> str:
  """Why labels, one per photo, cannot be learned; empty if they can."""
  counts = collections.Counter(labels)
  if not counts:
    return 'empty'
  if len(counts) == 1:
    return f"one label only ('{short(next(iter(counts)))}')"
  alone = sum(count == 1 for count in counts.values())
  if alone == len(counts):
    return 'each label has one photo'
  if 2 * alone > len(labels) or (
    len(counts) >= _FEW and 4 * len(counts) > len(labels)
  ):
    return f'{len(counts):,} values on {len(labels):,} photos'
  if sum(map(len, labels)) > _LONG * len(labels):
    return 'long text'
  if len(counts) > _FEW and all(map(_FRACTION.fullmatch, counts)):
    return f'{len(counts):,} numbers with decimals'
  return ''


def few_photos_warning(number: int, labels: Mapping[str, Sequence[str]]) -> str:
  """A warning if labels have too few photos for meaningful scores, else empty.

  Args:
    number: of photos.
    labels: task → a label per labelled photo.
  """
  if number < _FEW:
    return f'{number:,} photos are too few to learn from'
  rare = {
    (task, label): count
    for task, task_labels in labels.items()
    for label, count in collections.Counter(task_labels).items()
    if count < _FEW
  }
  if not rare:
    return ''
  (task, label), count = min(rare.items(), key=lambda pair: pair[1])
  return (
    f'{len(rare):,} labels have fewer than {_FEW} photos (fewest: {task} '
    f"'{short(label)}', {count}); expect chance-level scores for them"
  )


def split_of_path(path: str) -> str | None:
  """The split that a folder of a path names, if any."""
  folders = re.split(r'[\\/]', path)[:-1]
  return next(filter(None, map(split_of, folders)), None)


def short(text: str) -> str:
  """A cell, truncated for a message."""
  return text if len(text) <= _SHORT else f'{text[: _SHORT - 1]}…'


def split_word(row: Row, column: str) -> str | None:
  """The split of a row; None if its cell is missing.

  Raises:
    UserError: the cell is not a split.
  """
  cell = row.cells[column]
  if key(cell) in MISSING:
    return None
  if (split := split_of(cell, column)) is None:
    raise errors.UserError(
      f"{row.where}: unknown split '{cell}'; use train, validation (val, "
      f"valid, dev) or test; if column '{column}' is not a split: "
      f'--drop_columns={column} or --keep_columns={column}'
    )
  return split
