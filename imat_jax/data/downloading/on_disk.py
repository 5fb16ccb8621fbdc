"""Images that need no request: photos on disk, permanent failures."""

import concurrent.futures
import functools
import os
import pathlib
from collections.abc import Sequence

from imat_jax import errors
from imat_jax.data import image_validation, kaggle, manifest
from imat_jax.data import urls as urls_lib
from imat_jax.data.manifest import Entry
from imat_jax.runtime import files, progress


def photo_path(folder: pathlib.Path, image: kaggle.Image) -> pathlib.Path:
  """The file of an image's photo; always .jpg, whatever its format."""
  return folder / f'{image.image_id}.jpg'


def settled_lines(
  folder: pathlib.Path,
  images: Sequence[kaggle.Image],
  known: dict[str, Entry],
  rules: Sequence[str],
) -> dict[str, Entry]:
  """The line of each image that needs no request.

  A photo on disk is kept if its line has its digest and a link of the image, or
  if it has no line but is a valid photo. A photo of a link that is no longer
  listed is deleted: it may show anything. A permanent failure is kept while its
  link is listed.

  Args:
    folder: the photos of the split.
    images: the images of the split.
    known: the lines of an earlier run.
    rules: OLD=NEW rules of earlier downloads; the last one is the current one.

  Raises:
    UserError: a photo's path has a file that is not of this command.
  """
  settle = functools.partial(_settle, folder, known, rules)
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
  folder: pathlib.Path,
  known: dict[str, Entry],
  rules: Sequence[str],
  image: kaggle.Image,
) -> Entry | None:
  if not files.is_safe_name(image.image_id):
    return manifest.failed(image.image_id, None, 'bad_id', 0)
  path, line = photo_path(folder, image), known.get(image.image_id)
  entry = path.exists() and _on_disk(path, image, line, rules)
  if entry:
    return entry
  if not image.urls:
    return manifest.failed(image.image_id, None, 'no_link', 0)
  urls = {urls_lib.with_prefix(url, rules[-1]) for url in image.urls}
  if line and line.is_permanent and line.url in urls:
    return line
  return None


def _on_disk(
  path: pathlib.Path,
  image: kaggle.Image,
  line: Entry | None,
  rules: Sequence[str],
) -> Entry | None:
  """The line of the photo on disk, if it belongs to the image."""
  body = path.read_bytes()
  if not line or line.sha256 != image_validation.digest(body):
    return _recognise(path, body, image)
  # The link of a photo may be unknown; see `_recognise`.
  known_urls = {
    urls_lib.with_prefix(u, rule) for u in image.urls for rule in rules
  }
  if not known_urls or line.url is None or line.url in known_urls:
    return line
  path.unlink()
  return None


def _recognise(
  path: pathlib.Path, body: bytes, image: kaggle.Image
) -> Entry | None:
  """The line of a photo that has none."""
  try:
    picture = image_validation.check(body, min_side=1)
  except image_validation.InvalidImage as error:
    # Damaged photos are downloaded again; other files may be the user's.
    if image.urls and body and str(error) not in ('truncated', 'damaged'):
      raise errors.UserError(
        f'{path}: this file is not from the download ({error}) and blocks the '
        'photo of a link; move it away'
      ) from None
    return None
  return manifest.ok(image.image_id, None, picture, 0)
