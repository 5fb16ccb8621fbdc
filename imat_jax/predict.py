"""Labels photos with a trained run.

  python -m imat_jax.predict --run=runs/demo photo.jpg folder/ --top=3
  find shop -name '*.jpg' | python -m imat_jax.predict --run=runs/demo - \\
    --format=csv > labels.csv
  python -m imat_jax.predict --run=runs/demo folder/ --save_grid=labels.png

prints a line per photo and task: the likeliest labels with their probabilities.
A file that is not a photo gets an error line; in folders only photos are
labelled, whatever their names. The last line, on stderr, counts photos that
were labelled, unreadable and skipped. The exit status is 1 if none was
labelled.

A list on standard input has a path per line, or separated by NUL, in UTF-8 or
UTF-16.
"""

import csv
import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from PIL import Image

from imat_jax import config, errors, options, tasks, validators
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
_THUMBNAIL = 180  # pixels of a photo in the grid
_MOST_TASKS = 8  # with a line in the grid
_UNCERTAIN = '#767676'
_LISTS = ('.csv', '.tsv', '.txt', '.json', '.jsonl', '.xlsx', '.parquet')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict(options.Config):
  """Options of `imat_jax.predict`."""

  paths: tuple[str, ...] = options.arguments(
    'PATH…',
    'photos, folders (with subfolders), or - for a list of both on standard '
    'input',
    validators.not_empty,
  )
  run: str = config.place('workdir of a trained run')
  format: Literal['auto', 'table', 'csv', 'json'] = options.option(
    'output format; json: a line per photo and task; auto: table on a '
    'terminal, else csv',
    'auto',
  )
  top: int = options.option(
    'number of labels per task', 3, validators.at_least(1)
  )
  save_grid: str = config.file(
    'FILE.png to write, with the first 64 photos and their labels',
    '',
    validators.png,
  )
  batch_size: int = options.option(
    'photos per step', 64, validators.at_least(1)
  )


def main(command: Predict) -> None:
  """Prints the labels of the photos.

  Raises:
    UserError: no run, no photo, or no photo could be labelled.
  """
  run_folders.check(command.run)
  skipped = photo_files.Skipped()
  paths = list(photo_lists.collect(command.paths, skipped))
  if command.save_grid:
    outputs.check(command.save_grid)
    paths = _without(command.save_grid, paths, command.paths)
  if not paths:
    empty = ': the list is empty' if photo_lists.LIST in command.paths else ''
    raise errors.UserError(f'no photos to label{empty}{_skipped(skipped)}')
  # Imported late, so that --help and path errors are fast.
  from imat_jax import inference

  predictor = inference.Predictor(command.run, command.batch_size)
  task_set = predictor.task_set
  write = _WRITERS[_format(command)](task_set, command.top)
  grid, failures = [], []
  for prediction in _counted(predictor.label(paths), len(paths)):
    if prediction.error:
      prediction = prediction._replace(
        error=_reason(prediction.path, prediction.error)
      )
      failures.append(f'{prediction.path}: {prediction.error}')
    elif command.save_grid and len(grid) < _ON_GRID:
      grid.append(prediction)
    write(prediction)
  sys.stdout.flush()
  if len(failures) == len(paths):
    raise errors.UserError(
      f'no photo labelled, {len(failures):,} unreadable'
      f'{_first(failures)}{_skipped(skipped)}{_advice(command.paths)}'
    )
  if command.save_grid:
    outputs.write_bytes(command.save_grid, draw_grid(grid, task_set))
  progress.say(
    f'{len(paths) - len(failures):,} photos labelled, '
    f'{len(failures):,} unreadable{_first(failures)}{_skipped(skipped)}'
  )


def draw_grid(predictions: Sequence[Any], task_set: tasks.TaskSet) -> bytes:
  """A PNG of photos with the likeliest label of each of the first tasks.

  A label with a probability below 0.5 is grey. No color says right or wrong:
  that is not known.
  """
  from imat_jax.writers import plots

  captions = []
  for prediction in predictions:
    lines = [plots.Caption(pathlib.Path(prediction.path).name)]
    for name in task_set.names[:_MOST_TASKS]:
      ((label, probability),) = prediction.best(task_set, name)
      line = plots.Caption(f'{probability:.2f} {label}')
      lines.append(
        line if probability >= 0.5 else line._replace(color=_UNCERTAIN)
      )
    captions.append(lines)
  images = [_thumbnail(prediction.path) for prediction in predictions]
  return plots.png(plots.image_grid(images, captions))


def _thumbnail(path: str) -> Image.Image:
  with image_validation.opened(pathlib.Path(path)) as image:
    image.draft('RGB', (_THUMBNAIL, _THUMBNAIL))
    upright = preprocess.upright_rgb(image)
  upright.thumbnail((_THUMBNAIL, _THUMBNAIL))
  return upright


def _without(
  target: str, paths: Sequence[str], arguments: Sequence[str]
) -> list[str]:
  """The paths without that of an earlier grid image in one of the folders."""
  real_target = os.path.realpath(target)
  if real_target in map(os.path.realpath, arguments):
    raise errors.UserError(
      f'--save_grid={target}: is one of the photos; choose another name'
    )
  return [path for path in paths if os.path.realpath(path) != real_target]


def _reason(path: str, error: str) -> str:
  """A more specific reason why a file is not a photo."""
  if error == preprocess.NO_FILE and urls.is_link(path):
    return f'{error}: a link; download the photo first'
  if error != preprocess.NOT_DECODED:
    return error
  try:
    with open(path, 'rb') as file:
      head = file.read(file_kinds.HEAD)
  except OSError as os_error:
    return os_error.strerror or error
  if image_validation.has_image_signature(head):
    return error
  return f'{error}: {file_kinds.name(head)}'


def _first(failures: Sequence[str]) -> str:
  return f', the first: {failures[0]}' if failures else ''


def _skipped(skipped: photo_files.Skipped) -> str:
  if not skipped.count:
    return ''
  return (
    f'; skipped {skipped.count:,} files that are not photos, the first: '
    f'{skipped.first}'
  )


def _advice(arguments: Sequence[str]) -> str:
  for path in arguments:
    if path.lower().endswith(_LISTS):
      return (
        f'; to label the photos of a list, use - < {path}; to make a data set '
        'of a table, use imat_jax.data.own'
      )
  return ''


def _counted(predictions: Iterator, total: int) -> Iterator:
  """The predictions, with a progress bar unless a terminal shows the labels."""
  if sys.stdout.isatty():
    yield from predictions
    return
  with progress.Progress(total, 'label', 'photo') as bar:
    for prediction in predictions:
      yield prediction
      bar.advance()


def _format(command: Predict) -> str:
  if command.format != 'auto':
    return command.format
  return 'table' if sys.stdout.isatty() else 'csv'


def _table(task_set, top: int):
  """A photo's path, and below it a line per task."""
  width = max(map(len, task_set.names))

  def write(prediction) -> None:
    path = errors.printable(prediction.path)
    if prediction.error:
      print(f'{path}: {prediction.error}')
      return
    print(path)
    for name in task_set.names:
      ranked = prediction.best(task_set, name, top)
      text = '  '.join(
        f'{label} {probability:.2f}' for label, probability in ranked
      )
      print(f'  {name:{width}}  {text}')

  return write


def _csv(task_set, top: int):
  """A row per photo and task, with a pair of columns per label."""
  num_labels = min(top, task_set.most_labels)
  pairs = [
    f'{name}{"" if k == 1 else f"_{k}"}'
    for k in range(1, num_labels + 1)
    for name in ('label', 'probability')
  ]
  out = csv.writer(sys.stdout, lineterminator='\n')
  out.writerow(['path', 'task', *pairs, 'error'])
  blanks = [''] * len(pairs)

  def write(prediction) -> None:
    if prediction.error:
      out.writerow([prediction.path, '', *blanks, prediction.error])
      return
    for name in task_set.names:
      ranked = prediction.best(task_set, name, num_labels)
      cells = [cell for label, p in ranked for cell in (label, f'{p:.6f}')]
      row = [*cells, *blanks[len(cells) :]]
      out.writerow([prediction.path, name, *row, ''])

  return write


def _json(task_set, top: int):
  """An object per photo and task."""

  def write(prediction) -> None:
    if prediction.error:
      print(json.dumps({'path': prediction.path, 'error': prediction.error}))
      return
    for name in task_set.names:
      ranked = prediction.best(task_set, name, top)
      label, probability = ranked[0]
      row = {'path': prediction.path, 'task': name, 'label': label}
      row |= {'probability': probability, 'probabilities': dict(ranked)}
      print(json.dumps(row))

  return write


_WRITERS = {'table': _table, 'csv': _csv, 'json': _json}


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, Predict)
