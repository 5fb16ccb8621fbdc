"""Finds the photos of a folder, by name or signature."""

import dataclasses
import os
from collections.abc import Iterator

from imat_jax.data import image_validation
from imat_jax.runtime import files

# Files with these endings are never skipped: if invalid, they are reported.
ENDINGS = frozenset(
  [
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.gif', '.avif'),
    *('.bmp', '.tif', '.tiff'),
    # Not supported.
    *('.heic', '.heif', '.j2k', '.jp2', '.jxl', '.svg'),
  ]
)


@dataclasses.dataclass
class Skipped:
  """Files that are not photos: how many, and the first."""

  count: int = 0
  first: str = ''

  def add(self, path: str) -> None:
    self.first = self.first or path
    self.count += 1


def is_photo(path: str | os.PathLike) -> bool:
  """Whether a file has the name or the signature of a photo."""
  if os.path.splitext(path)[1].lower() in ENDINGS:
    return True
  try:
    with open(path, 'rb') as file:
      return image_validation.has_image_signature(
        file.read(image_validation.HEAD)
      )
  except OSError:
    return False


def photos_in(folder: str | os.PathLike, skipped: Skipped) -> Iterator[str]:
  """The photos of a folder and its subfolders, sorted; no system files.

  Follows symbolic links to folders, except to their own parents.

  Args:
    folder: where to look.
    skipped: counts files that are not photos or cannot be read.
  """
  walk = os.walk(
    folder, followlinks=True, onerror=lambda error: skipped.add(error.filename)
  )
  for parent, folders, names in walk:
    real_parent = os.path.realpath(parent)
    folders[:] = sorted(
      name
      for name in folders
      if not files.is_foreign(name)
      and not _leads_back(os.path.join(parent, name), real_parent)
    )
    for name in sorted(names):
      path = os.path.join(parent, name)
      if files.is_foreign(name):
        continue
      if os.path.isfile(path) and is_photo(path):
        yield path
      else:
        skipped.add(path)


def _leads_back(path: str, real_parent: str) -> bool:
  """Whether a folder is a link to its parent, or to one further up."""
  if not os.path.islink(path):
    return False
  target = os.path.realpath(path)
  return os.path.commonpath([target, real_parent]) == target
