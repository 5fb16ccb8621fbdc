"""Fills the folder of photos of `own`: SPLIT/ID.jpg and manifests.

An id is a digest of the photo's bytes or link, so a photo keeps its id when its
table changes, and no other photo can get it.
"""

import concurrent.futures
import contextlib
import os
import pathlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TextIO

from imat_jax import errors
from imat_jax.data import (
  file_kinds,
  image_validation,
  manifest,
  photo_paths,
  urls,
  wording,
)
from imat_jax.data.tables import Row
from imat_jax.data.types import TEST, TRAIN, VALIDATION
from imat_jax.runtime import files, progress

SPLITS = (TRAIN, VALIDATION, TEST)
_ID_DIGITS = 20  # of a SHA-256: 80 bits
_ID_FILE = re.compile(rf'[0-9a-f]{{{_ID_DIGITS}}}\.jpg')
_NO_PICTURE = image_validation.Picture('', 0, 0)


class Photo(NamedTuple):
  """A photo: its link or file, and its rows."""

  link: str
  file: str
  picture: image_validation.Picture  # of the file; empty for a link
  rows: list[Row]


Photos = dict[str, Photo]  # by image id


class DroppedRows:
  """Rows without a photo: how many per reason, and the first."""

  def __init__(self):
    self._rows_by_reason: dict[str, list[str]] = {}

  @property
  def count(self) -> int:
    return sum(map(len, self._rows_by_reason.values()))

  def add(self, row: Row, cell: str, reason: str) -> None:
    self._rows_by_reason.setdefault(reason, []).append(
      f"{row.where}: '{wording.short(cell)}'"
    )

  def __str__(self) -> str:
    reasons = '; '.join(
      f'{len(rows):,} {reason} (first: {rows[0]})'
      for reason, rows in self._rows_by_reason.items()
    )
    return (
      f'rows without a photo ({self.count:,}){": " if reasons else ""}{reasons}'
    )


def check(images: pathlib.Path, sources: Sequence[str]) -> None:
  """Raises if the folder to fill has files that `place` did not write.

  Args:
    images: the folder to fill.
    sources: files of photos.

  Raises:
    UserError: a source is in it, or a file that is not named by an id.
  """
  images_dir = pathlib.Path(os.path.realpath(images))
  for path in sources:
    listed = os.path.join(
      os.path.realpath(os.path.dirname(path)), os.path.basename(path)
    )
    for place in (listed, os.path.realpath(path)):
      if pathlib.Path(place).is_relative_to(images_dir):
        raise errors.UserError(
          f'{path}: is in the output folder --images={images}; choose another '
          'one, apart from your photos'
        )
  for split in SPLITS:
    path = manifest.path(images, split)
    if path.is_file() and path.stat().st_size and not manifest.read(path):
      raise errors.UserError(
        f'{path}: not a manifest of photos; move it away, or choose a new '
        'folder for --images'
      )
    for path in sorted(images.glob(f'{split}/*')):
      if files.is_foreign(path.name) or _ID_FILE.fullmatch(path.name):
        continue
      kind = (
        'numbered by an earlier version of this command; the numbers may not '
        'match the rows'
        if path.stem.isdecimal()
        else 'not written by this command'
      )
      raise errors.UserError(
        f'{path}: {kind}; choose a new folder for --images '
        '(imat_jax.data.download fetches links again)'
      )


def identify(
  places: Sequence[tuple[Row, photo_paths.Found]], dropped_rows: DroppedRows
) -> Photos:
  """The photos by id; rows and files of one photo are merged.

  Args:
    places: rows with their links or files.
    dropped_rows: receives the rows whose file is not a photo.
  """
  paths = dict.fromkeys(place.file for _, place in places if place.file)
  photos, picture_by_path = {}, {}
  with (
    concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    progress.Progress(len(paths), 'read', 'photo') as bar,
  ):
    for path, picture in zip(paths, pool.map(_read, paths), strict=True):
      picture_by_path[path] = picture
      bar.advance()
  for row, place in places:
    picture = picture_by_path.get(place.file, _NO_PICTURE)
    if isinstance(picture, str):
      dropped_rows.add(row, place.file, picture)
      continue
    key = (picture.sha256 or _link_digest(place.link))[:_ID_DIGITS]
    photo = Photo(place.link, place.file, picture, [])
    photos.setdefault(key, photo).rows.append(row)
  return photos


def _link_digest(link: str) -> str:
  """The digest of the request: no fragment, the host in lower case."""
  scheme, authority, target = urls.parts(link)
  return image_validation.digest(
    f'{scheme}://{authority.lower()}{target}'.encode()
  )


def _read(path: str) -> image_validation.Picture | str:
  """A photo's fields in the manifest, or why it is invalid."""
  try:
    body = pathlib.Path(path).read_bytes()
  except OSError as error:
    return f'cannot be read: {error.strerror}'
  if not body:
    return 'empty files'
  if not image_validation.has_image_signature(body):
    return f'not a photo: {file_kinds.name(body[: file_kinds.HEAD])}'
  try:
    size = image_validation.size(body)
  except image_validation.InvalidImage:  # the build will report it
    size = 0, 0
  return image_validation.Picture(image_validation.digest(body), *size)


class _Split(NamedTuple):
  """A split's folder, the entries of its manifest, and its open file."""

  folder: pathlib.Path
  known: dict[str, manifest.Entry]
  file: TextIO

  def path(self, image_id: str) -> pathlib.Path:
    return self.folder / f'{image_id}.jpg'


def place(
  photos: Photos, splits: Mapping[str, str], images: pathlib.Path
) -> None:
  """Links or copies files to SPLIT/ID.jpg; moves downloaded photos.

  A photo's line is written first, so that the next start knows the photo even
  if this one is killed.

  Raises:
    UserError: a file that is not in the manifest is in the way, or the split is
      locked.
  """
  with (
    contextlib.ExitStack() as stack,
    progress.Progress(len(photos), 'place', 'photo') as bar,
  ):
    opened = {
      name: stack.enter_context(_opened(images, name)) for name in SPLITS
    }
    for image_id, photo in photos.items():
      split = opened[splits[image_id]]
      if photo.file:
        _place_file(image_id, photo, split)
      elif not split.path(image_id).exists():
        _move(image_id, split, opened.values())
      bar.advance()


@contextlib.contextmanager
def _opened(images: pathlib.Path, name: str) -> Iterator[_Split]:
  folder, path = images / name, manifest.path(images, name)
  folder.mkdir(parents=True, exist_ok=True)
  with manifest.locked(images, name):
    known = manifest.read(path)
    if known:
      manifest.write(path, known.values())  # the last line may be incomplete
    with path.open('a') as file:
      yield _Split(folder, known, file)


def _place_file(image_id: str, photo: Photo, split: _Split) -> None:
  target = split.path(image_id)
  is_placed, is_known = _is_placed(photo, target), image_id in split.known
  if os.path.lexists(target) and not is_placed and not is_known:
    raise errors.UserError(
      f'{target}: another file has this name, and this command did not write '
      'it; move it away'
    )
  if not is_placed or not is_known:
    manifest.append(split.file, manifest.ok(image_id, None, photo.picture, 0))
  if not is_placed:
    _put(photo.file, target)


def _move(image_id: str, split: _Split, others: Iterable[_Split]) -> None:
  """Moves a downloaded photo whose row has changed its split."""
  for other in others:
    line, path = other.known.get(image_id), other.path(image_id)
    if line and line.is_ok and path.exists():
      manifest.append(split.file, line)
      os.replace(path, split.path(image_id))
      return


def _is_placed(photo: Photo, target: pathlib.Path) -> bool:
  if not target.is_file():
    return False
  return os.path.samefile(photo.file, target) or (
    image_validation.digest(target.read_bytes()) == photo.picture.sha256
  )


def _put(file: str, target: pathlib.Path) -> None:
  """Hard-links or copies a file, atomically."""
  part = target.with_name(f'{files.WRITING}{target.stem}')
  part.unlink(missing_ok=True)
  # A hard link to a relative symbolic link would break.
  source = os.path.realpath(file)
  try:
    os.link(source, part)
  except OSError:  # on another disk
    shutil.copyfile(source, part)
  os.replace(part, target)
