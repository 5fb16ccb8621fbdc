"""What of a split needs no request: photos on disk, images lost for good."""

import concurrent.futures
import os
import pathlib
from collections.abc import Sequence

from imat_jax import files, progress
from imat_jax.data import annotations, manifest, picture
from imat_jax.data.manifest import Line

_ANY_SIDE = 1


def photo_path(folder: pathlib.Path, image: annotations.Image) -> pathlib.Path:
  """Where the photo of an image lies; always .jpg, whatever its format."""
  return folder / f'{image.image_id}.jpg'


def settled_lines(
  folder: pathlib.Path,
  images: Sequence[annotations.Image],
  known: dict[str, Line],
) -> dict[str, Line]:
  """The line of each image that needs no request.

  A photo on disk is kept where its line names its digest, or else where it is
  whole. A final failure stands while the link that it names is still listed.

  Args:
    folder: where the photos of the split lie.
    images: the images of the split.
    known: the lines of an earlier run.
  """

  def settle(image: annotations.Image) -> Line | None:
    return _settle(folder, image, known.get(image.image_id))

  settled = {}
  with (
    concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    progress.Progress(len(images), f'{folder.name}: on disk', 'image') as bar,
  ):
    for line in pool.map(settle, images):
      bar.advance()
      if line:
        settled[line.imageId] = line
  return settled


def _settle(
  folder: pathlib.Path, image: annotations.Image, line: Line | None
) -> Line | None:
  if not files.is_safe_name(image.image_id):
    return manifest.failed(image.image_id, None, 'bad_id', 0)
  path = photo_path(folder, image)
  found = path.exists() and _recognise(path.read_bytes(), image, line)
  if found:
    return found
  if not image.urls:
    return manifest.failed(image.image_id, None, 'no_link', 0)
  if line and line.is_final and line.url in image.urls:
    return line
  return None


def _recognise(
  body: bytes, image: annotations.Image, line: Line | None
) -> Line | None:
  """The line of a photo on disk, remade from the photo where it is lost."""
  if line and line.sha256 == picture.digest(body):
    return line
  try:
    found = picture.check(body, _ANY_SIDE)
  except picture.BadPicture:
    return None
  return manifest.came(image.image_id, None, found, 0)
