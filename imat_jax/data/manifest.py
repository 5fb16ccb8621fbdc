"""`SPLIT.manifest.jsonl`: how the download of each image ended, a line each.

While the download runs, lines are appended, and the last line of an image
counts; when it ends, the file is rewritten with one line per image.
"""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Iterator
from typing import TextIO

from imat_jax import errors
from imat_jax.data import image_validation
from imat_jax.runtime import file_lock, files

# The classes of failure that may pass; a later run tries these images again.
# A dead name is among them: a machine that is offline sees only dead names; and
# a private address, which another start may allow.
RETRYABLE = frozenset(
  {
    'dns',
    'dead_host',
    'private_address',
    'timeout',
    'refused',
    'connection',
    'tls',
    'http_408',
    'http_425',
    'http_429',
    'http_5xx',
  }
)


@dataclasses.dataclass(frozen=True)
class Entry:
  """One image; the fields are the keys of the JSON, in its order."""

  imageId: str
  status: str
  url: str | None
  sha256: str | None
  width: int | None
  height: int | None
  attempts: int
  error: str | None

  @property
  def is_ok(self) -> bool:
    """Whether there is a photo."""
    return self.status == 'ok'

  @property
  def is_permanent(self) -> bool:
    """Whether it failed for good: its links need no further try."""
    return not self.is_ok and self.error not in RETRYABLE


def ok(
  image_id: str, url: str | None, found: image_validation.Picture, attempts: int
) -> Entry:
  """The line of a photo; without `url` nobody knows whence it came."""
  size = found.width, found.height
  return Entry(image_id, 'ok', url, found.sha256, *size, attempts, None)


def failed(image_id: str, url: str | None, error: str, attempts: int) -> Entry:
  """The line of an image without a photo; `url` is the link that `error`s."""
  return Entry(image_id, 'failed', url, None, None, None, attempts, error)


def path(images: pathlib.Path, split: str) -> pathlib.Path:
  """Where the manifest of a split lies."""
  return pathlib.Path(images) / f'{split}.manifest.jsonl'


@contextlib.contextmanager
def locked(images: pathlib.Path, split: str) -> Iterator[None]:
  """Held by the one process that writes photos and lines of a split.

  Raises:
    UserError: another process does.
  """

  def refuse(holder: str) -> None:
    raise errors.UserError(
      f'{images}/{split}: locked by another process ({holder}); wait until it '
      'is done'
    )

  with file_lock.file_lock(pathlib.Path(images) / f'.{split}.lock', refuse):
    yield


def read(path: pathlib.Path) -> dict[str, Entry]:
  """The last good line of each image; empty where there is no file.

  Lines that are none are left out: a killed run leaves a torn last one.
  """
  try:
    content = path.read_bytes()
  except FileNotFoundError:
    return {}
  lines = filter(None, map(_parse, content.splitlines()))
  return {line.imageId: line for line in lines}


def append(file: TextIO, line: Entry) -> None:
  """Adds a line that a killed process does not lose."""
  file.write(_text(line))
  file.flush()


def write(path: pathlib.Path, lines: Iterable[Entry]) -> None:
  """Replaces the manifest in one step."""
  files.write_text(path, ''.join(map(_text, lines)))


def _text(line: Entry) -> str:
  return json.dumps(dataclasses.asdict(line)) + '\n'


def _parse(text: bytes) -> Entry | None:
  try:
    line = Entry(**json.loads(text))
  except (ValueError, TypeError, RecursionError):
    return None
  return line if _is_well_formed(line) else None


def _is_well_formed(line: Entry) -> bool:
  return (
    isinstance(line.imageId, str)
    and isinstance(line.attempts, int)
    and (line.is_ok or isinstance(line.error, str))
  )
