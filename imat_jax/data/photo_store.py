"""The folder of photos that `own` fills: SPLIT/ID.jpg and their manifests.

An id is a digest of the photo's bytes, or of its link, so a photo keeps its id
however its table changes, and no other photo can get it.
"""

import concurrent.futures
import contextlib
import io
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imat_jax import errors, files, progress
from imat_jax.data import manifest, photo_files, photo_paths, picture
from imat_jax.data.columns import TEST, TRAIN, VALIDATION
from imat_jax.data.tables import Row

SPLITS = (TRAIN, VALIDATION, TEST)
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


Photos = dict[str, Photo]  # by image id


class Lost:
  """Rows without a photo: how many for each reason, and the first."""

  def __init__(self):
    self._of_reason: dict[str, list[str]] = {}

  @property
  def count(self) -> int:
    return sum(map(len, self._of_reason.values()))

  def add(self, row: Row, cell: str, reason: str) -> None:
    self._of_reason.setdefault(reason, []).append(f"{row.where}: '{cell}'")

  def __str__(self) -> str:
    reasons = '; '.join(
      f'{len(rows):,} {reason} (first: {rows[0]})'
      for reason, rows in self._of_reason.items()
    )
    return f'{self.count:,} are not there{": " if reasons else ""}{reasons}'


def check(images: pathlib.Path, sources: Sequence[str]) -> None:
  """Raises where files that `place` did not write are in the way.

  Args:
    images: the folder to fill.
    sources: files of photos.

  Raises:
    UserError: a source is in it, or a photo that has no id for its name.
  """
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


def identify(
  places: Sequence[tuple[Row, photo_paths.Found]], lost: Lost
) -> Photos:
  """The photos by their ids; rows and files of one photo joined.

  Args:
    places: rows with their links or files.
    lost: receives the rows whose file is no photo.
  """
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


def place(
  photos: Photos, splits: Mapping[str, str], images: pathlib.Path
) -> None:
  """Links or copies files to SPLIT/ID.jpg; moves what came by a link.

  Raises:
    UserError: a file that the manifest does not know is in the way.

  The manifest has the line of a photo before it is there, so that a later start
  knows it, whenever this one is killed.
  """
  known = {s: manifest.read(manifest.path(images, s)) for s in SPLITS}
  with (
    contextlib.ExitStack() as stack,
    progress.Progress(len(photos), 'place', 'photo') as bar,
  ):
    lines = {}
    for split in SPLITS:
      (images / split).mkdir(parents=True, exist_ok=True)
      path = manifest.path(images, split)
      if known[split]:
        manifest.write(path, known[split].values())  # the last may be torn
      lines[split] = stack.enter_context(path.open('a'))
    for image_id, photo in photos.items():
      split = splits[image_id]
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
