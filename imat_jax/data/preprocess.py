"""Turns a photo of any format into a square JPEG of the stored size."""

import concurrent.futures
import io
import os
import pathlib
import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from imat_jax.data import bounded, image_validation, near_duplicates
from imat_jax.data.types import Resize
from imat_jax.runtime import files, progress

QUALITY = 92  # of the stored JPEG
NO_FILE = 'no file'
NOT_DECODED = 'does not decode'
TOO_LARGE = 'too many pixels'
TOO_SLOW = 'too_slow'  # as in the manifest


class Encoded(NamedTuple):
  """A photo as stored in the data set."""

  jpeg: bytes  # square
  hash_4: np.ndarray  # see `near_duplicates.perceptual_hash`


class Stored(NamedTuple):
  """Where a photo lies in a `Spool`."""

  path: pathlib.Path
  start: int
  size: int
  hash_4: np.ndarray

  def read(self) -> bytes:
    """The JPEG."""
    with self.path.open('rb') as file:
      file.seek(self.start)
      return file.read(self.size)


class Spool:
  """Keeps the photos of a split in one file until the data set is written.

  On some disks thousands of small files take minutes to be removed.
  """

  def __init__(self, folder: pathlib.Path):
    self._path, self._lock = folder / 'photos', threading.Lock()

  def put(self, photo: Encoded) -> Stored:
    """Appends a photo; may be called from several threads."""
    with self._lock, self._path.open('ab') as file:
      start = file.tell()
      file.write(photo.jpeg)
    return Stored(self._path, start, len(photo.jpeg), photo.hash_4)


def square(file: pathlib.Path | io.BytesIO, resize: Resize) -> Image.Image:
  """The photo upright, squashed to a square.

  Transparent pixels become white. Like Pillow, raises nearly anything for a bad
  file; see `image_validation`.
  """
  with image_validation.opened(file) as image:
    size = (resize.side, resize.side)
    image.draft('RGB', size)  # JPEG: decode at a half, quarter, …
    rgb = upright_rgb(image)
    resampling = Image.Resampling[resize.filter.upper()]
    return rgb.resize(size, resampling, reducing_gap=3.0)


def upright_rgb(image: Image.Image) -> Image.Image:
  """The decoded pixels, EXIF orientation applied, transparency on white."""
  return _rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
  image.load()
  try:
    return ImageOps.exif_transpose(image)
  except Exception:  # damaged EXIF data; the pixels are fine
    return image


def _rgb(image: Image.Image) -> Image.Image:
  if image.mode.startswith('I'):  # 16 bits, which convert() would clip
    gray_HxW = (np.asarray(image, np.float32) / 257).clip(0, 255)
    image = Image.fromarray(gray_HxW.astype(np.uint8))
  if image.has_transparency_data:
    image = image.convert('RGBA')
    white = Image.new('RGB', image.size, 'white')
    white.paste(image, mask=image)
    return white
  return image.convert('RGB')


def encoded(file: pathlib.Path | io.BytesIO, resize: Resize) -> Encoded | str:
  """The photo as stored, encoded in another process; or why it cannot be."""
  if isinstance(file, os.PathLike):
    file = pathlib.Path(os.path.abspath(file))
  try:
    return bounded.call(_encoded, file, resize)
  except bounded.TooSlowError:
    return TOO_SLOW
  except bounded.CrashError:
    return NOT_DECODED


def _encoded(file: pathlib.Path | io.BytesIO, resize: Resize) -> Encoded | str:
  try:
    image = square(file, resize)
    return Encoded(compressed(image), near_duplicates.perceptual_hash(image))
  except FileNotFoundError:
    return NO_FILE
  except image_validation.InvalidImage:
    return TOO_LARGE
  except Exception:
    return NOT_DECODED


def compressed(image: Image.Image) -> bytes:
  """The JPEG bytes of a square photo."""
  jpeg = io.BytesIO()
  image.save(jpeg, 'JPEG', quality=QUALITY)
  return jpeg.getvalue()


def store(
  image_ids: Sequence[str],
  source: pathlib.Path,
  target: pathlib.Path,
  resize: Resize,
) -> tuple[dict[str, Stored], dict[str, str]]:
  """Stores a square JPEG of each photo that can be read.

  Args:
    image_ids: names of the photos, `source / f'{image_id}.jpg'`.
    source: folder of the photos.
    target: an empty folder for the `Spool`.
    resize: to what, and how.

  Returns:
    image id → `Stored`, in the order of `image_ids`; image id → the error.
  """

  spool = Spool(target)

  def store_one(image_id: str) -> Stored | str:
    if not files.is_safe_name(image_id):
      return NO_FILE
    result = encoded(source / f'{image_id}.jpg', resize)
    return result if isinstance(result, str) else spool.put(result)

  stored, failed = {}, {}
  with (
    concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    progress.Progress(len(image_ids), source.name, 'photo') as bar,
  ):
    outcomes = pool.map(store_one, image_ids)
    for image_id, outcome in zip(image_ids, outcomes, strict=True):
      results = stored if isinstance(outcome, Stored) else failed
      results[image_id] = outcome
      bar.advance()
  return stored, failed
