"""Reads the `list_*.txt` of DeepFashion and CelebA as tables.

The number of rows, a line of names, then rows separated by blanks.
"""

import pathlib
from collections.abc import Sequence

from imat_jax import errors
from imat_jax.data import configs, tables
from imat_jax.data.tables import Row, Table

_YES, _NO = 'yes', 'no'
_CELEBA = {'0': 'train', '1': 'validation', '2': 'test'}


def read(path: pathlib.Path, command: configs.Own) -> Table:
  """A task per attribute or group of attributes, or one of categories.

  Raises:
    UserError: a bad row, or no file with the names of the labels.
  """
  lines = _list_lines(path, command)
  header, rows = lines[1].split(), lines[2:]
  names, types = _list_names(path, header, len(rows[0].split()) - 1, command)
  splits = _partition(path, command)
  categories = 'category' in path.name.lower()
  numbers = {str(n): name for n, name in enumerate(names, 1)}
  table_rows = []
  for number, line in enumerate(rows, 3):
    photo, *values = line.split()
    if len(values) != (1 if categories else len(names)):
      raise errors.UserError(
        f'{path}: line {number}: {len(values)} labels, expected {len(names)}'
      )
    cells = {'photo': photo}
    if split := splits.get(photo):
      cells['split'] = split
    if categories:
      if values[0] not in numbers:
        raise errors.UserError(
          f'{path}: line {number}: no category {values[0]}; expected 1 to '
          f'{len(names)}'
        )
      cells[command.task] = numbers[values[0]]
    else:
      cells |= _grouped(names, types, values)
    table_rows.append(Row(f'{path}: line {number}', cells))
  return tables.of_uneven_rows(path, table_rows, 'a DeepFashion list')


def _list_lines(path: pathlib.Path, command: configs.Own) -> list[str]:
  text, _ = tables.decode(path, path.read_bytes(), command.encoding)
  lines = [line for line in text.splitlines() if line.strip()]
  if len(lines) < 3 or not lines[0].strip().isdigit():
    raise errors.UserError(
      f'{path}: not a DeepFashion list, which begins with the number of rows '
      'and a line of names; save other tables as CSV'
    )
  return lines


def _list_names(
  path: pathlib.Path, header: list[str], number: int, command: configs.Own
) -> tuple[list[str], list[str]]:
  """The names of a row's values, and the group of each."""
  if len(header) in (number, number + 1) and number > 1:  # CelebA's
    return header[-number:], ['0'] * number
  kind = 'category' if 'category' in path.name.lower() else 'attr'
  names_path = path.with_name(f'list_{kind}_cloth.txt')
  if not names_path.is_file():
    raise errors.UserError(
      f'{path}: needs {names_path.name} in the same folder, with the names of '
      'the labels'
    )
  lines = _list_lines(names_path, command)[2:]
  pairs = [line.rsplit(maxsplit=1) for line in lines]
  return [p[0].strip() for p in pairs], [p[-1] for p in pairs]


def _grouped(
  names: Sequence[str], types: Sequence[str], values: Sequence[str]
) -> dict[str, str]:
  """One label per group if there are groups; else yes or no per name."""
  cells = {}
  for name, kind, value in zip(names, types, values, strict=True):
    if kind == '0':
      if value != '0':
        cells[name] = _YES if value == '1' else _NO
    elif value == '1':
      cells.setdefault(f'attribute_{kind}', name)
  return cells


def _partition(path: pathlib.Path, command: configs.Own) -> dict[str, str]:
  """Photo → split, if a partition file is nearby."""
  name = 'list_eval_partition.txt'
  places = [path.with_name(name), path.parent.parent / 'Eval' / name]
  for place in filter(pathlib.Path.is_file, places):
    text, _ = tables.decode(place, place.read_bytes(), command.encoding)
    cells = [line.split() for line in text.splitlines()]
    # CelebA's has no header, and numbers as splits.
    return {c[0]: _CELEBA.get(c[-1], c[-1]) for c in cells if len(c) > 1}
  return {}
