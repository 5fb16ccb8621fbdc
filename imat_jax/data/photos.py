"""From a photo as it was found to a square JPEG of the stored size."""

import concurrent.futures
import io
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from imat_jax import progress
from imat_jax.data import picture

_QUALITY = 92
NO_FILE = 'no file'
NOT_DECODED = 'does not decode'


def square_jpeg(path: pathlib.Path, side: int) -> bytes:
  """The photo upright, squashed to `side` × `side` pixels, as JPEG.

  Transparency lies on white. Raises nearly anything for a bad file, as Pillow
  does; see `picture`.
  """
  with Image.open(path, formats=picture.FORMATS) as image:
    image.draft('RGB', (side, side))  # JPEG: decode at a half, quarter, …
    rgb = _rgb(_upright(image))
  rgb = rgb.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0)
  body = io.BytesIO()
  rgb.save(body, 'JPEG', quality=_QUALITY)
  return body.getvalue()


def _upright(image: Image.Image) -> Image.Image:
  image.load()
  try:
    return ImageOps.exif_transpose(image)
  except Exception:  # damaged EXIF data; the picture itself is whole
    return image


def _rgb(image: Image.Image) -> Image.Image:
  if image.mode.startswith('I'):  # 16 bits, which convert() would clip
    gray_HxW = (np.asarray(image, np.float32) / 257).clip(0, 255)
    image = Image.fromarray(gray_HxW.astype(np.uint8))
  if image.has_transparency_data:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, 'white')
    image = Image.alpha_composite(white, image)
  return image.convert('RGB')


def store(
  image_ids: Sequence[str],
  source: pathlib.Path,
  target: pathlib.Path,
  side: int,
) -> tuple[dict[str, pathlib.Path], dict[str, str]]:
  """Writes a square JPEG for each photo that can be read.

  Args:
    image_ids: names of the photos, `source / f'{image_id}.jpg'`.
    source: folder of the photos.
    target: an empty folder that receives them.
    side: stored width and height in pixels.

  Returns:
    image id → stored file, in the order of `image_ids`; image id → why there is
    none.
  """

  def store_one(number: int, image_id: str) -> pathlib.Path | str:
    try:
      jpeg = square_jpeg(source / f'{image_id}.jpg', side)
    except FileNotFoundError:
      return NO_FILE
    except Exception:
      return NOT_DECODED
    path = target / f'{number}.jpg'
    path.write_bytes(jpeg)
    return path

  stored, failed = {}, {}
  with (
    concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    progress.Progress(len(image_ids), source.name, 'photo') as bar,
  ):
    outcomes = pool.map(store_one, range(len(image_ids)), image_ids)
    for image_id, outcome in zip(image_ids, outcomes, strict=True):
      found = stored if isinstance(outcome, pathlib.Path) else failed
      found[image_id] = outcome
      bar.advance()
  return stored, failed
