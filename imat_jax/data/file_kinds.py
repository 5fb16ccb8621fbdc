"""Names the kind of a file that is not a photo, by its first bytes."""

import codecs

HEAD = 1024  # bytes that are looked at

# Containers of photos and videos have their brand behind `ftyp`.
_HEIF = frozenset(b'heic heix heim heis hevc hevx mif1 msf1'.split())
_BEGINNINGS = (
  (b'\x00\x00\x00\x0cjP  ', 'JPEG 2000'),
  (b'\xff\x4f\xff\x51', 'JPEG 2000'),
  (b'\x00\x00\x00\x0cJXL ', 'JPEG XL'),
  (b'\xff\x0a', 'JPEG XL'),
  (b'II\xbc\x01', 'JPEG XR'),
  (b'8BPS', 'Photoshop file'),
  (b'%PDF', 'PDF'),
  (b'%!PS', 'PostScript'),
  (b'\x00\x00\x01\x00', 'icon'),
  (b'PK\x03\x04', 'ZIP archive'),
  (b'\x1f\x8b', 'gzip archive'),
  (b'\x1aE\xdf\xa3', 'film'),
  (b'RIFF', 'film or sound'),
  (b'version https://git-lfs', 'Git LFS pointer'),
)
_BYTE_ORDER_MARKS = (
  (codecs.BOM_UTF8, 'utf-8'),
  (codecs.BOM_UTF16_LE, 'utf-16-le'),
  (codecs.BOM_UTF16_BE, 'utf-16-be'),
)


def name(head: bytes) -> str:
  """The kind of a file, such as `HEIC` or `HTML page`.

  Args:
    head: its first `HEAD` bytes.
  """
  if not head:
    return 'empty file'
  if not head.strip(b'\x00'):
    return 'nothing but zeros'
  if head[4:8] == b'ftyp':
    return 'HEIC' if head[8:12] in _HEIF else 'film or camera raw'
  for beginning, kind in _BEGINNINGS:
    if head.startswith(beginning):
      return kind
  return _text(head)


def _text(head: bytes) -> str:
  text = head.decode('latin-1')
  for mark, encoding in _BYTE_ORDER_MARKS:
    if head.startswith(mark):
      text = head.removeprefix(mark).decode(encoding, errors='replace')
  text = text.lstrip().lower()
  if text.startswith('<'):
    if '<svg' in text:
      return 'SVG'
    if '<html' in text or '<!doctype html' in text or '<head' in text:
      return 'HTML page'
    return 'XML'
  if text.startswith(('{', '[')):
    return 'JSON'
  if text.startswith('data:image/'):
    return 'data URL'
  if '\x00' not in text and all(c.isprintable() or c in '\r\n\t' for c in text):
    return 'text'
  return 'no known format'
