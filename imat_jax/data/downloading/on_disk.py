"""What of a split needs no request: photos on disk, images lost for good."""

import concurrent.futures
import os
import pathlib
from collections.abc import Collection, Sequence

from imat_jax import errors
from imat_jax.data import image_validation, kaggle, manifest
from imat_jax.data import urls as urls_lib
from imat_jax.data.manifest import Entry
from imat_jax.runtime import files, progress

_ANY_SIDE = 1


def photo_path(folder: pathlib.Path, image: kaggle.Image) -> pathlib.Path:
  """Where the photo of an image lies; always .jpg, whatever its format."""
  return folder / f'{image.image_id}.jpg'


def settled_lines(
  folder: pathlib.Path,
  images: Sequence[kaggle.Image],
  known: dict[str, Entry],
  rules: Collection[str],
) -> dict[str, Entry]:
  """The line of each image that needs no request.

  A photo on disk is kept where its line names its digest and a link of the
  image, or else where it is whole and no line accounts for it. A photo of a
  link that is no longer listed is removed: it may show anything. A final
  failure stands while the link that it names is still listed.

  Args:
    folder: where the photos of the split lie.
    images: the images of the split.
    known: the lines of an earlier run.
    rules: OLD=NEW, by which links may have been fetched; the last one holds.

  Raises:
    UserError: a file that is not of the download is where a photo would be.
  """

  def settle(image: kaggle.Image) -> Entry | None:
    return _settle(folder, image, known.get(image.image_id), rules)

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
  image: kaggle.Image,
  line: Entry | None,
  rules: Collection[str],
) -> Entry | None:
  if not files.is_safe_name(image.image_id):
    return manifest.failed(image.image_id, None, 'bad_id', 0)
  path = photo_path(folder, image)
  entry = path.exists() and _on_disk(path, image, line, rules)
  if entry:
    return entry
  if not image.urls:
    return manifest.failed(image.image_id, None, 'no_link', 0)
  *_, rule = rules
  urls = {urls_lib.with_prefix(url, rule) for url in image.urls}
  if line and line.is_permanent and line.url in urls:
    return line
  return None


def _on_disk(
  path: pathlib.Path,
  image: kaggle.Image,
  line: Entry | None,
  rules: Collection[str],
) -> Entry | None:
  """The line of the photo that is there, if it is one of the image."""
  body = path.read_bytes()
  if not line or line.sha256 != image_validation.digest(body):
    return _recognise(path, body, image)
  # Nobody knows where a photo without a link came from; see `_recognise`.
  came_by = {
    urls_lib.with_prefix(u, rule) for u in image.urls for rule in rules
  }
  if not came_by or line.url is None or line.url in came_by:
    return line
  path.unlink()
  return None


def _recognise(
  path: pathlib.Path, body: bytes, image: kaggle.Image
) -> Entry | None:
  """The line of a photo that no line accounts for."""
  try:
    found = image_validation.check(body, _ANY_SIDE)
  except image_validation.InvalidImage as error:
    # Damaged photos are fetched again; all else may be dear to someone.
    if image.urls and body and str(error) not in ('truncated', 'damaged'):
      raise errors.UserError(
        f'{path}: a file that is not of the download ({error}) is where the '
        'photo of a link belongs; move it away'
      ) from None
    return None
  return manifest.ok(image.image_id, None, found, 0)
