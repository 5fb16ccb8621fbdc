"""Is this body a photo? Only what Pillow decodes whole counts as one.

Photos of strangers are decoded in processes whose CPU time is bounded.
"""

import contextlib
import dataclasses
import hashlib
import io
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator

from PIL import Image

from imat_jax.data import bounded, png

# What shops serve. Pillow knows more formats; some of those start programs
# (EPS) or are no pictures, and no browser shows them.
FORMATS = ('JPEG', 'PNG', 'WEBP', 'GIF', 'AVIF', 'BMP', 'TIFF')

# Bytes that tell the formats apart.
HEAD = 16

# Tags of TIFF: where its pixels are, and how many bytes.
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325

# More are no photo but an attack: a file of kilobytes may claim them.
MAX_PIXELS = 50_000_000
# Photos with more are decoded one at a time, so that the memory that all
# processes need together is bounded.
_LARGE = 8_000_000
# CPU time for the pixels beside that for each photo: five times what the
# slowest format takes.
_SECONDS_PER_PIXEL = 0.2e-6
# Of more pixels than its own guard allows and of each odd tag Pillow warns, in
# lines on stderr that nobody can mend.
warnings.filterwarnings('ignore', module=r'PIL\.')


class InvalidImage(Exception):
  """No photo; `str()` is the error class for the manifest."""


@dataclasses.dataclass(frozen=True)
class Picture:
  """What the manifest says of a photo; the sides are those of the file."""

  sha256: str
  width: int
  height: int


def check(body: bytes, min_side: int) -> Picture:
  """Decodes the whole body, in another process.

  Raises:
    InvalidImage: `not_an_image` (it begins like none of `FORMATS`), `truncated`
      (it does, but breaks off), `damaged` (it is as long as it should be, but
      does not decode), `too_small` (a side is under `min_side`, as with
      placeholders and tracking pixels), `too_large` (more than `MAX_PIXELS`) or
      `too_slow` (it takes the decoder far more time than its pixels need).
  """
  width, height = _called(_decoded_size, body)
  if min(width, height) < min_side:
    raise InvalidImage('too_small')
  return Picture(digest(body), width, height)


def size(body: bytes) -> tuple[int, int]:
  """Width and height of a photo by its header, read in another process.

  Raises:
    InvalidImage: see `check`.
  """
  return _called(_size, body)


@contextlib.contextmanager
def opened(file: pathlib.Path | io.BytesIO) -> Iterator[Image.Image]:
  """A photo whose header is read; its pixels are not decoded yet.

  Raises:
    InvalidImage: it is `too_large`. Beside that nearly anything, see below.
  """
  try:
    image = Image.open(_without_notes(file), formats=FORMATS)
  except Image.DecompressionBombError:
    raise InvalidImage('too_large') from None
  with image:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
      raise InvalidImage('too_large')
    bounded.grant(pixels * _SECONDS_PER_PIXEL)
    with bounded.alone() if pixels > _LARGE else contextlib.nullcontext():
      yield image


def digest(body: bytes) -> str:
  """SHA-256 in hexadecimal, as the manifest holds it."""
  return hashlib.sha256(body).hexdigest()


# Hostile bytes make Pillow's plugins raise nearly anything: OSError,
# SyntaxError, ValueError, struct.error, zlib.error, OverflowError, KeyError …
# Each of them means that this is no photo, hence the wide nets below.


def begins_like_a_picture(body: bytes) -> bool:
  """Whether the first `HEAD` bytes are those of one of `FORMATS`."""
  # Pillow says the same of a file that breaks off in its header as of a page;
  # its table of formats (opener, test of the first bytes) tells them apart.
  Image.init()
  return any(Image.OPEN[name][1](body[:HEAD]) for name in FORMATS)


def _called(
  function: Callable[[bytes], tuple[int, int]], body: bytes
) -> tuple[int, int]:
  try:
    return bounded.call(function, body)
  except bounded.TooSlowError:
    raise InvalidImage('too_slow') from None
  except bounded.CrashError:
    raise InvalidImage('damaged') from None


def _decoded_size(body: bytes) -> tuple[int, int]:
  """`_size` of a photo all of which was decoded."""
  return _size(body, load=True)


def _size(body: bytes, load: bool = False) -> tuple[int, int]:
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
    raise InvalidImage(_fault(body)) from None


def _fault(body: bytes) -> str:
  if not begins_like_a_picture(body):
    return 'not_an_image'
  return 'truncated' if _breaks_off(body) else 'damaged'


def _breaks_off(body: bytes) -> bool:
  """Whether the end of a file is missing, as far as its format can tell."""
  if body.startswith(png.SIGNATURE):
    return not png.is_whole(body)
  if body.startswith(b'\xff\xd8'):  # JPEG: no end behind the last scan
    return body.rfind(b'\xff\xd9') <= body.rfind(b'\xff\xda')
  if body.startswith(b'GIF'):
    return not body.rstrip(b'\0').endswith(b';')
  if body.startswith(b'RIFF'):
    return int.from_bytes(body[4:8], 'little') + 8 > len(body)
  if body.startswith(b'BM'):
    return int.from_bytes(body[2:6], 'little') > len(body)
  if body[4:8] == b'ftyp':
    return _boxes_break_off(body)
  return _strips_break_off(body)


def _boxes_break_off(body: bytes) -> bool:
  """Whether a box of an AVIF is longer than what is there."""
  start = 0
  while start + 8 <= len(body):
    size = int.from_bytes(body[start : start + 4])
    if size == 1:
      size = int.from_bytes(body[start + 8 : start + 16])
    if size == 0:  # to the end
      return False
    start += max(size, 8)
  return start != len(body)


def _strips_break_off(body: bytes) -> bool:
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


def _without_notes(
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
      return io.BytesIO(png.without_notes(opened_file.read()))
  return file
