"""Where caches lie, whoever the user is."""

import os
import pathlib
import tempfile

import pytest

from imat_jax import files


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
  """A user whose temporary folder is `tmp_path`, with no home to write in."""
  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  monkeypatch.setenv('HOME', '/dev/null')
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
  files.temporary_folder.cache_clear()
  yield
  files.temporary_folder.cache_clear()


def test_caches_lie_where_the_user_has_them(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert files.cache_folder() == tmp_path / '.cache/imat_jax'
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'here'))
  assert files.cache_folder() == tmp_path / 'here/imat_jax'
  monkeypatch.setenv('XDG_CACHE_HOME', 'relative')
  assert files.cache_folder() == tmp_path / '.cache/imat_jax'


def test_without_a_home_to_write_in_they_lie_in_a_temporary_folder(tmp_path):
  folder = tmp_path / f'imat_jax-{os.getuid()}'
  assert files.cache_folder() == folder
  assert folder.stat().st_mode & 0o777 == 0o700


def test_a_temporary_folder_of_another_is_not_used(tmp_path):
  """Compiled programs are read from there."""
  folder = tmp_path / f'imat_jax-{os.getuid()}'
  folder.mkdir()
  folder.chmod(0o777)
  other = files.cache_folder()
  assert other != folder
  assert other.stat().st_mode & 0o777 == 0o700


def test_a_link_is_not_followed_there(tmp_path):
  target = tmp_path / 'target'
  target.mkdir(mode=0o700)
  pathlib.Path(tmp_path, f'imat_jax-{os.getuid()}').symlink_to(target)
  assert files.cache_folder() != tmp_path / f'imat_jax-{os.getuid()}'
