"""Resolves the cell of a photo to a link or a file.

A path is tried as written, relative to the table's folder, then in the
spellings of Windows and of links. Otherwise the folder is searched: subfolders,
no extension, another Unicode form or case; exactly one file must match. For
paths of another machine or folder, the prefix that corresponds to this folder
is removed. Ambiguous matches are rejected.
"""

import collections
import dataclasses
import os
import pathlib
import re
import unicodedata
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence

from imat_jax.data import photo_files, urls
from imat_jax.runtime import files, progress

Parts = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Found:
  """The location of a photo: a link or a file."""

  link: str = ''
  file: str = ''
  by_search: bool = False


@dataclasses.dataclass(frozen=True)
class NotFound:
  """Why a photo has no location."""

  reason: str


_NO_SUCH_FILE = NotFound('no such file')


class Finder:
  """Finds the photos of one table.

  Args:
    root: the folder that paths are relative to.
    targets: output folders, which are not searched.
  """

  def __init__(self, root: pathlib.Path, targets: Sequence[pathlib.Path]):
    self._root = root
    self._targets = {os.path.realpath(target) for target in targets}
    self._files: dict[str, list[tuple[Parts, str]]] | None = None

  def resolves(self, cell: str, search: bool = False) -> bool:
    """Whether a cell resolves to a photo, as written or by a search."""
    if urls.is_link(cell) or self._as_written(cell) is not None:
      return True
    return search and len(self._deeper(_parts(cell))) == 1

  def find_all(self, cells: Iterable[str]) -> dict[str, Found | NotFound]:
    """The link or file of each cell, or why there is none."""
    places = {cell: self._find(cell) for cell in dict.fromkeys(cells)}
    missing_cells = [
      cell for cell, place in places.items() if place == _NO_SUCH_FILE
    ]
    for cell, path in self._behind_prefix(missing_cells).items():
      places[cell] = Found(file=path, by_search=True)
    # With one file for two paths, a photo would get the label of another.
    counts = collections.Counter(
      os.path.realpath(place.file)
      for place in places.values()
      if isinstance(place, Found) and place.file
    )
    for cell, place in places.items():
      if (
        isinstance(place, Found)
        and place.by_search
        and counts[os.path.realpath(place.file)] > 1
      ):
        places[cell] = NotFound('one file matches several paths')
    return places

  def _find(self, cell: str) -> Found | NotFound:
    if urls.is_link(cell):
      return Found(link=cell)
    if path := self._as_written(cell):
      return Found(file=path)
    if reason := _no_path(cell):
      return NotFound(reason)
    if os.path.isdir(os.path.join(self._root, cell)):
      return NotFound('a folder')
    fits = [] if _is_absolute(cell) else self._deeper(_parts(cell))
    if len(fits) > 1:
      return NotFound('several files with this name')
    return Found(file=fits[0], by_search=True) if fits else _NO_SUCH_FILE

  def _deeper(self, parts: Parts) -> list[str]:
    """The files whose path ends in `parts`."""
    return [
      path
      for file_parts, path in self._named(parts)
      if _ends(file_parts, parts)
    ]

  def _behind_prefix(self, cells: Sequence[str]) -> dict[str, str]:
    """The files of paths of another machine or folder.

    Removes the prefix that corresponds to the root. Prefixes are rivals if they
    claim one file, or two files for one cell. Of rivals the one whose last
    folder is the root's wins; else the one that leaves most of the paths, if it
    claims the same cells and no file of another; else none.
    """
    claims: dict[Parts, dict[str, str]] = collections.defaultdict(dict)
    for cell in cells:
      parts = _parts(cell)
      for file_parts, path in self._named(parts):
        if _ends(parts, file_parts) and not self._is_here(cell, file_parts):
          claims[parts[: len(parts) - len(file_parts)]][cell] = path
    if not claims:
      return {}
    root = _parts(os.path.realpath(self._root))

    def merit(prefix: Parts) -> tuple[bool, int, int, Parts]:
      is_root = _ends(root, prefix[-1:])
      return is_root, len(claims[prefix]), -len(prefix), prefix

    best, *others = sorted(claims, key=merit, reverse=True)
    claimed = set(claims[best].values())
    by_file = [p for p in others if claimed & {*claims[p].values()}]
    by_cell = [p for p in others if claims[best].keys() & claims[p].keys()]
    is_plain = merit(best)[0] and not any(
      merit(p)[0] for p in by_file + by_cell
    )
    is_longest = not by_file and all(
      len(best) < len(p) and claims[p].keys() <= claims[best].keys()
      for p in by_cell
    )
    return claims[best] if is_plain or is_longest else {}

  def _is_here(self, cell: str, file_parts: Parts) -> bool:
    """Whether the folders in front of a file's parts are of this machine.

    Then the cell means what it says, and a file elsewhere is another photo.
    """
    if len(_parts(cell)) == len(file_parts):
      return False
    for text in spellings(cell):
      path = pathlib.PurePosixPath(os.path.expanduser(text))
      above = path.parents[len(file_parts) - 1 :]
      if above and os.path.isdir(os.path.join(self._root, above[0])):
        return True
    return False

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
    """The files with the name of a path, each with its parts below the root."""
    if self._files is None:
      self._files = self._index()
    name = parts[-1] if parts else ''
    if os.path.splitext(name)[1] in photo_files.ENDINGS:
      yield from self._files.get(name, ())
      return
    for file_parts, path in self._files.get(name + '.', ()):
      yield (*file_parts[:-1], name), path

  def _index(self) -> dict[str, list[tuple[Parts, str]]]:
    """File name → files; the key without extension is the stem and a dot."""
    index = collections.defaultdict(list)
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
          file_parts = _parts(os.path.relpath(path, self._root))
          index[file_parts[-1]].append((file_parts, path))
          index[_plain(stem) + '.'].append((file_parts, path))
          bar.advance()
    return index


def spellings(cell: str) -> Iterator[str]:
  """The path as written, and converted from Windows or a file: link."""
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
  """Why a cell cannot be a path; empty if it can."""
  if re.match(r'(s3|gs|az|abfss?|hdfs|hf|dbfs|wasbs?):', cell, re.IGNORECASE):
    return 'in a bucket: copy the photos to this machine first'
  if re.match(r'data:', cell, re.IGNORECASE):
    return 'a data URL: save the photo as a file'
  if re.match(r'(?!file:)[a-z][a-z0-9+.-]+:', cell, re.IGNORECASE):
    return 'neither a file nor an http:// or https:// link'
  if re.match(r'//|www\.', cell, re.IGNORECASE):
    return 'a link without https://'
  return ''


def _is_absolute(cell: str) -> bool:
  *_, text = spellings(cell)
  return bool(re.match(r'/|[a-z]:/|~', text, re.IGNORECASE))


def _parts(path: str) -> Parts:
  """The folders and the name, Unicode-normalized and case-folded."""
  *_, text = spellings(path)
  return tuple(
    _plain(part) for part in text.split('/') if part not in ('', '.')
  )


def _plain(name: str) -> str:
  return unicodedata.normalize('NFC', name).casefold()


def _ends(parts: Parts, end: Parts) -> bool:
  return bool(end) and parts[-len(end) :] == end
