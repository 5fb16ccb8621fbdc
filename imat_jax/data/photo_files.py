"""Which files of a folder are photos: told by how they begin."""

import dataclasses
import os
from collections.abc import Iterator

from imat_jax.data import image_validation
from imat_jax.runtime import files

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
      return image_validation.has_image_signature(
        file.read(image_validation.HEAD)
      )
  except OSError:
    return False


def photos_in(folder: str | os.PathLike, skipped: Skipped) -> Iterator[str]:
  """The photos of a folder and all below it, by name; nothing foreign.

  Symbolic links to folders are followed, but not back to where they lie.

  Args:
    folder: where to look.
    skipped: counts the files that are no photos, and what cannot be read.
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
  """Whether a folder in `where` is a link to it, or to one around it."""
  if not os.path.islink(path):
    return False
  target = os.path.realpath(path)
  return os.path.commonpath([target, real_parent]) == target
