"""Expands files, folders and lists on standard input to photos."""

import codecs
import os
import sys
from collections.abc import Iterable, Iterator

from imat_jax import errors
from imat_jax.data import image_validation, photo_files, photo_paths

LIST = '-'
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def collect(
  paths: Iterable[str], skipped: photo_files.Skipped
) -> Iterator[str]:
  """The files of a command's arguments, in their order.

  A named file is always included, of a folder only its photos.

  Args:
    paths: files, folders, or `LIST` for a list on standard input.
    skipped: counts the files of folders that are not photos.

  Raises:
    UserError: standard input is not a list.
  """
  for path in paths:
    entries = map(_resolved, _standard_input()) if path == LIST else (path,)
    for entry in entries:
      if os.path.isdir(entry):
        yield from photo_files.photos_in(entry, skipped)
      else:
        yield entry


def entries(body: bytes) -> list[str]:
  """The paths of a list, one per line or separated by NUL.

  UTF-8 or any bytes, or UTF-16 as of PowerShell; with or without a byte-order
  mark.
  """
  if body.startswith(_UTF_16):
    body = os.fsencode(body.decode('utf-16', errors='replace'))
  elif encoding := _unmarked_utf_16(body):
    body = os.fsencode(body.decode(encoding, errors='replace'))
  body = body.removeprefix(codecs.BOM_UTF8)
  if b'\0' in body:
    parts = body.split(b'\0')
  else:
    parts = [line.rstrip(b'\r') for line in body.split(b'\n')]
  return [os.fsdecode(part) for part in parts if part.strip()]


def _unmarked_utf_16(body: bytes) -> str:
  """UTF-16's name if every other byte of a text with lines is NUL, else ''."""
  head = body[:200]
  if not head[1::2].strip(b'\0') and b'\n\0' in body:
    return 'utf-16-le'
  if not head[::2].strip(b'\0') and b'\0\n' in body:
    return 'utf-16-be'
  return ''


def _standard_input() -> list[str]:
  body = sys.stdin.buffer.read()
  if image_validation.has_image_signature(body):
    raise errors.UserError(
      'standard input is a photo; pass the path of its file, or a list of paths'
    )
  return entries(body)


def _resolved(entry: str) -> str:
  """The existing file: as written, unquoted, or in Windows' spelling."""
  text = entry.strip()
  if len(text) > 1 and text[0] == text[-1] and text[0] in '"\'':
    text = text[1:-1]
  for spelling in (entry, *photo_paths.spellings(text)):
    path = os.path.expanduser(spelling)
    if os.path.lexists(path):
      return path
  return entry
