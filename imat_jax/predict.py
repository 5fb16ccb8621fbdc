"""Labels photos with a trained run.

  python -m imat_jax.predict --run=runs/demo photo.jpg folder/ --top=3
  find shop -name '*.jpg' | python -m imat_jax.predict --run=runs/demo - \\
    --format=csv > labels.csv
  python -m imat_jax.predict --run=runs/demo folder/ --save_grid=labels.png

prints a line per photo and task: its likeliest labels with their probabilities.
A file that is no photo has a line of its own, which says why; of folders only
photos are taken, whatever their names. The last line, on stderr, counts what
was labelled, not readable and passed over. Where no photo was labelled the exit
status is 1.

A list on standard input has a path per line, or NUL behind each, in UTF-8 or
UTF-16.
"""

import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence

from imat_jax import config, errors
from imat_jax.data import (
  file_kinds,
  image_validation,
  photo_files,
  photo_lists,
  preprocess,
  urls,
)
from imat_jax.runtime import outputs, progress, run_folders

_ON_GRID = 64
_LISTS = ('.csv', '.tsv', '.txt', '.json', '.jsonl', '.xlsx', '.parquet')


def main(command: config.Predict) -> None:
  """Prints the labels of the photos.

  Raises:
    UserError: there is no run or no photo, or no photo could be labelled.
  """
  run_folders.check(command.run)
  skipped = photo_files.Skipped()
  paths = list(photo_lists.collect(command.paths, skipped))
  if command.save_grid:
    outputs.check(command.save_grid)
    paths = _without(command.save_grid, paths, command.paths)
  if not paths:
    empty = ': the list is empty' if photo_lists.LIST in command.paths else ''
    raise errors.UserError(f'no photo to label{empty}{_passed_over(skipped)}')
  # Here, so that --help and a wrong path are quick.
  from imat_jax import contact_sheet, inference

  predictor = inference.Predictor(command.run, command.batch_size)
  task_set = predictor.task_set
  write = _WRITERS[_format(command)](task_set, command.top)
  shown, bad = [], []
  for found in _counted(predictor.label(paths), len(paths)):
    if found.error:
      found = found._replace(error=_reason(found.path, found.error))
      bad.append(f'{found.path}: {found.error}')
    elif command.save_grid and len(shown) < _ON_GRID:
      shown.append(found)
    write(found)
  sys.stdout.flush()
  if len(bad) == len(paths):
    raise errors.UserError(
      f'no photo labelled, {len(bad):,} not readable'
      f'{_first(bad)}{_passed_over(skipped)}{_advice(command.paths)}'
    )
  if command.save_grid:
    outputs.write_bytes(command.save_grid, contact_sheet.draw(shown, task_set))
  progress.say(
    f'{len(paths) - len(bad):,} photos labelled, {len(bad):,} not readable'
    f'{_first(bad)}{_passed_over(skipped)}'
  )


def _without(
  target: str, paths: Sequence[str], arguments: Sequence[str]
) -> list[str]:
  """The paths but for that of an earlier picture, found in a folder."""
  place = os.path.realpath(target)
  if place in map(os.path.realpath, arguments):
    raise errors.UserError(
      f'--save_grid={target}: is one of the photos; give another name'
    )
  return [path for path in paths if os.path.realpath(path) != place]


def _reason(path: str, error: str) -> str:
  """Why a file is no photo, a little closer."""
  if error == preprocess.NO_FILE and urls.is_link(path):
    return f'{error}: a link; download its photo first'
  if error != preprocess.NOT_DECODED:
    return error
  try:
    with open(path, 'rb') as file:
      head = file.read(file_kinds.HEAD)
  except OSError as fault:
    return fault.strerror or error
  if image_validation.begins_like_a_picture(head):
    return error
  return f'{error}: {file_kinds.name(head)}'


def _first(bad: Sequence[str]) -> str:
  return f', the first: {bad[0]}' if bad else ''


def _passed_over(skipped: photo_files.Skipped) -> str:
  if not skipped.count:
    return ''
  return (
    f'; passed over {skipped.count:,} that are no photos, the first: '
    f'{skipped.first}'
  )


def _advice(arguments: Sequence[str]) -> str:
  for path in arguments:
    if path.lower().endswith(_LISTS):
      return (
        f'; the photos of a list are labelled with - < {path}, a table is '
        'made a data set by imat_jax.data.own'
      )
  return ''


def _counted(labelled: Iterator, total: int) -> Iterator:
  """The same, under a bar, unless the terminal shows the labels themselves."""
  if sys.stdout.isatty():
    yield from labelled
    return
  with progress.Progress(total, 'label', 'photo') as bar:
    for found in labelled:
      yield found
      bar.advance()


def _format(command: config.Predict) -> str:
  if command.format != 'auto':
    return command.format
  return 'table' if sys.stdout.isatty() else 'csv'


def _table(task_set, top: int):
  """A photo's path, and below it a line per task."""
  width = max(map(len, task_set.names))

  def write(found) -> None:
    path = errors.printable(found.path)
    if found.error:
      print(f'{path}: {found.error}')
      return
    print(path)
    for name in task_set.names:
      best = found.best(task_set, name, top)
      said = '  '.join(f'{label} {share:.2f}' for label, share in best)
      print(f'  {name:{width}}  {said}')

  return write


def _csv(task_set, top: int):
  """A row per photo and task, with a pair of columns per label."""
  number = min(top, max(len(task.labels) for task in task_set))
  pairs = [
    f'{name}{"" if k == 1 else f"_{k}"}'
    for k in range(1, number + 1)
    for name in ('label', 'probability')
  ]
  out = csv.writer(sys.stdout, lineterminator='\n')
  out.writerow(['path', 'task', *pairs, 'error'])
  nothing = [''] * len(pairs)

  def write(found) -> None:
    if found.error:
      out.writerow([found.path, '', *nothing, found.error])
      return
    for name in task_set.names:
      best = found.best(task_set, name, number)
      cells = [cell for label, p in best for cell in (label, f'{p:.6f}')]
      row = [*cells, *nothing[len(cells) :]]
      out.writerow([found.path, name, *row, ''])

  return write


def _json(task_set, top: int):
  """An object per photo and task."""

  def write(found) -> None:
    if found.error:
      print(json.dumps({'path': found.path, 'error': found.error}))
      return
    for name in task_set.names:
      best = found.best(task_set, name, top)
      label, share = best[0]
      row = {'path': found.path, 'task': name, 'label': label}
      row |= {'probability': share, 'probabilities': dict(best)}
      print(json.dumps(row))

  return write


_WRITERS = {'table': _table, 'csv': _csv, 'json': _json}


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, config.Predict)
