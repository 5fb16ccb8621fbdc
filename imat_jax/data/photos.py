"""From a photo as it was found to a square JPEG of the stored size."""

import concurrent.futures
import io
import os
import pathlib
from collections.abc import Sequence

from PIL import Image, ImageOps

from imat_jax import progress

_QUALITY = 92
NO_FILE = 'no file'
NOT_DECODED = 'does not decode'

# All that Pillow raises for bad files, apart from memory.
_BAD_PHOTO = (
  OSError,
  SyntaxError,
  ValueError,
  EOFError,
  Image.DecompressionBombError,
)


def square_jpeg(path: pathlib.Path, side: int) -> bytes:
  """The photo upright, squashed to `side` × `side` pixels, as JPEG.

  Transparency lies on white. Raises what Pillow raises for a bad file.
  """
  with Image.open(path) as image:
    image.draft('RGB', (side, side))  # JPEG: decode at a half, quarter, …
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
      image = image.convert('RGBA')
      white = Image.new('RGBA', image.size, 'white')
      image = Image.alpha_composite(white, image)
    image = image.convert('RGB')
    image = image.resize(
      (side, side), Image.Resampling.BILINEAR, reducing_gap=3.0
    )
  body = io.BytesIO()
  image.save(body, 'JPEG', quality=_QUALITY)
  return body.getvalue()


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
    except _BAD_PHOTO:
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
