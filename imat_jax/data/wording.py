"""What the words in a table mean: a label, a missing one, or a split.

Names and labels are compared without case and blanks.
"""

import collections
import re
import unicodedata
from collections.abc import Sequence

from imat_jax import errors
from imat_jax.data import configs
from imat_jax.data.tables import Row
from imat_jax.data.types import TEST, TRAIN, VALIDATION

_SPLIT_WORDS = {
  **dict.fromkeys(('train', 'training', 'trn', 'tr'), TRAIN),
  **dict.fromkeys(('validation', 'validate', 'valid', 'val'), VALIDATION),
  **dict.fromkeys(('dev', 'development', 'eval', 'evaluation'), VALIDATION),
  **dict.fromkeys(('test', 'testing', 'tst'), TEST),
  **dict.fromkeys(('holdout', 'hold-out', 'held-out'), TEST),
}
# Boolean columns whose name is a split: what yes means, and no.
IS_SPLIT = {
  **dict.fromkeys(('is_valid', 'is_val', 'is_validation'), ('val', 'train')),
  **dict.fromkeys(('is_train', 'is_training'), ('train', 'val')),
  'is_test': ('test', 'train'),
}
_YES_NO = {
  **dict.fromkeys(('true', 'yes', '1', 't', 'y'), 0),
  **dict.fromkeys(('false', 'no', '0', 'f', 'n'), 1),
}
# Cells that mean "missing", as spreadsheets and pandas write them.
_MISSING = frozenset(
  [
    *('', 'na', 'n/a', 'n.a.', '#n/a', '<na>', 'nan', 'null', 'none', 'nil'),
    *('nat', '-', '--', '–', '—', '?', '??', '.', '...', '\\n', 'unknown'),
    *('undefined', 'missing', 'not available', 'not specified'),
    *('(blank)', '(none)', '(null)', '(unknown)', '-1'),
  ]
)
_SIGNS = frozenset({'-1', '0', '1'})
# pandas writes integers in a column with missing values like this.
_WHOLE = re.compile(r'(-?\d+)\.0')
_SHORT = 60  # letters of a cell in a message


def key(text: str) -> str:
  """The canonical form of a label or name, to compare spellings.

  Ignores case, blanks, the Unicode form and zero-width characters.
  """
  visible = ''.join(c for c in text if unicodedata.category(c) != 'Cf')
  return ' '.join(unicodedata.normalize('NFKC', visible).casefold().split())


def column_key(name: str) -> str:
  """`key` of a column's name, with `_` for blanks and hyphens."""
  return re.sub(r'[\s_\-]+', '_', key(name))


def whole(text: str) -> str:
  """The cell; `3.0` is `3`."""
  match = _WHOLE.fullmatch(text)
  return match[1] if match else text


def short(text: str) -> str:
  """A cell, truncated for a message."""
  return text if len(text) <= _SHORT else f'{text[: _SHORT - 1]}…'


def is_missing(text: str) -> bool:
  """Whether a cell means a missing label."""
  return key(text) in _MISSING


def split_of(word: str, column: str = '') -> str | None:
  """The split that a word names, if any.

  Args:
    word: a cell, or a folder's name.
    column: the cell's column; in `is_valid` True means validation.
  """
  plain = key(word)
  if pair := IS_SPLIT.get(column_key(column)):
    plain = pair[_YES_NO[plain]] if plain in _YES_NO else plain
  return _SPLIT_WORDS.get(plain)


def split_of_path(path: str) -> str | None:
  """The split that the innermost folder with such a name has, if any.

  Those outside may be called `dev` or `test` for other reasons.
  """
  folders = reversed(re.split(r'[\\/]', path)[:-1])
  return next(filter(None, map(split_of, folders)), None)


def split_of_row(row: Row, column: str) -> str | None:
  """The split of a row; None if its cell is missing.

  Raises:
    UserError: the cell is not a split.
  """
  cell = row.cells[column]
  if is_missing(cell):
    return None
  if (split := split_of(cell, column)) is None:
    raise errors.UserError(
      f"{row.where}: unknown split '{cell}'; use train, validation (val, "
      f"valid, dev) or test; if column '{column}' is not a split: "
      f'--drop_columns={column} or --keep_columns={column}'
    )
  return split


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
    missing = _MISSING - keep
    self.missing = collections.Counter()
    spellings = collections.defaultdict(dict)
    for cell, count in counts.items():
      plain = key(whole(cell))
      if plain in missing:
        self.missing[cell] += count
      else:
        spellings[cell if command.exact_labels else plain][cell] = count
    self.by_cell, self.merged = {}, {}
    for group in spellings.values():
      # The commonest, in a tie lower case; independent of the order of rows.
      best = min(group, key=lambda c: (-group[c], c != c.lower(), c))
      if not command.exact_labels:
        best = whole(' '.join(best.split()))
      self.by_cell |= dict.fromkeys(group, best)
      if len(group) > 1:
        self.merged[best] = sorted(group)
