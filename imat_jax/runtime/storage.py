"""Folders in buckets, gs://, s3:// and az://, by fsspec.

The only module that talks to a bucket; everything else works on local files.
`cached_download` copies inputs; `runtime.sync` keeps a run's local folder in
sync with its bucket.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from imat_jax import errors
from imat_jax.runtime import file_lock, files, progress

# The package for a kind of bucket, and the extra that installs it.
_PACKAGES = {
  'gs': ('gcsfs', 'gcs'),
  's3': ('s3fs', 's3'),
  'az': ('adlfs', 'azure'),
}
# The field of a listing that changes with a file: in the clouds, on a disk.
_VERSIONS = ('etag', 'ETag', 'mtime')
_PROBE = '.imat_jax'
_ATTEMPTS = 3  # to copy a folder that changes meanwhile


class ConcurrentChange(errors.UserError):
  """A file was removed or changed while it was copied."""

  def __init__(self, place: str | pathlib.Path):
    super().__init__(f'{place}: changed while being copied; try again')


class File(NamedTuple):
  """A file in a bucket."""

  size: int  # bytes
  version: str  # differs if the content does


Listing = Mapping[str, File]  # by the name within a folder, such as 'a/b.json'


@functools.cache
def cached_download(
  url: str,
  parts: tuple[str, ...],
  keep: Callable[[Listing], Listing],
) -> pathlib.Path:
  """A local copy of parts of a folder in a bucket.

  There is one per version of its files, complete or absent; one process makes
  it while others wait. A process sees the same version for its lifetime.

  Args:
    url: the folder.
    parts: which files and folders in it, see `RemoteDir.list`.
    keep: selects which of their files to copy.

  Raises:
    UserError: the bucket cannot be read, or keeps changing.
  """
  remote = RemoteDir(url)
  for _ in range(_ATTEMPTS):
    listing = keep(remote.list(parts))
    folder = files.cache_folder() / 'copies' / _key(url, listing)
    with _exclusive(folder), contextlib.suppress(ConcurrentChange):
      if folder.exists():
        return folder
      partial = folder.with_name(f'{folder.name}.partial')
      shutil.rmtree(partial, ignore_errors=True)  # of a killed start
      partial.mkdir()
      remote.get(listing, partial)
      if keep(remote.list(parts)) == listing:
        return partial.rename(folder)
  raise ConcurrentChange(url)


class RemoteDir:
  """A folder in a bucket, which need not exist.

  Every method raises a `UserError` if package, credentials, bucket or
  connection are missing.
  """

  def __init__(self, url: str):
    self.url = url.rstrip('/')
    self._scheme, _, self._root = self.url.partition('://')

  def list(self, parts: Iterable[str] = ('/',)) -> dict[str, File]:
    """The files that exist.

    Args:
      parts: names of files, and of folders with a slash at their end.
    """
    infos = {}
    with self._connected() as system:
      system.invalidate_cache()
      for part in parts:
        path = self._path(part)
        if part.endswith('/'):
          infos |= system.find(path, detail=True)
        else:
          with contextlib.suppress(FileNotFoundError):
            infos[path] = system.info(path)
    listing = {
      path.strip('/').removeprefix(f'{self._root}/'): File(
        info['size'], next(str(info[v]) for v in _VERSIONS if v in info)
      )
      for path, info in sorted(infos.items())
      # Web consoles create a folder as an empty file `folder/`.
      if info['type'] == 'file' and not path.endswith('/')
    }
    for name in listing:  # buckets allow any string
      if {'', '.', '..'} & set(name.split('/')):
        raise errors.UserError(f'{self.url}: {name!r} is not a file name')
    return listing

  def read(self, name: str) -> bytes | None:
    """The content of a small file, or None if it does not exist."""
    with self._connected() as system:
      try:
        return system.cat_file(self._path(name))
      except FileNotFoundError:
        return None

  def write(self, name: str, content: bytes) -> None:
    """Writes a small file."""
    with self._connected() as system:
      system.pipe_file(self._path(name), content)

  def remove(self, names: Iterable[str]) -> None:
    """Removes those of these files that exist."""
    with self._connected() as system:
      for name in names:
        with contextlib.suppress(FileNotFoundError):
          system.rm_file(self._path(name))

  def get(self, listing: Listing, folder: pathlib.Path) -> None:
    """Downloads files.

    Raises:
      ConcurrentChange: they no longer match the listing.
    """
    if not listing:
      return
    megabytes = sum(file.size for file in listing.values()) // 10**6
    with (
      self._connected() as system,
      progress.Progress(megabytes, f'copy {self.url}', 'MB') as bar,
    ):
      bar.say(
        f'{self.url}: downloading {len(listing):,} files, {megabytes:,} MB'
      )
      try:
        system.get(
          [self._path(name) for name in listing],
          [str(folder / name) for name in listing],
          callback=_counting(bar),
        )
      except FileNotFoundError as error:
        raise ConcurrentChange(self.url) from error
    for name, file in listing.items():
      if (folder / name).stat().st_size != file.size:
        raise ConcurrentChange(f'{self.url}/{name}')

  def update(
    self,
    folder: pathlib.Path,
    changed: Sequence[str],
    removed: Sequence[str],
    marks: Sequence[str],
    bar: progress.Progress | None = None,
  ) -> None:
    """Uploads local changes.

    Args:
      folder: the local one.
      changed: the files to upload.
      removed: the files to remove.
      marks: names of files that mark others as complete. They are removed first
        and uploaded last, in this order, so that nothing incomplete ever looks
        complete.
      bar: of megabytes.

    Raises:
      ConcurrentChange: a local file no longer exists.
    """

    def rank(name: str) -> int:
      last = name.rpartition('/')[2]
      return 1 + marks.index(last) if last in marks else 0

    self.remove(name for name in (*removed, *changed) if rank(name))
    callback = bar and _counting(bar)
    for turn in range(1 + len(marks)):
      self._put(folder, [n for n in changed if rank(n) == turn], callback)
    self.remove(name for name in removed if not rank(name))

  def check(self) -> None:
    """Raises unless files can be written and removed."""
    self.write(_PROBE, b'')
    self.remove([_PROBE])

  def _put(self, folder: pathlib.Path, names: Sequence[str], callback) -> None:
    if not names:
      return
    paths = [folder / name for name in names]
    with self._connected() as system:
      try:
        system.put(
          [str(path) for path in paths],
          [self._path(name) for name in names],
          **({'callback': callback} if callback else {}),
        )
      except FileNotFoundError as error:
        if all(path.exists() for path in paths):
          raise
        raise ConcurrentChange(folder) from error

  def _path(self, name: str) -> str:
    return f'{self._root}/{name}'.strip('/')

  @contextlib.contextmanager
  def _connected(self) -> Iterator[Any]:
    """fsspec's file system; its errors become a one-line `UserError`."""
    try:
      yield _file_system(self._scheme)
    except errors.UserError:
      raise
    except FileNotFoundError as error:
      raise errors.UserError(f'{self.url}: no such bucket') from error
    except ImportError as error:
      package, extra = _PACKAGES[self._scheme]
      raise errors.UserError(
        f'{self.url}: needs the package {package}: pip install -c '
        f"requirements.lock -e '.[{extra}]'"
      ) from error
    except Exception as error:  # each package has its own errors
      raise errors.UserError(
        f'{self.url}: {errors.first_line(error)} (see docs/remote.md for the '
        'setup of buckets)'
      ) from error


def _file_system(scheme: str) -> Any:
  # Otherwise gcsfs queries the bucket's type, which needs an extra permission.
  os.environ.setdefault('GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT', 'false')
  for package in ('azure', 'gcsfs'):  # they also raise what they log
    logging.getLogger(package).setLevel(logging.CRITICAL)
  import fsspec  # takes 0.2 s, and most runs do not need it

  return fsspec.filesystem(scheme)


def _counting(bar: progress.Progress) -> Any:
  """An fsspec callback that advances the bar by megabytes."""
  import fsspec

  progress_by_file, reported = {}, 0

  def count(path: str, size: int, value: int) -> None:
    nonlocal reported
    progress_by_file[path] = value
    megabytes = sum(progress_by_file.values()) // 10**6
    bar.advance(megabytes - reported)
    reported = megabytes

  class Counting(fsspec.Callback):
    def branched(self, path_1, path_2, **kwargs):
      return fsspec.Callback(hooks={'': functools.partial(count, path_1)})

  return Counting()


def _key(url: str, listing: Listing) -> str:
  content = json.dumps([url.rstrip('/'), sorted(listing.items())])
  return hashlib.sha256(content.encode()).hexdigest()[:32]


@contextlib.contextmanager
def _exclusive(folder: pathlib.Path) -> Iterator[None]:
  """A lock for the process that makes this folder; others wait."""
  folder.parent.mkdir(parents=True, exist_ok=True)
  waits = f'{folder}: waiting for another process that downloads it'
  with file_lock.file_lock(
    folder.with_name(f'{folder.name}.lock'), lambda holder: progress.say(waits)
  ):
    yield
