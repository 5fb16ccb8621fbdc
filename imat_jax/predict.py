"""Labels photos with a trained run.

  python -m imat_jax.predict --run=runs/demo photo.jpg folder/ --top=3
  find shop -name '*.jpg' | python -m imat_jax.predict --run=runs/demo - \\
    --format=csv > labels.csv
  python -m imat_jax.predict --run=runs/demo folder/ --save_grid=labels.png

prints a line per photo and task: its likeliest labels with their probabilities.
A file that is no photo has a line of its own, which says why, and is counted at
the end; the exit status is 0.
"""

import csv
import json
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator

from imat_jax import config, errors, files, progress

# What a folder is searched for; a file that is named is read whatever its name.
ENDINGS = ('.jpg', '.jpeg', '.png', '.webp', '.gif', '.avif', '.bmp', '.tiff')
_ON_GRID = 64


def main(command: config.Predict) -> None:
  """Prints the labels of the photos."""
  for path in command.paths:
    _check(path)
  # Here, so that --help and a wrong path are quick.
  from imat_jax import contact_sheet, inference

  # Names of files may be any bytes.
  sys.stdout.reconfigure(errors='surrogateescape')
  predictor = inference.Predictor(command.run, command.batch_size)
  task_set = predictor.task_set
  write = _WRITERS[_format(command)](task_set, command.top)
  shown, total, bad = [], 0, 0
  for found in _counted(predictor.label(_listed(command.paths)), command.paths):
    write(found)
    total += 1
    bad += bool(found.error)
    if command.save_grid and not found.error and len(shown) < _ON_GRID:
      shown.append(found)
  sys.stdout.flush()
  progress.say(f'{total - bad:,} photos labelled, {bad:,} not readable')
  if command.save_grid:
    sheet = contact_sheet.draw(shown, task_set)
    files.write_bytes(pathlib.Path(command.save_grid), sheet)


def photos_in(folder: str) -> Iterator[str]:
  """The photos of a folder and all below it, by name; nothing hidden."""
  for parent, folders, names in os.walk(folder):
    folders[:] = sorted(name for name in folders if name[0] != '.')
    for name in sorted(names):
      if name[0] != '.' and name.lower().endswith(ENDINGS):
        yield os.path.join(parent, name)


def _check(path: str) -> None:
  if os.path.isdir(path) and next(photos_in(path), None) is None:
    raise errors.UserError(
      f'{path}: no file in this folder ends like a photo: {", ".join(ENDINGS)}'
    )


def _listed(paths: Iterable[str]) -> Iterator[str]:
  for path in paths:
    if path == '-':
      lines = (line.rstrip(b'\r\n') for line in sys.stdin.buffer)
      yield from (os.fsdecode(line) for line in lines if line)
    elif os.path.isdir(path):
      yield from photos_in(path)
    else:
      yield path


def _counted(labelled: Iterator, paths: Iterable[str]) -> Iterator:
  """The same, under a bar, unless the terminal shows the labels themselves."""
  if sys.stdout.isatty():
    yield from labelled
    return
  total = None if '-' in paths else sum(1 for _ in _listed(paths))
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
