"""Photos with tasks of your own, from a CSV file or folders, in Kaggle's form.

  python -m imat_jax.data.own --source=labels.csv \\
    --annotations=data/own/annotations --images=data/own/photos

reads a table with a row per photo: the column `photo` has its file, beside the
table, or its link; each other column is a task, and an empty cell says nothing.

  photo,style,room
  photos/1.jpg,modern,kitchen
  photos/2.jpg,,bedroom
  https://shop.example/3.jpg,rustic,

A folder as --source has one task, --task: SOURCE/modern/1.jpg is a photo with
the label `modern`. A column `split` says train or validation; without it a
share of the photos, --validation_share, is for validation: always the same.

Then imat_jax.data.download fetches the links, if there are any, and
imat_jax.data.build goes on as with Kaggle's files.
"""

import collections
import contextlib
import csv
import hashlib
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from imat_jax import config, errors, files, tasks

SPLITS = ('train', 'validation')
# Kaggle's photos have a class and its tasks; these are all of one.
_CLASS = 'photo'
_PHOTO, _SPLIT = 'photo', 'split'


class Row(NamedTuple):
  """A photo: its file or link, its split, its label in each task."""

  photo: str
  split: str
  labels: dict[str, str]


def main(command: config.Own) -> None:
  """Writes the annotations, and puts the photos where the build looks."""
  place = pathlib.Path(command.source)
  if place.is_dir():
    rows, root = list(_of_folder(place, command)), place
  else:
    rows, root = list(_of_table(place, command)), place.parent
  if not any(row.labels for row in rows):
    raise errors.UserError(f'{place}: there is no photo with a label')
  numbered = {str(number): row for number, row in enumerate(rows, 1)}
  lost = _place_photos(numbered, root, pathlib.Path(command.images))
  _write(numbered, pathlib.Path(command.annotations))
  print(_summary(rows, lost))


def _of_table(path: pathlib.Path, command: config.Own) -> Iterator[Row]:
  try:
    with path.open(newline='', encoding='utf-8-sig') as file:
      reader = csv.DictReader(file, strict=True)
      _check_columns(path, reader.fieldnames or [])
      for found in reader:
        yield _row(f'{path}: line {reader.line_num}', found, command)
  except FileNotFoundError:
    raise errors.UserError(f'{path}: there is no such table') from None
  except (UnicodeDecodeError, csv.Error) as error:
    raise errors.UserError(f'{path}: no CSV file in UTF-8: {error}') from None


def _check_columns(path: pathlib.Path, names: list[str]) -> None:
  if _PHOTO not in names:
    raise errors.UserError(
      f"{path}: the first line names no column '{_PHOTO}'; it must name the "
      'columns'
    )
  for name in names:
    if names.count(name) > 1:
      raise errors.UserError(f"{path}: the column '{name}' stands twice")
    if not name or ':' in name or name == tasks.APPAREL:
      raise errors.UserError(
        f"{path}: '{name}' cannot name a task; empty names, those with a colon "
        f"and '{tasks.APPAREL}' are taken"
      )


def _row(where: str, found: dict[str, str], command: config.Own) -> Row:
  if None in found or None in found.values():
    raise errors.UserError(f'{where}: not as many cells as columns')
  found = {name: cell.strip() for name, cell in found.items()}
  photo = found.pop(_PHOTO)
  if not photo:
    raise errors.UserError(f"{where}: no '{_PHOTO}'")
  split = found.pop(_SPLIT, None) or _drawn(photo, command.validation_share)
  if split not in SPLITS:
    raise errors.UserError(
      f"{where}: the split '{split}' is none of {', '.join(SPLITS)}"
    )
  return Row(photo, split, {name: c for name, c in found.items() if c})


def _of_folder(root: pathlib.Path, command: config.Own) -> Iterator[Row]:
  for folder in sorted(p for p in root.iterdir() if p.is_dir()):
    for path in sorted(p for p in folder.rglob('*') if p.is_file()):
      photo = str(path.relative_to(root))
      split = _drawn(photo, command.validation_share)
      yield Row(photo, split, {command.task: folder.name})


def _drawn(photo: str, validation_share: float) -> str:
  """By the name alone: more photos do not move those that were there."""
  digest = hashlib.sha256(photo.encode(errors='surrogateescape')).digest()
  share = int.from_bytes(digest[:8]) / 2**64
  return SPLITS[share < validation_share]


def _is_link(photo: str) -> bool:
  return photo.startswith(('http://', 'https://'))


def _place_photos(
  rows: dict[str, Row], root: pathlib.Path, images: pathlib.Path
) -> int:
  """Links or copies the files to `images`; returns how many are not there."""
  lost = 0
  for split in SPLITS:
    (images / split).mkdir(parents=True, exist_ok=True)
  for image_id, row in rows.items():
    if _is_link(row.photo):
      continue
    target = images / row.split / f'{image_id}.jpg'
    with contextlib.suppress(FileNotFoundError):
      target.unlink()
    if not (root / row.photo).is_file():
      lost += 1
      continue
    try:
      os.link(root / row.photo, target)
    except OSError:  # on another disk
      shutil.copyfile(root / row.photo, target)
  return lost


def _write(rows: dict[str, Row], folder: pathlib.Path) -> None:
  pairs = [pair for row in rows.values() for pair in row.labels.items()]
  task_ids = _numbered(name for name, _ in pairs)
  label_ids = _numbered(label for _, label in pairs)
  for split in SPLITS:
    own = {key: row for key, row in rows.items() if row.split == split}
    content = {
      'images': [
        {'imageId': key, 'url': [row.photo] if _is_link(row.photo) else []}
        for key, row in own.items()
      ],
      'annotations': [
        {
          'imageId': key,
          'taskId': task_ids[name],
          'labelId': label_ids[label],
        }
        for key, row in own.items()
        for name, label in row.labels.items()
      ],
    }
    files.write_json(folder / f'fgvc4_iMat.{split}.data.json', content)
  task_map = [
    {'taskId': key, 'taskName': f'{_CLASS}:{name}'}
    for name, key in task_ids.items()
  ]
  label_map = [
    {'labelId': key, 'labelName': name} for name, key in label_ids.items()
  ]
  files.write_json(folder / 'fgvc4_iMat.task_map.json', {'taskInfo': task_map})
  files.write_json(
    folder / 'fgvc4_iMat.label_map.json', {'labelInfo': label_map}
  )


def _numbered(names: Iterable[str]) -> dict[str, str]:
  """Name → id, in the order of first sight."""
  return {name: str(n) for n, name in enumerate(dict.fromkeys(names), 1)}


def _summary(rows: list[Row], lost: int) -> str:
  splits = collections.Counter(row.split for row in rows)
  links = sum(_is_link(row.photo) for row in rows)
  labels = collections.Counter(name for row in rows for name in row.labels)
  photos = ', '.join(f'{splits[name]:,} {name}' for name in SPLITS)
  given = ', '.join(f'{name} {count:,}' for name, count in labels.items())
  return errors.printable(
    f'{photos} photos, of which {links:,} are links to download and {lost:,} '
    f'are not there; labels: {given}'
  )


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, config.Own)
