"""Untrusted names, errors that name the user's file, and caches."""

import os
import pathlib
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imat_jax.runtime import files

NAMES = st.text(st.characters(codec='utf-8', exclude_characters='/\0'))


@given(NAMES)
def test_a_name_fits_into_a_folder(name):
  bounded = files.bounded_name(name)
  assert len(bounded.encode()) <= 200
  assert bounded == name or len(name.encode()) > 200


def test_long_names_stay_apart_and_readable():
  one, two = (files.bounded_name('%D0%BC' * 50 + end) for end in 'ab')
  assert one != two and one.startswith('%D0%BC%D0%BC')
  assert '%' not in one.rpartition('-')[0][-2:]  # no half of an escape


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
  (tmp_path / 'metrics.jsonl').mkdir()
  with pytest.raises(IsADirectoryError) as caught:
    files.write_text(tmp_path / 'metrics.jsonl', 'text')
  assert caught.value.filename == str(tmp_path / 'metrics.jsonl')
  assert [path.name for path in tmp_path.iterdir()] == ['metrics.jsonl']


@pytest.mark.parametrize('name', ['.DS_Store', '._a.jpg', 'Thumbs.db'])
def test_files_of_other_programs_are_foreign(name):
  assert files.is_foreign(name)
  assert not files.is_foreign('photo.jpg')


@pytest.fixture
def nobody(tmp_path, monkeypatch):
  """A user whose temporary folder is `tmp_path`, with no home to write in."""
  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  monkeypatch.setenv('HOME', '/dev/null')
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
  files.temporary_folder.cache_clear()
  yield
  files.temporary_folder.cache_clear()


@pytest.mark.usefixtures('nobody')
def test_the_cache_is_in_the_users_cache_folder(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert files.cache_folder() == tmp_path / '.cache/imat_jax'
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'here'))
  assert files.cache_folder() == tmp_path / 'here/imat_jax'
  monkeypatch.setenv('XDG_CACHE_HOME', 'relative')
  assert files.cache_folder() == tmp_path / '.cache/imat_jax'


@pytest.mark.usefixtures('nobody')
def test_without_a_writable_home_the_cache_is_temporary(tmp_path):
  folder = tmp_path / f'imat_jax-{os.getuid()}'
  assert files.cache_folder() == folder
  assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures('nobody')
def test_a_temporary_folder_of_another_is_not_used(tmp_path):
  """Compiled programs are read from there."""
  folder = tmp_path / f'imat_jax-{os.getuid()}'
  folder.mkdir()
  folder.chmod(0o777)
  other = files.cache_folder()
  assert other != folder
  assert other.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures('nobody')
def test_a_link_is_not_followed_there(tmp_path):
  target = tmp_path / 'target'
  target.mkdir(mode=0o700)
  pathlib.Path(tmp_path, f'imat_jax-{os.getuid()}').symlink_to(target)
  assert files.cache_folder() != tmp_path / f'imat_jax-{os.getuid()}'
