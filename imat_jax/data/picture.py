"""Is this body a photo? Only what Pillow decodes whole counts as one."""

import contextlib
import dataclasses
import hashlib
import io
import pathlib
import threading
import warnings
from collections.abc import Iterator

from PIL import Image

# What shops serve. Pillow knows more formats; some of those start programs
# (EPS) or are no pictures, and no browser shows them.
FORMATS = ('JPEG', 'PNG', 'WEBP', 'GIF', 'AVIF', 'BMP', 'TIFF')

# Bytes that tell the formats apart.
HEAD = 16

# More are no photo but an attack: a file of kilobytes may claim them.
MAX_PIXELS = 50_000_000
# Photos with more are decoded one at a time, so that the memory that all
# threads need together is bounded.
_LARGE = 8_000_000
_one_large = threading.Lock()
# Of more pixels than its own guard allows and of each odd tag Pillow warns, in
# lines on stderr that nobody can mend.
warnings.filterwarnings('ignore', module=r'PIL\.')


class BadPicture(Exception):
  """No photo; `str()` is the error class for the manifest."""


@dataclasses.dataclass(frozen=True)
class Picture:
  """What the manifest says of a photo; the sides are those of the file."""

  sha256: str
  width: int
  height: int


def check(body: bytes, min_side: int) -> Picture:
  """Decodes the whole body.

  Raises:
    BadPicture: `not_an_image` (it begins like none of `FORMATS`), `truncated`
      (it does, but breaks off or is damaged), `too_small` (a side is under
      `min_side`, as with placeholders and tracking pixels) or `too_large`
      (more than `MAX_PIXELS`).
  """
  try:
    with opened(io.BytesIO(body)) as image:
      _load(image)
      if min(image.size) < min_side:
        raise BadPicture('too_small')
      return Picture(digest(body), *image.size)
  except BadPicture:
    raise
  except Exception:
    known = begins_like_a_picture(body)
    raise BadPicture('truncated' if known else 'not_an_image') from None


@contextlib.contextmanager
def opened(file: pathlib.Path | io.BytesIO) -> Iterator[Image.Image]:
  """A photo whose header is read; its pixels are not decoded yet.

  Raises:
    BadPicture: it is `too_large`. Beside that nearly anything, see below.
  """
  try:
    image = Image.open(file, formats=FORMATS)
  except Image.DecompressionBombError:
    raise BadPicture('too_large') from None
  with image:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
      raise BadPicture('too_large')
    with _one_large if pixels > _LARGE else contextlib.nullcontext():
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


def _load(image: Image.Image) -> None:
  try:
    image.load()
  except (Image.DecompressionBombError, MemoryError):
    raise BadPicture('too_large') from None
  except Exception:
    raise BadPicture('truncated') from None
