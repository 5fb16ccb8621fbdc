"""Strips PNG chunks that are no part of the image and may be damaged.

Pillow rejects a photo for a printer's color profile, an editor's history that
unpacks to megabytes or a wrong checksum in a text; browsers ignore all of it.
"""

import zlib
from collections.abc import Iterator

SIGNATURE = b'\x89PNG\r\n\x1a\n'
_END = b'IEND'
# Beside the critical chunks: transparency, and whatever may hold the EXIF
# orientation.
_KEPT = frozenset({b'tRNS', b'eXIf'})
_TEXTS = frozenset({b'tEXt', b'zTXt', b'iTXt'})
_ORIENTED_BY = frozenset({b'Raw profile type exif', b'XML:com.adobe.xmp'})
_LONGEST_TEXT = 1_000_000  # bytes, unpacked; under Pillow's own limit


def strip_metadata(body: bytes) -> bytes:
  """The PNG with only the chunks that Pillow needs."""
  chunks, keys, place = [SIGNATURE], set(), len(SIGNATURE)
  for start, end, kind in _chunks(body):
    place = end
    if _is_needed(body, start, end, kind, keys):
      chunks.append(body[start:end])
    if kind == _END:
      return b''.join(chunks)
  return b''.join([*chunks, body[place:]])


def is_complete(body: bytes) -> bool:
  """Whether the PNG has its last chunk."""
  return any(kind == _END for *_, kind in _chunks(body))


def _chunks(body: bytes) -> Iterator[tuple[int, int, bytes]]:
  """Start, end and kind of each complete chunk."""
  start = len(SIGNATURE)
  while start + 12 <= len(body):
    end = start + 12 + int.from_bytes(body[start : start + 4])
    kind = body[start + 4 : start + 8]
    if end > len(body) or not kind.isalpha():
      return
    yield start, end, kind
    start = end


def _is_needed(
  body: bytes, start: int, end: int, kind: bytes, keys: set[bytes]
) -> bool:
  if kind[:1].isupper():  # critical
    return True
  if kind not in _KEPT | _TEXTS:
    return False
  content = body[start + 8 : end - 4]
  if zlib.crc32(kind + content) != int.from_bytes(body[end - 4 : end]):
    return False
  if kind in _KEPT:
    return True
  key = content.partition(b'\0')[0]
  is_new = key in _ORIENTED_BY and key not in keys
  keys.add(key)
  return is_new and _is_short(kind, content)


def _is_short(kind: bytes, content: bytes) -> bool:
  """Whether a text is short, also when unpacked."""
  rest = content.partition(b'\0')[2]
  packed = b''
  if kind == b'zTXt':
    packed = rest[1:]
  elif kind == b'iTXt' and rest[:1] == b'\1':
    packed = rest[2:].split(b'\0', 2)[-1]
  unpacking = zlib.decompressobj()
  try:
    unpacking.decompress(packed, _LONGEST_TEXT)
  except zlib.error:
    return False
  return len(content) < _LONGEST_TEXT and not unpacking.unconsumed_tail
