"""Which files of a folder are photos: told by how they begin."""

import dataclasses
import os
from collections.abc import Iterator

from imat_jax import files
from imat_jax.data import picture

# Named like photos; those that are none are then labelled as such, not skipped.
ENDINGS = frozenset(
  [
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.gif', '.avif'),
    *('.bmp', '.tif', '.tiff'),
    # Not decoded here.
    *('.heic', '.heif', '.j2k', '.jp2', '.jxl', '.svg'),
  ]
)


@dataclasses.dataclass
class Skipped:
  """Files that are no photos: how many, and the first."""

  count: int = 0
  first: str = ''

  def add(self, path: str) -> None:
    self.first = self.first or path
    self.count += 1


def is_photo(path: str | os.PathLike) -> bool:
  """Whether a file begins like a photo, or is named like one."""
  if os.path.splitext(path)[1].lower() in ENDINGS:
    return True
  try:
    with open(path, 'rb') as file:
      return picture.begins_like_a_picture(file.read(picture.HEAD))
  except OSError:
    return False


def photos_in(folder: str | os.PathLike, skipped: Skipped) -> Iterator[str]:
  """The photos of a folder and all below it, by name; nothing foreign.

  Symbolic links to folders are followed, each folder once.

  Args:
    folder: where to look.
    skipped: counts the files that are no photos, and what cannot be read.
  """
  seen = set()
  walk = os.walk(
    folder, followlinks=True, onerror=lambda error: skipped.add(error.filename)
  )
  for parent, folders, names in walk:
    where = os.path.realpath(parent)
    if where in seen:  # a link that leads back
      folders.clear()
      continue
    seen.add(where)
    folders[:] = sorted(name for name in folders if not files.is_foreign(name))
    for name in sorted(names):
      path = os.path.join(parent, name)
      if files.is_foreign(name):
        continue
      if os.path.isfile(path) and is_photo(path):
        yield path
      else:
        skipped.add(path)
