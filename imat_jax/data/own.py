"""Converts your own photos and labels, a table or folders, to Kaggle's format.

  python -m imat_jax.data.own --source=labels.csv \\
    --annotations=data/own/annotations --images=data/own/photos

reads a table with a row per photo. The column `photo` has its file, relative to
the table, or its link; every other column is a task; an empty cell is a missing
label.

  photo,style,room
  photos/1.jpg,modern,kitchen
  photos/2.jpg,,bedroom
  https://shop.example/3.jpg,rustic,

Supported: CSV in any dialect and encoding of a spreadsheet, .xlsx, .jsonl,
.parquet, one-hot columns, COCO, iMaterialist, DeepFashion and the metadata of
image folders. Folders are labels of one task, --task: SOURCE/modern/1.jpg is
`modern`; SOURCE/train/modern/1.jpg is for training.

Every interpretation is printed, with the flag that changes it:

* Cells such as NA, null or - are missing labels (--keep_label=NA).
* `Red`, `red ` and `RED` are one label (--exact_labels).
* Columns that cannot be learned, such as a product number, are dropped
  (--keep_columns=NAME).
* Several rows of a photo, or files with the same bytes, are one photo. If their
  labels disagree, the most frequent is used, in a tie the first.
* A column `split`, `is_valid` or the like, or folders in the paths, set the
  split: train, validation, or test (holdout). Without either, a
  reproducible share of each label's photos is for validation. Photos of one
  product (columns such as sku or product_id; --group_column=NAME) stay
  together.

A photo's id is a digest of its bytes or link, so the table may change: run this
again, then the commands that it prints. Photos of an earlier table stay in the
folder, unused.
"""

import collections
import pathlib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from imat_jax import errors
from imat_jax.data import (
  columns,
  configs,
  formats,
  kaggle,
  photo_paths,
  photo_store,
  splits,
  wording,
)
from imat_jax.data.tables import Row
from imat_jax.data.types import TEST, TRAIN, VALIDATION
from imat_jax.runtime import outputs

# Kaggle's photos have a class and tasks of that class; here there is one class.
_CLASS = 'photo'
_MANY = 10_000  # photos, to learn from without other weights
_MAX_NAMED = 10  # columns in a note
_MAX_NOTE = 400  # letters


def main(command: configs.Own) -> None:
  """Writes the annotations, and places the photos for the build."""
  images = pathlib.Path(command.images)
  target = pathlib.Path(command.annotations)
  table, root = formats.read(command)
  if pathlib.Path(command.source).is_dir():
    outputs.check_apart(
      {'--images': images, '--annotations': target},
      {'--source': command.source},
    )
  finder = photo_paths.Finder(root, [images, target])
  roles, notes = columns.understand(table, command, finder.resolves)
  notes = [*table.notes, *notes]
  if not table.rows:
    raise errors.UserError(f'{table.path}: no rows below the header')
  dropped_rows = photo_store.DroppedRows()
  places = _find(table.rows, roles.photo, finder, dropped_rows, notes)
  photo_store.check(images, [place.file for _, place in places if place.file])
  for path in _paths(target).values():
    outputs.check(path)
  photos = photo_store.identify(places, dropped_rows)
  if not photos:
    raise errors.UserError(f'{table.path}: no photos found; {dropped_rows}')
  if dropped_rows.count:
    notes.append(str(dropped_rows))
  num_merged = sum(len(photo.rows) - 1 for photo in photos.values())
  if num_merged:
    notes.append(f'rows of a photo that has an earlier row: {num_merged:,}')
  labels = _labels(photos, roles.tasks, table.path, command, notes)
  chosen_splits = _splits(table.rows, photos, labels, roles, command, notes)
  photo_store.place(photos, chosen_splits, images)
  _write(photos, chosen_splits, labels, target)
  lines = [f'{table.path}: {note}' for note in notes]
  for line in lines + _summary(command, photos, chosen_splits, labels):
    print(errors.printable(line))


def _find(
  rows: Sequence[Row],
  column: str,
  finder: photo_paths.Finder,
  dropped_rows: photo_store.DroppedRows,
  notes: list[str],
) -> list[tuple[Row, photo_paths.Found]]:
  """The rows with their photo's location; drops rows without one."""
  cells = [_first_link(row.cells[column]) for row in rows]
  num_multiple = sum(
    a != r.cells[column] for a, r in zip(cells, rows, strict=True)
  )
  if num_multiple:
    notes.append(
      f'rows with several links (the first is used): {num_multiple:,}'
    )
  place_by_cell = finder.find_all(cells)
  places, searched = [], []
  for row, cell in zip(rows, cells, strict=True):
    place = place_by_cell[cell]
    if not cell:
      dropped_rows.add(row, cell, 'empty cells')
    elif isinstance(place, photo_paths.NotFound):
      dropped_rows.add(row, cell, place.reason)
    else:
      places.append((row, place))
      if place.by_search:
        searched.append(f"{row.where}: '{cell}' is {place.file}")
  if searched:
    notes.append(
      f'{len(searched):,} photos are not at their path, but are the only file '
      f'that matches it (first: {searched[0]})'
    )
  return places


def _first_link(cell: str) -> str:
  return re.split(r'[\s,;|]+(?=https?://)', cell, maxsplit=1)[0]


def _labels(
  photos: photo_store.Photos,
  names: Sequence[str],
  path: pathlib.Path,
  command: configs.Own,
  notes: list[str],
) -> dict[str, dict[str, str]]:
  """Image id → task → label."""
  keep = set(map(wording.key, command.keep_columns))
  learned, unlearnable = {}, {}
  for name, task in columns.task_names(names, path).items():
    task_labels, column_notes = _column(photos, name, task, command)
    notes += column_notes
    if task != name:
      notes.append(f"column '{name}' is the task '{task}'")
    reason = columns.not_learnable(list(task_labels.values()))
    if reason and not (task_labels and wording.key(name) in keep):
      unlearnable[name] = reason
    if task_labels:
      learned[name] = task, task_labels
  if not learned:
    raise errors.UserError('; '.join([f'{path}: no photo has a label', *notes]))
  if unlearnable:
    reasons = ', '.join(f'{n} ({reason})' for n, reason in unlearnable.items())
    if len(unlearnable) > _MAX_NAMED:
      reasons = f'{reasons[:_MAX_NOTE]}… ({len(unlearnable):,} columns)'
    if learned.keys() <= unlearnable.keys():
      notes.append(f'warning: no column seems possible to learn: {reasons}')
    else:
      learned = {n: x for n, x in learned.items() if n not in unlearnable}
      notes.append(
        f'columns dropped, as they cannot be learned: {reasons}; '
        f'--keep_columns={",".join([*unlearnable][:_MAX_NAMED])} keeps them'
      )
  labels = {image_id: {} for image_id in photos}
  for task, task_labels in learned.values():
    for image_id, label in task_labels.items():
      labels[image_id][task] = label
  return labels


def _column(
  photos: photo_store.Photos, name: str, task: str, command: configs.Own
) -> tuple[dict[str, str], list[str]]:
  """Image id → label of one column, and notes on the column."""
  cells = [row.cells[name] for p in photos.values() for row in p.rows]
  column = wording.Labels(cells, command)
  labels, notes, conflicts = {}, [], []
  for image_id, photo in photos.items():
    photo_labels = [
      column.by_cell[row.cells[name]]
      for row in photo.rows
      if row.cells[name] in column.by_cell
    ]
    if not photo_labels:
      continue
    # most_common is stable: the first row's label in a tie.
    counts = collections.Counter(photo_labels).most_common()
    labels[image_id] = counts[0][0]
    if len(counts) > 1:
      conflicts.append(
        f'{photo.rows[0].where}: {" and ".join(x for x, _ in counts)}'
      )
  if column.missing:
    spellings = ', '.join(f"'{c}' {n:,}" for c, n in column.missing.items())
    notes.append(
      f'{task}: {column.missing.total():,} cells mean a missing label: '
      f'{spellings} (--keep_label=WORD keeps one)'
    )
  if column.merged:
    label, spellings = next(iter(column.merged.items()))
    notes.append(
      f'{task}: {len(column.merged):,} labels merged from several spellings '
      f'(first: {label}: {", ".join(map(repr, spellings))})'
    )
  if conflicts:
    notes.append(
      f'{task}: photos whose rows disagree: {len(conflicts):,}; the most '
      f'frequent label is used, in a tie the first (first: {conflicts[0]})'
    )
  return labels, notes


def _splits(
  rows: Sequence[Row],
  photos: photo_store.Photos,
  labels: Mapping[str, dict[str, str]],
  roles: columns.Columns,
  command: configs.Own,
  notes: list[str],
) -> dict[str, str]:
  """Image id → split, from the table or drawn."""
  column = roles.split
  if column:
    cell_splits = {id(row): wording.split_of_row(row, column) for row in rows}
  else:
    cell_splits = _by_folders(rows, roles.photo, notes)
  chosen_splits, conflicts = {}, []
  for image_id, photo in photos.items():
    photo_splits = {cell_splits[id(row)] for row in photo.rows}
    if len(photo_splits) > 1:
      conflicts.append(photo.rows[0].where)
    # A photo that is held out in any row is not trained on.
    for split in (TRAIN, VALIDATION, TEST):
      if split in photo_splits:
        chosen_splits[image_id] = split
  if conflicts:
    notes.append(
      f'photos in several splits: {len(conflicts):,}, not used for training '
      f'(first: {conflicts[0]})'
    )
  if VALIDATION in cell_splits.values():
    if unassigned := photos.keys() - chosen_splits.keys():
      notes.append(
        f'photos without a split are for training: {len(unassigned):,}'
      )
      chosen_splits |= dict.fromkeys(unassigned, TRAIN)
  else:
    if column:
      notes.append(
        f"column '{column}' has no validation photos; a share of the train "
        'photos is used for validation'
      )
    remaining = {i: labels[i] for i in photos if chosen_splits.get(i) != TEST}
    groups = _groups(photos, roles.group) if roles.group else {}
    drawn = splits.held_out(remaining, command.validation_share, groups)
    chosen_splits |= {i: VALIDATION if i in drawn else TRAIN for i in remaining}
  counts = collections.Counter(chosen_splits.values())
  if not counts[TRAIN] or not counts[VALIDATION]:
    notes.append(
      f'warning: {counts[TRAIN]} train and {counts[VALIDATION]} validation '
      'photos; the build needs both'
    )
  if counts[TEST]:
    notes.append(
      f'{counts[TEST]:,} test photos, for neither training nor the choice of '
      'the epoch: the reported scores are of those that have labels'
    )
  return chosen_splits


def _groups(photos: photo_store.Photos, column: str) -> dict[str, str]:
  """Image id → the group of the photo's first row with one."""
  groups = {}
  for image_id, photo in photos.items():
    for row in reversed(photo.rows):
      if not wording.is_missing(cell := row.cells[column]):
        groups[image_id] = cell
  return groups


def _by_folders(
  rows: Sequence[Row], column: str, notes: list[str]
) -> dict[int, str | None]:
  """Row id → the split in the folders of its path.

  All None unless train and another split occur.
  """
  split_by_row = {
    id(row): wording.split_of_path(row.cells[column]) for row in rows
  }
  split_names = set(split_by_row.values()) - {None}
  if TRAIN not in split_names or len(split_names) < 2:
    return dict.fromkeys(split_by_row)
  notes.append('splits from the folders in the paths')
  return split_by_row


def _paths(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """The annotation files, see `kaggle`, by split or kind."""
  paths = {s: kaggle.labels_path(folder, s) for s in photo_store.SPLITS}
  paths['task'], paths['label'] = kaggle.map_paths(folder)
  return paths


def _write(
  photos: photo_store.Photos,
  chosen_splits: Mapping[str, str],
  labels: Mapping[str, Mapping[str, str]],
  folder: pathlib.Path,
) -> None:
  """Writes the annotations in Kaggle's format."""
  pairs = [
    (f'{_CLASS}:{task}', label)
    for photo_labels in labels.values()
    for task, label in photo_labels.items()
  ]
  task_ids = _numbered(task for task, _ in pairs)
  label_ids = _numbered(label for _, label in pairs)
  paths = _paths(folder)
  for split in photo_store.SPLITS:
    ids = [image_id for image_id in photos if chosen_splits[image_id] == split]
    urls = {i: [photos[i].link] if photos[i].link else [] for i in ids}
    content = {'images': [{'imageId': i, 'url': urls[i]} for i in ids]}
    content['annotations'] = [
      {
        'imageId': i,
        'taskId': task_ids[f'{_CLASS}:{task}'],
        'labelId': label_ids[label],
      }
      for i in ids
      for task, label in labels[i].items()
    ]
    outputs.write_json(paths[split], content)
  for kind, number_by_name in (('task', task_ids), ('label', label_ids)):
    records = [
      {f'{kind}Id': number, f'{kind}Name': name}
      for name, number in number_by_name.items()
    ]
    outputs.write_json(paths[kind], {f'{kind}Info': records})


def _numbered(names: Iterable[str]) -> dict[str, str]:
  """Name → id, in the order of first occurrence."""
  return {name: str(n) for n, name in enumerate(dict.fromkeys(names), 1)}


def _summary(
  command: configs.Own,
  photos: photo_store.Photos,
  chosen_splits: Mapping[str, str],
  labels: Mapping[str, Mapping[str, str]],
) -> list[str]:
  """Counts, and the next commands to run."""
  by_task = collections.defaultdict(list)
  for photo_labels in labels.values():
    for name, label in photo_labels.items():
      by_task[name].append(label)
  filled = (
    f'{name} {len(task_labels):,} labels in {len(set(task_labels)):,} classes'
    for name, task_labels in by_task.items()
  )
  counts = collections.Counter(chosen_splits.values())
  splits = (f'{counts[s]:,} {s}' for s in photo_store.SPLITS if counts[s])
  links = [i for i, photo in photos.items() if photo.link]
  lines = [
    '; '.join([f'{len(photos):,} photos', *filled]),
    f'{", ".join(splits)} photos; {len(links):,} of them are links to download',
  ]
  if warning := columns.few_photos_warning(len(photos), by_task):
    lines.append(f'warning: {warning}')
  folder_flags = (
    f'--annotations={shlex.quote(command.annotations)} '
    f'--images={shlex.quote(command.images)}'
  )
  lines.append('next:')
  if links:
    all_splits = ' --splits=train,validation,test'
    has_test = any(chosen_splits[i] == TEST for i in links)
    lines.append(
      f'  python -m imat_jax.data.download {folder_flags}'
      f'{all_splits if has_test else ""}'
    )
  # Few photos are best labelled on the features of a network that has seen
  # many; from scratch takes smaller photos.
  experiment, size = (
    ('linear_probe', ' --image_size=224 --exact_size')
    if len(photos) < _MANY
    else ('from_scratch', '')
  )
  to = '--data_dir=data/built'
  lines.append(f'  python -m imat_jax.data.build {folder_flags} {to}{size}')
  task = next(iter(by_task), None)
  if task is not None:
    lines.append(
      f'  python -m experiments.{experiment} {to} --workdir=runs/mine '
      f'--tasks={shlex.quote(task)}'
    )
  return lines


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, configs.Own)
