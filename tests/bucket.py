"""A stand-in for a bucket: a folder of this machine that fsspec knows as s3://.

Another process knows it, too, with the variables that `environment` makes. Its
buckets are the folders in it. With a file `refuses` in it, it refuses what that
file says: lines of an action and a part of a path, such as `put SEAL.json`.
With a file `slow` each file that comes takes so many seconds.
"""

import contextlib
import os
import pathlib
import shutil
import time
from collections.abc import Iterator
from unittest import mock

import fsspec
from fsspec.implementations import dirfs, local

from imat_jax.runtime import files

ROOT = 'IMAT_JAX_TEST_BUCKETS'


class Disk(local.LocalFileSystem):
  """What the fake stands for."""

  def put_file(self, path1, path2, **kwargs):
    self._act('put', path2)
    # Whole or not at all, as in a bucket.
    coming = pathlib.Path(os.environ[ROOT], '.coming', str(os.getpid()))
    coming.parent.mkdir(exist_ok=True)
    shutil.copyfile(path1, coming)
    slow = pathlib.Path(os.environ[ROOT], 'slow')
    if slow.exists():
      time.sleep(float(slow.read_text()))
    pathlib.Path(path2).parent.mkdir(parents=True, exist_ok=True)
    coming.replace(path2)

  def get_file(self, path1, path2, **kwargs):
    self._act('get', path1)
    super().get_file(path1, path2, **kwargs)

  def pipe_file(self, path, value, **kwargs):
    self._act('write', path)
    super().pipe_file(path, value, **kwargs)

  def cat_file(self, path, **kwargs):
    self._act('read', path)
    return super().cat_file(path, **kwargs)

  def rm_file(self, path):
    self._act('remove', path)
    super().rm_file(path)

  def find(self, path, **kwargs):
    self._act('list', path)
    return super().find(path, **kwargs)

  def _act(self, action: str, path: str) -> None:
    root = pathlib.Path(os.environ[ROOT])
    bucket = pathlib.Path(path).relative_to(root).parts[0]
    if not (root / bucket).is_dir():
      raise FileNotFoundError(bucket)
    done(action, path)
    with contextlib.suppress(FileNotFoundError):
      for line in (root / 'refuses').read_text().splitlines():
        refused, _, part = line.partition(' ')
        if refused == action and part in path:
          raise PermissionError('Access Denied')


def done(action: str, path: str) -> None:
  """Tests of this process replace it to see what is done, or to interfere."""


class Buckets(dirfs.DirFileSystem):
  """What fsspec takes for S3."""

  cachable = False

  def __init__(self, **kwargs):
    super().__init__(os.environ[ROOT], Disk(auto_mkdir=True), **kwargs)


@contextlib.contextmanager
def known(root: pathlib.Path) -> Iterator[pathlib.Path]:
  """Makes the stand-in known in this process; gives its only bucket."""
  (root / 'shop').mkdir()
  variables = {ROOT: str(root), 'XDG_CACHE_HOME': str(root / '.cache')}
  # Compiled programs stay where those of other tests are.
  variables['JAX_COMPILATION_CACHE_DIR'] = str(files.cache_folder())
  with mock.patch.dict(os.environ, variables):
    fsspec.register_implementation('s3', Buckets, clobber=True)
    yield root / 'shop'


def environment(root: pathlib.Path, cache: pathlib.Path) -> dict[str, str]:
  """The variables for another process; `cache` is its cache folder."""
  folder = root / '.installed' / 'bucket-1.dist-info'
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'METADATA').write_text('Name: bucket\nVersion: 1\n')
  (folder / 'entry_points.txt').write_text(
    '[fsspec.specs]\ns3=bucket:Buckets\n'
  )
  paths = folder.parent, pathlib.Path(__file__).parent
  return os.environ | {
    ROOT: str(root),
    'XDG_CACHE_HOME': str(cache),
    'PYTHONPATH': os.pathsep.join(map(str, paths)),
  }
