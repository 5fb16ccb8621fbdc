"""Validates photos: Pillow must decode them completely.

Untrusted photos are decoded in processes with bounded CPU time.
"""

import contextlib
import dataclasses
import hashlib
import io
import os
import pathlib
import warnings
from collections.abc import Iterator

from PIL import Image

from imat_jax.data import bounded, png

# What shops serve. Pillow's other formats are shown by no browser, and some
# start programs (EPS).
FORMATS = ('JPEG', 'PNG', 'WEBP', 'GIF', 'AVIF', 'BMP', 'TIFF')

# Bytes that identify the format.
HEAD = 16

# TIFF tags: offsets and byte counts of the pixel data.
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325

# More pixels are an attack: a file of kilobytes can declare them.
MAX_PIXELS = 50_000_000
# Photos with more pixels are decoded one at a time, which bounds the memory of
# all processes together.
_LARGE = 8_000_000
# CPU time for the pixels, beside that per photo: five times that of the slowest
# format.
_SECONDS_PER_PIXEL = 0.2e-6
# Pillow warns of large images and of each odd tag, on stderr; users cannot fix
# either.
warnings.filterwarnings('ignore', module=r'PIL\.')


class InvalidImage(Exception):
  """Not a valid photo; `str()` is the error class for the manifest."""


@dataclasses.dataclass(frozen=True)
class Picture:
  """A photo's fields in the manifest; width and height of the file."""

  sha256: str
  width: int
  height: int


def check(body: bytes, min_side: int) -> Picture:
  """Decodes all of the body, in another process.

  Raises:
    InvalidImage: `not_an_image` (no signature of `FORMATS`), `truncated`,
      `damaged` (complete, but does not decode), `too_small` (a side under
      `min_side`: placeholders, tracking pixels), `too_large` (more than
      `MAX_PIXELS`) or `too_slow` (far more CPU time than its pixels need).
  """
  width, height = _bounded_size(body, load=True)
  if min(width, height) < min_side:
    raise InvalidImage('too_small')
  return Picture(digest(body), width, height)


def size(body: bytes) -> tuple[int, int]:
  """Width and height of a photo from its header, read in another process.

  Raises:
    InvalidImage: see `check`.
  """
  return _bounded_size(body, load=False)


@contextlib.contextmanager
def opened(file: pathlib.Path | io.BytesIO) -> Iterator[Image.Image]:
  """A photo whose header is read, without decoding its pixels.

  Raises:
    InvalidImage: `too_large`. Pillow raises nearly anything else, see below.
  """
  try:
    image = Image.open(_strip_metadata(file), formats=FORMATS)
  except Image.DecompressionBombError:
    raise InvalidImage('too_large') from None
  with image:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
      raise InvalidImage('too_large')
    bounded.grant(pixels * _SECONDS_PER_PIXEL)
    with bounded.exclusive() if pixels > _LARGE else contextlib.nullcontext():
      yield image


def digest(body: bytes) -> str:
  """SHA-256 in hexadecimal, as in the manifest."""
  return hashlib.sha256(body).hexdigest()


# Hostile bytes make Pillow's plugins raise nearly anything: OSError,
# SyntaxError, ValueError, struct.error, zlib.error, OverflowError, KeyError …
# Hence `except Exception` below: each means that this is no photo.


def has_image_signature(body: bytes) -> bool:
  """Whether the first `HEAD` bytes are those of one of `FORMATS`."""
  # Pillow raises the same for a truncated header as for an HTML page; its table
  # of formats (opener, signature test) distinguishes them.
  Image.init()
  return any(Image.OPEN[name][1](body[:HEAD]) for name in FORMATS)


def _bounded_size(body: bytes, load: bool) -> tuple[int, int]:
  try:
    return bounded.call(_size, body, load)
  except bounded.TooSlowError:
    raise InvalidImage('too_slow') from None
  except bounded.CrashError:
    raise InvalidImage('damaged') from None


def _size(body: bytes, load: bool) -> tuple[int, int]:
  """Width and height, after decoding all of the photo if `load`."""
  try:
    with opened(io.BytesIO(body)) as image:
      if load:
        image.load()
      return image.size
  except InvalidImage:
    raise
  except (Image.DecompressionBombError, MemoryError):
    raise InvalidImage('too_large') from None
  except Exception:
    raise InvalidImage(_error_class(body)) from None


def _error_class(body: bytes) -> str:
  if not has_image_signature(body):
    return 'not_an_image'
  return 'truncated' if _is_truncated(body) else 'damaged'


def _is_truncated(body: bytes) -> bool:
  """Whether the end of the file is missing, as far as its format shows."""
  if body.startswith(png.SIGNATURE):
    return not png.is_complete(body)
  if body.startswith(b'\xff\xd8'):  # JPEG: no end behind the last scan
    return body.rfind(b'\xff\xd9') <= body.rfind(b'\xff\xda')
  if body.startswith(b'GIF'):
    return not body.rstrip(b'\0').endswith(b';')
  if body.startswith(b'RIFF'):
    return int.from_bytes(body[4:8], 'little') + 8 > len(body)
  if body.startswith(b'BM'):
    return int.from_bytes(body[2:6], 'little') > len(body)
  if body[4:8] == b'ftyp':
    return _is_truncated_avif(body)
  return _is_truncated_tiff(body)


def _is_truncated_avif(body: bytes) -> bool:
  """Whether a box of an AVIF extends beyond the end of the file."""
  start = 0
  while start + 8 <= len(body):
    size = int.from_bytes(body[start : start + 4])
    if size == 1:
      size = int.from_bytes(body[start + 8 : start + 16])
    if size == 0:  # to the end
      return False
    start += max(size, 8)
  return start != len(body)


def _is_truncated_tiff(body: bytes) -> bool:
  """Whether a strip or tile of a TIFF, or the list of them, is missing."""
  try:
    with Image.open(io.BytesIO(body), formats=['TIFF']) as image:
      tags = image.tag_v2
      starts = tags.get(_STRIPS) or tags.get(_TILES, ())
      lengths = tags.get(_STRIP_BYTES) or tags.get(_TILE_BYTES, ())
      ends = map(int.__add__, starts, lengths)
      return any(end > len(body) for end in ends)
  except Exception:
    return True


def _strip_metadata(
  file: pathlib.Path | io.BytesIO,
) -> pathlib.Path | io.BytesIO:
  with (
    open(file, 'rb')
    if isinstance(file, os.PathLike)
    else (contextlib.nullcontext(file)) as opened_file
  ):
    head = opened_file.read(len(png.SIGNATURE))
    opened_file.seek(0)
    if head == png.SIGNATURE:
      return io.BytesIO(png.strip_metadata(opened_file.read()))
  return file
