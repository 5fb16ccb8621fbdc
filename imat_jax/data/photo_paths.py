"""From what a cell says of a photo to the link or the file that is meant.

A file is looked for as it is written, below the table's folder; then as Windows
and links write paths. What is not there may be deeper, without its ending, or
in another Unicode form or case: it is found where exactly one file of the
folder fits. An absolute path of another machine is found where all of them have
one beginning in common. Nothing is guessed that could be another photo.
"""

import collections
import dataclasses
import os
import pathlib
import re
import unicodedata
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence

from imat_jax import files, progress
from imat_jax.data import links, photo_files

Parts = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Found:
  """Where a photo is: one of both."""

  link: str = ''
  file: str = ''
  by_search: bool = False


class NotFound(Exception):
  """No photo; `str()` is the kind of reason."""


class Finder:
  """Finds the photos of one table.

  Args:
    root: the folder that paths are relative to.
    targets: folders that are not searched, as they are written.
  """

  def __init__(self, root: pathlib.Path, targets: Sequence[pathlib.Path]):
    self._root = root
    self._targets = {os.path.realpath(target) for target in targets}
    self._files: dict[str, list[tuple[Parts, str]]] | None = None
    self._prefix: Parts | None = None

  def leads(self, cell: str, search: bool = False) -> bool:
    """Whether a cell leads to a photo: as it is written, or by a search."""
    if not search:
      return links.is_link(cell) or self._as_written(cell) is not None
    try:
      self.find(cell)
    except NotFound:
      return False
    return True

  def learn_prefix(self, cells: Iterable[str]) -> None:
    """Finds the beginning that absolute paths of another machine share."""
    prefixes = collections.Counter()
    for cell in cells:
      if links.is_link(cell) or self._as_written(cell) is not None:
        continue
      parts = _parts(cell)
      if _is_absolute(cell):
        fits = [own for own, _ in self._named(parts) if _ends(parts, own)]
        prefixes.update(
          parts[: len(parts) - len(own)] for own in dict.fromkeys(fits)
        )
    if prefixes:
      self._prefix = min(prefixes, key=lambda p: (-prefixes[p], len(p), p))

  def find(self, cell: str) -> Found:
    """The link or file of a cell.

    Raises:
      NotFound: it is neither.
    """
    if links.is_link(cell):
      return Found(link=cell)
    if path := self._as_written(cell):
      return Found(file=path)
    if reason := _no_path(cell):
      raise NotFound(reason)
    if (self._root / cell).is_dir():
      raise NotFound('a folder')
    parts = _parts(cell)
    if _is_absolute(cell):
      prefix = self._prefix or parts
      if parts[: len(prefix)] != prefix or len(parts) == len(prefix):
        raise NotFound('no such file')
      parts = parts[len(prefix) :]
      fits = [path for own, path in self._named(parts) if own == parts]
    else:
      fits = [path for own, path in self._named(parts) if _ends(own, parts)]
    if len(fits) > 1:
      raise NotFound('several files of this name')
    if not fits:
      raise NotFound('no such file')
    return Found(file=fits[0], by_search=True)

  def _as_written(self, cell: str) -> str | None:
    for text in spellings(cell):
      path = os.path.join(self._root, os.path.expanduser(text))
      try:
        if os.path.isfile(path):
          return path
      except ValueError:  # a NUL
        continue
    return None

  def _named(self, parts: Parts) -> Iterator[tuple[Parts, str]]:
    """The files with the name of a path, and theirs from the root."""
    if self._files is None:
      self._files = self._index()
    name = parts[-1] if parts else ''
    if os.path.splitext(name)[1] in photo_files.ENDINGS:
      yield from self._files.get(name, ())
      return
    for own, path in self._files.get(name + '.', ()):
      yield (*own[:-1], name), path

  def _index(self) -> dict[str, list[tuple[Parts, str]]]:
    """Name of a photo → its files; without the ending, the name and a dot."""
    found = collections.defaultdict(list)
    with progress.Progress(None, f'search {self._root}', 'file') as bar:
      for parent, folders, names in os.walk(self._root):
        folders[:] = sorted(
          name
          for name in folders
          if not files.is_foreign(name)
          and os.path.realpath(os.path.join(parent, name)) not in self._targets
        )
        for name in sorted(names):
          stem, ending = os.path.splitext(name)
          if ending.lower() not in photo_files.ENDINGS:
            continue
          path = os.path.join(parent, name)
          own = _parts(os.path.relpath(path, self._root))
          found[own[-1]].append((own, path))
          found[_plain(stem) + '.'].append((own, path))
          bar.advance()
    return found


def spellings(cell: str) -> Iterator[str]:
  """The path as written, and as Windows and links write it."""
  yield cell
  text = cell
  if re.match(r'file:', text, re.IGNORECASE):
    text = re.sub(r'(?i)^file:(//(localhost)?(?=/))?', '', text)
    text = urllib.parse.unquote(text)
    yield text
  if '\\' in text:
    yield text.replace('\\', '/')
  if '%' in text:
    yield urllib.parse.unquote(text.replace('\\', '/'))


def _no_path(cell: str) -> str:
  """What a cell is that names no file; empty where it may name one."""
  if re.match(r'(s3|gs|az|abfss?|hdfs|hf|dbfs|wasbs?):', cell, re.IGNORECASE):
    return 'in a bucket: copy the photos to this machine first'
  if re.match(r'data:', cell, re.IGNORECASE):
    return 'the photo itself is in the cell: save it as a file'
  if re.match(r'(?!file:)[a-z][a-z0-9+.-]+:', cell, re.IGNORECASE):
    return 'neither a file nor a link that begins with http:// or https://'
  if re.match(r'//|www\.', cell, re.IGNORECASE):
    return 'a link without https:// in front'
  return ''


def _is_absolute(cell: str) -> bool:
  *_, text = spellings(cell)
  return bool(re.match(r'/|[a-z]:/|~', text, re.IGNORECASE))


def _parts(path: str) -> Parts:
  """The folders and the name, in one Unicode form, without case."""
  *_, text = spellings(path)
  return tuple(
    _plain(part) for part in text.split('/') if part not in ('', '.')
  )


def _plain(name: str) -> str:
  return unicodedata.normalize('NFC', name).casefold()


def _ends(whole: Parts, end: Parts) -> bool:
  return bool(end) and whole[-len(end) :] == end
