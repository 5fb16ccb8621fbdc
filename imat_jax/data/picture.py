"""Is this body a photo? Only what Pillow decodes whole counts as one."""

import dataclasses
import hashlib
import io

from PIL import Image

# What shops serve. Pillow knows more formats; some of those start programs
# (EPS) or are no pictures, and no browser shows them.
FORMATS = ('JPEG', 'PNG', 'WEBP', 'GIF', 'AVIF', 'BMP', 'TIFF')

_TOO_MANY_PIXELS = (
  Image.DecompressionBombError,
  Image.DecompressionBombWarning,
  MemoryError,
)


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
      `min_side`, as with placeholders and tracking pixels) or `too_large` (more
      pixels than Pillow's guard against bombs allows).
  """
  with _open(body) as image:
    _load(image)
    if min(image.size) < min_side:
      raise BadPicture('too_small')
    return Picture(digest(body), *image.size)


def digest(body: bytes) -> str:
  """SHA-256 in hexadecimal, as the manifest holds it."""
  return hashlib.sha256(body).hexdigest()


# Hostile bytes make Pillow's plugins raise nearly anything: OSError,
# SyntaxError, ValueError, struct.error, zlib.error, OverflowError, KeyError …
# Each of them means that this is no photo, hence the wide nets below.


def _open(body: bytes) -> Image.Image:
  try:
    return Image.open(io.BytesIO(body), formats=FORMATS)
  except _TOO_MANY_PIXELS:
    raise BadPicture('too_large') from None
  except Exception:
    known = _begins_like_a_picture(body)
    raise BadPicture('truncated' if known else 'not_an_image') from None


def _begins_like_a_picture(body: bytes) -> bool:
  # Pillow says the same of a file that breaks off in its header as of a page;
  # its table of formats (opener, test of the first bytes) tells them apart.
  return any(Image.OPEN[name][1](body[:16]) for name in FORMATS)


def _load(image: Image.Image) -> None:
  try:
    image.load()
  except _TOO_MANY_PIXELS:
    raise BadPicture('too_large') from None
  except Exception:
    raise BadPicture('truncated') from None
