"""Photos with tasks of your own, from a table or folders, in Kaggle's form.

  python -m imat_jax.data.own --source=labels.csv \\
    --annotations=data/own/annotations --images=data/own/photos

reads a table with a row per photo: a column, `photo`, has its file, relative to
the table, or its link; each other column is a task, and an empty cell is a
missing label.

  photo,style,room
  photos/1.jpg,modern,kitchen
  photos/2.jpg,,bedroom
  https://shop.example/3.jpg,rustic,

It may be CSV in any dialect and encoding of a spreadsheet, .xlsx, .jsonl or
.parquet; one-hot columns, COCO, iMaterialist, DeepFashion and the metadata of
image folders are read, too. Folders are labels of one task, --task:
SOURCE/modern/1.jpg is `modern`; SOURCE/train/modern/1.jpg is for training.

What was understood is printed, with the flags that change it:

* Cells such as NA, null or - are missing labels (--keep_label=NA).
* `Red`, `red ` and `RED` are one label (--exact_labels).
* Columns that cannot be learned, as a number of each product, are left out
  (--keep_columns=NAME).
* One photo in several rows, or files of the same bytes, is one photo. Of labels
  that disagree the most frequent counts, the first where they tie.
* A column `split` says train, validation or test; test photos are kept apart.
  Without it a share of each label's photos is for validation: always the same.

A photo's id is a digest of its file or link, so a table may change: run this
again, then the commands that it names at its end. Photos of a former table stay
in the folder and are not used.
"""

import collections
import concurrent.futures
import contextlib
import io
import os
import pathlib
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from imat_jax import config, errors, files, outputs, progress
from imat_jax.data import (
  annotations,
  columns,
  formats,
  manifest,
  photo_files,
  photo_paths,
  picture,
  splits,
)
from imat_jax.data.columns import TEST, TRAIN, VALIDATION
from imat_jax.data.tables import Row

SPLITS = (TRAIN, VALIDATION, TEST)
# Kaggle's photos have a class and its tasks; these are all of one.
_CLASS = 'photo'
_ID_DIGITS = 20  # of a SHA-256: 80 bits
_HEXADECIMAL = frozenset('0123456789abcdef')


class Photo(NamedTuple):
  """A photo: its link, or its file; and the rows that name it."""

  link: str
  file: str
  sha256: str  # of the file
  size: tuple[int, int]  # width, height; 0, 0 of a link
  rows: list[Row]

  def as_picture(self) -> picture.Picture:
    """What the manifest says of a file."""
    return picture.Picture(self.sha256, *self.size)


class Labelled(NamedTuple):
  """A photo's split, and its label in each task."""

  photo: Photo
  split: str
  labels: dict[str, str]


Photos = dict[str, Photo]  # by image id


def main(command: config.Own) -> None:
  """Writes the annotations, and puts the photos where the build looks."""
  images = pathlib.Path(command.images)
  target = pathlib.Path(command.annotations)
  table, root = formats.read(command)
  if pathlib.Path(command.source).is_dir():
    outputs.check_apart(
      {'--images': images, '--annotations': target},
      {'--source': command.source},
    )
  finder = photo_paths.Finder(root, [images, target])
  found, notes = columns.understand(table, command, finder.leads)
  notes = [*table.notes, *notes]
  if not table.rows:
    raise errors.UserError(f'{table.path}: no row below the names of columns')
  lost = Lost()
  places = _find(table.rows, found.photo, finder, lost, notes)
  _check_images(images, [place.file for _, place in places if place.file])
  for path in _paths(target).values():
    outputs.check(path)
  photos = _identify(places, lost)
  if not photos:
    raise errors.UserError(f'{table.path}: no photo is there: {lost.summary()}')
  labels = _labels(photos, found.tasks, table.path, command, notes)
  labelled = _with_splits(photos, labels, found.split, command, lost, notes)
  _place(labelled, images)
  _write(labelled, target)
  print(_summary(command, table.path, labelled, lost, notes))


class Lost:
  """Rows without a photo: how many for each reason, and the first."""

  def __init__(self):
    self._of_reason: dict[str, list[str]] = {}

  def add(self, row: Row, cell: str, reason: str) -> None:
    self._of_reason.setdefault(reason, []).append(f"{row.where}: '{cell}'")

  def summary(self) -> str:
    """How many are not there, and why."""
    number = sum(map(len, self._of_reason.values()))
    reasons = '; '.join(
      f'{len(rows):,} {reason} (first: {rows[0]})'
      for reason, rows in self._of_reason.items()
    )
    return f'{number:,} are not there{": " if reasons else ""}{reasons}'


def _find(
  rows: Sequence[Row],
  column: str,
  finder: photo_paths.Finder,
  lost: Lost,
  notes: list[str],
) -> list[tuple[Row, photo_paths.Found]]:
  """Where the photo of each row is."""
  finder.learn_prefix(row.cells[column] for row in rows)
  places, searched = [], []
  for row in rows:
    cell = row.cells[column]
    if not cell:
      lost.add(row, cell, 'rows without a photo')
      continue
    try:
      place = finder.find(cell)
    except photo_paths.NotFound as error:
      lost.add(row, cell, str(error))
      continue
    places.append((row, place))
    if place.by_search:
      searched.append(f"{row.where}: '{cell}' is {place.file}")
  if searched:
    notes.append(
      f'{len(searched):,} photos are not at the path as it is written, but are '
      f'the only file that fits it (first: {searched[0]})'
    )
  return places


def _check_images(images: pathlib.Path, sources: Sequence[str]) -> None:
  """Raises where files that this command did not write are in the way."""
  inside = pathlib.Path(os.path.realpath(images))
  for path in sources:
    listed = os.path.join(
      os.path.realpath(os.path.dirname(path)), os.path.basename(path)
    )
    for place in (listed, os.path.realpath(path)):
      if pathlib.Path(place).is_relative_to(inside):
        raise errors.UserError(
          f'{path}: is in the folder --images={images}, which this command '
          'fills; give a folder apart from your photos'
        )
  for split in SPLITS:
    for path in sorted(images.glob(f'{split}/*')):
      if photo_files.is_foreign(path.name) or _is_id(path):
        continue
      kind = (
        'is numbered, as by an earlier version of this command; rows and '
        'numbers may not fit'
        if path.stem.isdecimal()
        else 'is not of this command'
      )
      raise errors.UserError(
        f'{path}: {kind}; give a new folder as --images '
        '(imat_jax.data.download fetches links again)'
      )


def _is_id(path: pathlib.Path) -> bool:
  digits = len(path.stem) == _ID_DIGITS and set(path.stem) <= _HEXADECIMAL
  return digits and path.suffix == '.jpg'


def _identify(
  places: Sequence[tuple[Row, photo_paths.Found]], lost: Lost
) -> Photos:
  """The photos by their ids; rows and files of one photo joined."""
  distinct = dict.fromkeys(place.file for _, place in places if place.file)
  photos, read = {}, {}
  with (
    concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    progress.Progress(len(distinct), 'read', 'photo') as bar,
  ):
    for path, content in zip(distinct, pool.map(_read, distinct), strict=True):
      read[path] = content
      bar.advance()
  for row, place in places:
    content = read.get(place.file, ('', (0, 0)))
    if isinstance(content, str):
      lost.add(row, place.file, content)
      continue
    sha256, size = content
    key = (sha256 or picture.digest(place.link.encode()))[:_ID_DIGITS]
    photo = Photo(place.link, place.file, sha256, size, [])
    photos.setdefault(key, photo).rows.append(row)
  return photos


def _read(path: str) -> tuple[str, tuple[int, int]] | str:
  """The digest and size of a photo, or why it is none."""
  try:
    body = pathlib.Path(path).read_bytes()
  except OSError as error:
    return f'cannot be read: {error.strerror}'
  if not body:
    return 'empty files'
  if not picture.begins_like_a_picture(body):
    return f'of no known format ({", ".join(picture.FORMATS)})'
  try:
    with picture.opened(io.BytesIO(body)) as image:
      size = image.size
  except Exception:  # see picture; the build will name it
    size = 0, 0
  return picture.digest(body), size


def _labels(
  photos: Photos,
  names: Sequence[str],
  path: pathlib.Path,
  command: config.Own,
  notes: list[str],
) -> dict[str, dict[str, str]]:
  """Image id → task → label."""
  keep = set(map(columns.key, command.keep_columns))
  learned, left_out = {}, {}
  for name, task in columns.task_names(names, path).items():
    of_task, said = _column(photos, name, task, command)
    notes += said
    if task != name:
      notes.append(f"the column '{name}' is the task '{task}'")
    reason = columns.not_learnable(list(of_task.values()))
    if reason and not (of_task and columns.key(name) in keep):
      left_out[name] = reason
    if of_task:
      learned[name] = task, of_task
  if not learned:
    raise errors.UserError(f'{path}: there is no photo with a label')
  if left_out:
    reasons = ', '.join(f'{n} ({reason})' for n, reason in left_out.items())
    if learned.keys() <= left_out.keys():
      notes.append(
        f'warning: no column looks as if it can be learned: {reasons}'
      )
    else:
      learned = {n: x for n, x in learned.items() if n not in left_out}
      notes.append(
        f'columns left out, as they cannot be learned: {reasons}; '
        f'--keep_columns={",".join(left_out)} keeps them'
      )
  labels = {image_id: {} for image_id in photos}
  for task, of_task in learned.values():
    for image_id, label in of_task.items():
      labels[image_id][task] = label
  return labels


def _column(
  photos: Photos, name: str, task: str, command: config.Own
) -> tuple[dict[str, str], list[str]]:
  """Image id → label of one column, and what there is to say of it."""
  cells = [row.cells[name] for p in photos.values() for row in p.rows]
  column = columns.Labels(cells, command)
  labels, notes, torn = {}, [], []
  for image_id, photo in photos.items():
    given = [
      column.shown[row.cells[name]]
      for row in photo.rows
      if row.cells[name] in column.shown
    ]
    if not given:
      continue
    # most_common is stable: the first row's where they tie.
    counts = collections.Counter(given).most_common()
    labels[image_id] = counts[0][0]
    if len(counts) > 1:
      torn.append(
        f'{photo.rows[0].where}: {" and ".join(x for x, _ in counts)}'
      )
  if column.missing:
    spellings = ', '.join(f"'{c}' {n:,}" for c, n in column.missing.items())
    notes.append(
      f'{task}: {column.missing.total():,} labels are missing in words: '
      f'{spellings} (--keep_label=WORD keeps one)'
    )
  if column.joined:
    label, spellings = next(iter(column.joined.items()))
    notes.append(
      f'{task}: {len(column.joined):,} labels in several spellings (first: '
      f'{label}: {", ".join(map(repr, spellings))})'
    )
  if torn:
    notes.append(
      f'{task}: labels of rows of one photo disagree: {len(torn):,}; the most '
      f'frequent counts, else the first (first: {torn[0]})'
    )
  return labels, notes


def _with_splits(
  photos: Photos,
  labels: Mapping[str, dict[str, str]],
  column: str | None,
  command: config.Own,
  lost: Lost,
  notes: list[str],
) -> dict[str, Labelled]:
  asked, torn = {}, []
  for image_id, photo in photos.items():
    words = [columns.split_word(row, column) for row in photo.rows if column]
    words = list(dict.fromkeys(filter(None, words)))
    if words:
      asked[image_id] = words[0]
    if len(words) > 1:
      torn.append(photo.rows[0].where)
  if torn:
    notes.append(
      f'{len(torn):,} photos are in several splits; the first row counts '
      f'(first: {torn[0]})'
    )
  if column and VALIDATION not in asked.values():
    notes.append(
      f"the column '{column}' has no validation photo; a share of the train "
      'photos is for validation'
    )
    asked = {i: split for i, split in asked.items() if split == TEST}
  drawn = {i: labels[i] for i in photos if i not in asked}
  chosen = asked | splits.draw(drawn, command.validation_share)
  counts = collections.Counter(chosen.values())
  if not counts[TRAIN] or not counts[VALIDATION]:
    raise errors.UserError(
      f'{command.source}: {counts[TRAIN]} train and {counts[VALIDATION]} '
      'validation photos: each needs at least one; {lost.summary()}'
    )
  if counts[TEST]:
    notes.append(
      f'{counts[TEST]:,} test photos are kept apart, in test/: neither trained '
      'on nor scored'
    )
  return {i: Labelled(photos[i], chosen[i], labels[i]) for i in photos}


def _place(labelled: Mapping[str, Labelled], images: pathlib.Path) -> None:
  """Links or copies files to SPLIT/ID.jpg; moves what came by a link.

  The manifest has the line of a photo before it is there, so that a later start
  knows it, whenever this one is killed.
  """
  known = {s: manifest.read(manifest.path(images, s)) for s in SPLITS}
  with (
    contextlib.ExitStack() as stack,
    progress.Progress(len(labelled), 'place', 'photo') as bar,
  ):
    lines = {}
    for split in SPLITS:
      (images / split).mkdir(parents=True, exist_ok=True)
      path = manifest.path(images, split)
      if known[split]:
        manifest.write(path, known[split].values())  # the last may be torn
      lines[split] = stack.enter_context(path.open('a'))
    for image_id, (photo, split, _) in labelled.items():
      target = images / split / f'{image_id}.jpg'
      if photo.link:
        line, source = _elsewhere(image_id, split, known, images)
      else:
        line = manifest.came(image_id, None, photo.as_picture(), 0)
        source = None if _is_there(photo, target) else photo.file
      if line and (source or image_id not in known[split]):
        if os.path.lexists(target) and image_id not in known[split] and source:
          raise errors.UserError(
            f'{target}: another file has this name, which this command did not '
            'write; move it away'
          )
        manifest.append(lines[split], line)
      if source and photo.link:
        os.replace(source, target)
      elif source:
        _put(source, target)
      bar.advance()


def _elsewhere(
  image_id: str,
  split: str,
  known: Mapping[str, Mapping[str, manifest.Line]],
  images: pathlib.Path,
) -> tuple[manifest.Line | None, pathlib.Path | None]:
  """The line and file of a downloaded photo that has changed its split."""
  if not (images / split / f'{image_id}.jpg').exists():
    for other in SPLITS:
      line, path = (
        known[other].get(image_id),
        images / other / f'{image_id}.jpg',
      )
      if other != split and line and line.is_ok and path.exists():
        return line, path
  return None, None


def _is_there(photo: Photo, target: pathlib.Path) -> bool:
  if not target.is_file():
    return False
  return os.path.samefile(photo.file, target) or (
    picture.digest(target.read_bytes()) == photo.sha256
  )


def _put(file: str, target: pathlib.Path) -> None:
  """A hard link to the file, or a copy; all of it, or nothing."""
  part = target.with_name(f'{files.WRITING}{target.stem}')
  part.unlink(missing_ok=True)
  # A relative symbolic link would lead elsewhere from there.
  source = os.path.realpath(file)
  try:
    os.link(source, part)
  except OSError:  # on another disk
    shutil.copyfile(source, part)
  os.replace(part, target)


def _paths(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """The files that this command writes, as `annotations` names them."""
  tasks_path, labels_path = annotations.map_paths(folder)
  of_splits = {split: annotations.split_path(folder, split) for split in SPLITS}
  return {**of_splits, 'tasks': tasks_path, 'labels': labels_path}


def _write(labelled: Mapping[str, Labelled], folder: pathlib.Path) -> None:
  pairs = [p for row in labelled.values() for p in row.labels.items()]
  task_ids = _numbered(name for name, _ in pairs)
  label_ids = _numbered(label for _, label in pairs)
  paths = _paths(folder)
  for split in SPLITS:
    of_split = {i: row for i, row in labelled.items() if row.split == split}
    content = {
      'images': [
        {'imageId': i, 'url': [row.photo.link] if row.photo.link else []}
        for i, row in of_split.items()
      ],
      'annotations': [
        {'imageId': i, 'taskId': task_ids[name], 'labelId': label_ids[label]}
        for i, row in of_split.items()
        for name, label in row.labels.items()
      ],
    }
    if split == TEST:  # as Kaggle ships it
      del content['annotations']
    outputs.write_json(paths[split], content)
  task_map = [
    {'taskId': key, 'taskName': f'{_CLASS}:{name}'}
    for name, key in task_ids.items()
  ]
  label_map = [
    {'labelId': key, 'labelName': name} for name, key in label_ids.items()
  ]
  outputs.write_json(paths['tasks'], {'taskInfo': task_map})
  outputs.write_json(paths['labels'], {'labelInfo': label_map})


def _numbered(names: Iterable[str]) -> dict[str, str]:
  """Name → id, in the order of first sight."""
  return {name: str(n) for n, name in enumerate(dict.fromkeys(names), 1)}


def _summary(
  command: config.Own,
  path: pathlib.Path,
  labelled: Mapping[str, Labelled],
  lost: Lost,
  notes: Sequence[str],
) -> str:
  counts = collections.Counter(row.split for row in labelled.values())
  links = sum(bool(row.photo.link) for row in labelled.values())
  by_task = collections.defaultdict(list)
  for row in labelled.values():
    for name, label in row.labels.items():
      by_task[name].append(label)
  rows = sum(len(row.photo.rows) for row in labelled.values())
  lines = [f'{path}: {note}' for note in notes]
  lines.append(
    '; '.join(
      [
        f'{len(labelled):,} photos',
        *(
          f'{name} {len(of_task):,} labels in {len(set(of_task)):,} classes'
          for name, of_task in by_task.items()
        ),
      ]
    )
  )
  splits = ', '.join(f'{counts[s]:,} {s}' for s in SPLITS if counts[s])
  lines.append(
    f'{splits} photos, of which {links:,} are links to download; '
    f'{lost.summary()}'
  )
  if rows > len(labelled):
    lines.append(f'{rows - len(labelled):,} rows are of a photo of another row')
  if warning := columns.few(len(labelled), by_task):
    lines.append(f'warning: {warning}')
  lines.append('next:')
  where = ['--annotations', command.annotations, '--images', command.images]
  module = 'python -m imat_jax.data.'
  if links:
    lines.append(f'  {module}download {_flags(where)}')
  lines.append(f'  {module}build {_flags(where)} --data_dir=data/built')
  return '\n'.join(errors.printable(line) for line in lines)


def _flags(pairs: Sequence[str]) -> str:
  flags = zip(pairs[::2], pairs[1::2], strict=True)
  return ' '.join(f'{flag}={shlex.quote(value)}' for flag, value in flags)


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, config.Own)
