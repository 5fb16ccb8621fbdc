"""Reads CSV, Excel, JSON and Parquet as rows of text.

`columns` interprets them. Guesses, of separator and encoding, are reported in
`Table.notes`.
"""

import csv
import io
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from imat_jax import errors
from imat_jax.data import configs, photo_files
from imat_jax.runtime import extras

SEPARATORS = {',': 'commas', ';': 'semicolons', '\t': 'tabs', '|': '|'}
# Tried in this order without a byte-order mark. Excel writes Windows-1252 in
# the west, a superset of Latin-1's letters.
ENCODINGS = ('utf-8', 'cp1252')
_MARKS = (  # UTF-32's begins with UTF-16's
  (b'\xef\xbb\xbf', 'utf-8-sig'),
  (b'\xff\xfe\x00\x00', 'utf-32'),
  (b'\x00\x00\xfe\xff', 'utf-32'),
  (b'\xff\xfe', 'utf-16'),
  (b'\xfe\xff', 'utf-16'),
)
_JSON = ('.json', '.jsonl', '.ndjson')
_SNIFFED_ROWS = 50
_LONGEST_CELL = 2**27
_FOREIGN = re.compile(r'[^\x00-\x7f]')
_FOREIGN_WORD = re.compile(r'\w*[^\W\x00-\x7f]\w*')
# Not in any text file; \x1a, the end of DOS files, is allowed.
_CONTROL = re.compile(r'[\x00-\x08\x0e-\x19]')

Cells = Sequence[str]


class Row(NamedTuple):
  """The cells of a row by column name, and its file and line."""

  where: str
  cells: dict[str, str]


class Table(NamedTuple):
  """A table with stripped cells; missing cells are empty."""

  path: pathlib.Path
  columns: tuple[str, ...]
  rows: list[Row]
  notes: tuple[str, ...] = ()


def read(
  path: pathlib.Path, command: configs.Own, expects: Callable[[Cells], bool]
) -> Table:
  """Reads a table; the format is inferred from the content.

  Args:
    path: a file.
    command: the user's flags.
    expects: whether a header has the expected columns; decides between
      separators.

  Raises:
    UserError: not a table, a bad row, or a missing library.
  """
  try:
    body = path.read_bytes()
  except FileNotFoundError:
    raise errors.UserError(f'{path}: no such file') from None
  if body.startswith(b'PK'):
    return _of_excel(path, command.skip_bad_rows, expects)
  if body.startswith(b'PAR1'):
    return _of_parquet(path)
  text, notes = decode(path, body, command.encoding)
  if text.lstrip().startswith('{'):
    return of_records(path, _json_lines(path, text), 'line', notes)
  if text.lstrip().startswith('[') and path.suffix.lower() in _JSON:
    numbered = enumerate(parse_json(path, text), 1)
    return of_records(path, numbered, 'record', notes)
  return _of_csv(path, text, notes, command.skip_bad_rows, expects)


def decode(
  path: pathlib.Path, body: bytes, encoding: str = ''
) -> tuple[str, tuple[str, ...]]:
  """The text of a file, and a note if the encoding was guessed."""
  if not encoding:
    encoding = next((e for mark, e in _MARKS if body.startswith(mark)), '')
  if not encoding and b'\x00' in body[:2]:
    # UTF-16 without a mark: ASCII letters have a zero byte before or after.
    encoding = 'utf-16-be' if body[0] == 0 else 'utf-16-le'
  for name in [encoding] if encoding else ENCODINGS:
    try:
      text = body.decode(name)
    except (UnicodeDecodeError, UnicodeError):
      if not encoding and name == 'utf-8':
        _refuse_damaged(path, body)
      continue
    except LookupError:
      raise errors.UserError(f'--encoding={name}: unknown encoding') from None
    if _CONTROL.search(text):
      break
    if name in ('utf-8', 'utf-8-sig'):
      return text.removeprefix('\ufeff'), ()
    word = _FOREIGN_WORD.search(text)
    example = (
      f', as in {word[0]!r}; --encoding=NAME if that is wrong' if word else ''
    )
    return text.removeprefix('\ufeff'), (f'encoding {name}{example}',)
  raise errors.UserError(
    f'{path}: neither a table nor text in '
    f'{encoding or " or ".join(ENCODINGS)}; set --encoding (cp1251, shift_jis, '
    'gbk, …), or save it as UTF-8'
  )


def _refuse_damaged(path: pathlib.Path, body: bytes) -> None:
  """Raises if a few bytes of a UTF-8 file are of another encoding."""
  text = body.decode('utf-8', 'replace')
  bad = text.count('\ufffd')
  letters = len(_FOREIGN.findall(text)) - bad
  if letters > 2 * bad:
    line = text[: text.index('\ufffd')].count('\n') + 1
    raise errors.UserError(
      f'{path}: line {line}: invalid UTF-8 in a UTF-8 file; correct it, or set '
      'another --encoding'
    )


def of_records(
  path: pathlib.Path,
  records: Iterable[tuple[int, Any]],
  unit: str,
  notes: Sequence[str] = (),
) -> Table:
  """The table of numbered JSON objects; nested values are empty cells."""
  rows, nested = [], {}
  for number, record in records:
    if not isinstance(record, dict):
      raise errors.UserError(f'{path}: {unit} {number}: not an object')
    cells = {}
    for name, value in record.items():
      if isinstance(value, list) and len(value) == 1:
        value = value[0]
      if isinstance(value, dict | list | bytes):
        nested[as_text(name)] = None
      else:
        cells[as_text(name)] = as_text(value)
    rows.append(Row(f'{path}: {unit} {number}', cells))
  if nested:
    notes = (*notes, f'nested values skipped: {", ".join(nested)}')
  return of_uneven_rows(path, rows, *notes)


def of_uneven_rows(
  path: pathlib.Path, rows: Sequence[Row], *notes: str, names: Cells = ()
) -> Table:
  """The table of rows with different sets of cells.

  Args:
    path, rows, notes: of the table.
    names: the first columns, also if no row has them.
  """
  empty = dict.fromkeys(names, '')
  empty |= dict.fromkeys((name for row in rows for name in row.cells), '')
  rows = [Row(row.where, empty | row.cells) for row in rows]
  return Table(path, tuple(empty), rows, notes)


def as_text(value: Any) -> str:
  """A value as a person would type it: 3.0 is 3, a missing one is empty."""
  if value is None or value != value:  # NaN
    return ''
  if isinstance(value, bool):
    return str(value).lower()
  if isinstance(value, float) and value.is_integer():
    return str(int(value))
  # JSON may have unpaired surrogates.
  return str(value).encode(errors='replace').decode().strip()


def parse_json(place: object, text: str) -> Any:
  """The content of a text; broken JSON is a `UserError` that names `place`."""
  try:
    return json.loads(text)
  except (ValueError, RecursionError) as error:
    raise errors.UserError(f'{place}: not JSON: {error}') from None


def _json_lines(path: pathlib.Path, text: str) -> Iterator[tuple[int, Any]]:
  for number, line in enumerate(text.split('\n'), 1):
    if line.strip():
      yield number, parse_json(f'{path}: line {number}', line)


def _of_csv(
  path: pathlib.Path,
  text: str,
  notes: tuple[str, ...],
  skip_bad_rows: bool,
  expects: Callable[[Cells], bool],
) -> Table:
  first_line = 1
  if match := re.match(r'"?sep=(.)"?\r?\n', text, re.IGNORECASE):  # Excel's
    separator, text, first_line = match[1], text[match.end() :], 2
  else:
    separator = _sniff(text, expects)
  if separator != ',':
    name = SEPARATORS.get(separator, separator)
    suffix = '' if name == separator else f' ({ascii(separator)})'
    notes = (f'cells separated by {name}{suffix}', *notes)
  records = _records(path, text, separator, first_line, skip_bad_rows)
  return _table(path, records, notes, skip_bad_rows, separator)


def _sniff(text: str, expects: Callable[[Cells], bool]) -> str:
  """The separator with the expected header, else with the most even rows."""

  def merit(separator: str) -> tuple[bool, float, int]:
    lines = csv.reader(io.StringIO(text, newline=''), delimiter=separator)
    rows = []
    try:
      for row in lines:
        if any(row):
          rows.append(row)
        if len(rows) > _SNIFFED_ROWS:
          break
    except csv.Error:
      pass
    if not rows or len(rows[0]) < 2:
      return False, 0.0, 0
    even = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
    return expects([name.strip() for name in rows[0]]), even, len(rows[0])

  return max(SEPARATORS, key=merit)  # a comma in a tie


def _records(
  path: pathlib.Path,
  text: str,
  separator: str,
  first_line: int,
  skip_bad_rows: bool,
) -> Iterator[tuple[int, list[str] | None]]:
  """Rows with their first line; None for a bad row."""
  lines = long_lines(io.StringIO(text, newline=''))
  reader = csv.reader(
    lines, delimiter=separator, strict=True, skipinitialspace=separator != '\t'
  )
  while True:
    line = reader.line_num + first_line
    try:
      yield line, [cell.strip() for cell in next(reader)]
    except StopIteration:
      return
    except csv.Error as error:
      last = reader.line_num + first_line - 1
      if last > line or 'end of data' in str(error):
        raise errors.UserError(
          f'{path}: line {line}: a quotation mark (") opens a cell and is not '
          f'closed correctly: {error} (line {last})'
        ) from None
      if not skip_bad_rows:
        raise _bad_row(path, line, str(error)) from None
      yield line, None


def long_lines(lines: Iterable[str]) -> Iterator[str]:
  """The lines of a CSV file; allows cells longer than csv's default."""
  old_limit = csv.field_size_limit(_LONGEST_CELL)
  try:
    yield from lines
  finally:
    csv.field_size_limit(old_limit)


def _bad_row(path: pathlib.Path, line: int, what: str) -> errors.UserError:
  return errors.UserError(
    f'{path}: line {line}: {what}; correct the row (a cell with the separator '
    'in it needs quotation marks), or skip such rows with --skip_bad_rows'
  )


def _table(
  path: pathlib.Path,
  records: Iterator[tuple[int, list[str] | None]],
  notes: tuple[str, ...],
  skip_bad_rows: bool,
  separator: str,
) -> Table:
  """The rows below the header, with only the columns that have a name."""
  header = next((cells for _, cells in records if cells and any(cells)), [])
  num_columns = len(header)
  while header and not header[-1]:
    header = header[:-1]
  named_columns = [(i, name) for i, name in enumerate(header) if name]
  for _, name in named_columns:
    if header.count(name) > 1:
      raise errors.UserError(f"{path}: duplicate column '{name}'; rename one")
  rows, blank, bad = [], 0, []
  for line, cells in records:
    if cells and _swallows_rows(cells, separator):
      raise errors.UserError(
        f'{path}: line {line}: a quotation mark (") opens a cell that swallows '
        'the next rows; close or remove it'
      )
    if cells is None:
      bad.append(line)
    elif not any(cells):
      blank += 1
    elif any(cells[len(header) :]) or len(cells) < len(header):
      if not skip_bad_rows:
        raise _bad_row(path, line, _count(cells, header))
      bad.append(line)
    else:
      row = {name: cells[i] for i, name in named_columns}
      rows.append(Row(f'{path}: line {line}', row))
  notes = list(notes)
  if len(named_columns) < num_columns:
    notes.append(
      f'columns without a name skipped: {num_columns - len(named_columns)}'
    )
  if blank:
    notes.append(f'empty rows skipped: {blank:,}')
  if bad:
    notes.append(f'bad rows skipped: {len(bad):,} (first: line {bad[0]})')
  return Table(
    path, tuple(name for _, name in named_columns), rows, tuple(notes)
  )


def _swallows_rows(cells: Cells, separator: str) -> bool:
  """Whether a cell contains rows: one of its lines looks like this row.

  Its first cell has the same ending, or another one that of the same photos.
  """
  lines = [
    line.split(separator) for cell in cells for line in cell.splitlines()[1:]
  ]
  for column, cell in enumerate(cells if lines else ()):
    _, ending = os.path.splitext(cell)
    if column and ending.lower() not in photo_files.ENDINGS:
      continue
    inner = [line[column] for line in lines if len(line) > max(column, 1)]
    if ending and any(x.rstrip('" ').endswith(ending) for x in inner):
      return True
  return False


def _count(cells: Cells, header: Cells) -> str:
  while cells and not cells[-1] and len(cells) > len(header):
    cells = cells[:-1]
  return f'{len(cells)} cells in {len(header)} columns'


def _of_excel(
  path: pathlib.Path, skip_bad_rows: bool, expects: Callable[[Cells], bool]
) -> Table:
  extras.require('openpyxl', 'tables', str(path))
  import openpyxl

  try:
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    sheets = {
      sheet.title: [list(map(as_text, r)) for r in sheet.values]
      for sheet in book.worksheets
    }
  except Exception as error:  # zip, XML and openpyxl raise their own
    reason = str(error) or type(error).__name__
    raise errors.UserError(
      f'{path}: not an Excel file (.xlsx): {reason}; unpack archives, save '
      'other spreadsheets as CSV'
    ) from None
  filled = {name: rows for name, rows in sheets.items() if any(map(any, rows))}
  fitting = [n for n, rows in filled.items() if any(map(expects, rows[:10]))]
  title = next(iter(fitting or filled), '')
  rows = filled.get(title, [])
  width = max(map(len, rows), default=0)
  rows = [row + [''] * (width - len(row)) for row in rows]
  notes = (f'Excel sheet {title!r} of {len(sheets)}',)
  return _table(path, enumerate(rows, 1), notes, skip_bad_rows, '\0')


def _of_parquet(path: pathlib.Path) -> Table:
  extras.require('pyarrow', 'tables', str(path))
  import pyarrow
  import pyarrow.parquet

  try:
    table = pyarrow.parquet.read_table(path)
  except (pyarrow.ArrowException, OSError) as error:
    raise errors.UserError(f'{path}: not a Parquet file: {error}') from None
  return of_records(path, enumerate(table.to_pylist(), 1), 'row', ('Parquet',))
