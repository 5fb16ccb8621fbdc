"""`SPLIT.manifest.jsonl`: the outcome of each image's download, a line each.

During a download lines are appended, and an image's last line counts; at the
end the file is rewritten with one line per image.
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

# Errors that a later run retries. With `dns`, as offline no name resolves, and
# `private_address`, which a flag may allow.
RETRYABLE = frozenset(
  [
    *('dns', 'dead_host', 'private_address', 'timeout', 'refused'),
    *('connection', 'tls', 'http_408', 'http_425', 'http_429', 'http_5xx'),
  ]
)


@dataclasses.dataclass(frozen=True)
class Entry:
  """One image; the fields are the keys of the JSON, in order."""

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
    """Whether the photo was downloaded."""
    return self.status == 'ok'

  @property
  def is_permanent(self) -> bool:
    """Whether it failed with an error that is not retried."""
    return not self.is_ok and self.error not in RETRYABLE


def ok(
  image_id: str,
  url: str | None,
  picture: image_validation.Picture,
  attempts: int,
) -> Entry:
  """The line of a photo; `url` is None where it is unknown."""
  size = picture.width, picture.height
  return Entry(image_id, 'ok', url, picture.sha256, *size, attempts, None)


def failed(image_id: str, url: str | None, error: str, attempts: int) -> Entry:
  """The line of an image without a photo; `url` is the link of the error."""
  return Entry(image_id, 'failed', url, None, None, None, attempts, error)


def path(images: pathlib.Path, split: str) -> pathlib.Path:
  """The path of a split's manifest."""
  return pathlib.Path(images) / f'{split}.manifest.jsonl'


@contextlib.contextmanager
def locked(images: pathlib.Path, split: str) -> Iterator[None]:
  """Locks a split's photos and manifest for one process.

  Raises:
    UserError: another process holds the lock.
  """

  def refuse(holder: str) -> None:
    raise errors.UserError(
      f'{images}/{split}: locked by another process ({holder}); wait for it to '
      'finish'
    )

  with file_lock.file_lock(pathlib.Path(images) / f'.{split}.lock', refuse):
    yield


def read(path: pathlib.Path) -> dict[str, Entry]:
  """The last valid line of each image; empty without a file.

  Invalid lines are ignored: a killed run leaves an incomplete last one.
  """
  try:
    content = path.read_bytes()
  except FileNotFoundError:
    return {}
  lines = filter(None, map(_parse, content.splitlines()))
  return {line.imageId: line for line in lines}


def append(file: TextIO, line: Entry) -> None:
  """Appends a line and flushes it, so that it survives a kill."""
  file.write(_text(line))
  file.flush()


def write(path: pathlib.Path, lines: Iterable[Entry]) -> None:
  """Replaces the manifest atomically."""
  files.write_text(path, ''.join(map(_text, lines)))


def _text(line: Entry) -> str:
  return json.dumps(dataclasses.asdict(line)) + '\n'


def _parse(text: bytes) -> Entry | None:
  try:
    line = Entry(**json.loads(text))
  except (ValueError, TypeError, RecursionError):
    return None
  is_well_formed = (
    isinstance(line.imageId, str)
    and isinstance(line.attempts, int)
    and (line.is_ok or isinstance(line.error, str))
  )
  return line if is_well_formed else None
