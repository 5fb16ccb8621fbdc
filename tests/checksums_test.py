"""A seal finds every kind of damage to every file."""

import json
import pathlib
import shutil

import pytest

from imat_jax.runtime import checksums

FILES = {'a': b'one', 'sub/b': b'two' * 100, 'sub/empty': b''}


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
  for name, content in FILES.items():
    path = tmp_path / 'sealed' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
  checksums.write(tmp_path / 'sealed')
  return tmp_path / 'sealed'


def test_a_complete_folder_verifies(folder):
  assert checksums.verify(folder) is None


@pytest.mark.parametrize('name', FILES)
def test_each_missing_file_is_named(folder, name):
  (folder / name).unlink()
  assert checksums.verify(folder) == f'{name} is missing'


@pytest.mark.parametrize('name', FILES)
def test_each_changed_file_is_named(folder, name):
  (folder / name).write_bytes(FILES[name] + b'\0')
  assert checksums.verify(folder) == f'{name} is damaged'


def test_a_truncated_file_is_named(folder):
  (folder / 'sub/b').write_bytes(FILES['sub/b'][:-1])
  assert checksums.verify(folder) == 'sub/b is damaged'


@pytest.mark.parametrize('name', ['.DS_Store', 'sub/._b', 'a~', 'new'])
def test_a_further_file_does_not_count(folder, name):
  (folder / name).write_bytes(b'Bud1')
  assert checksums.verify(folder) is None


@pytest.mark.parametrize('name', ['.DS_Store', 'sub/Thumbs.db', '@eaDir/a'])
def test_what_other_programs_leave_is_not_sealed(folder, name):
  """They change and remove it when they like."""
  path = folder / name
  path.parent.mkdir(exist_ok=True)
  path.write_bytes(b'Bud1')
  checksums.write(folder)
  path.unlink()
  assert checksums.verify(folder) is None


def test_such_a_file_in_a_seal_of_an_earlier_version_does_not_count(folder):
  sealed = json.loads((folder / 'SEAL.json').read_text())
  (folder / 'SEAL.json').write_text(json.dumps(sealed | {'.DS_Store': 'ab'}))
  assert checksums.verify(folder) is None


def test_an_impossible_file_name_is_reported(folder):
  (folder / 'SEAL.json').write_text(json.dumps({'a' * 300: 'ab'}))
  assert 'cannot be read' in checksums.verify(folder)


def test_without_a_seal_it_is_incomplete(folder):
  (folder / 'SEAL.json').unlink()
  assert 'not finished' in checksums.verify(folder)


@pytest.mark.parametrize(
  'text',
  ['', '{', '{}', '3', 'null', '[["a"]]', '[[3, "a"]]', '[' * 10**5, '\udcff'],
)
def test_a_broken_seal_is_named(folder, text):
  (folder / 'SEAL.json').write_bytes(text.encode(errors='surrogateescape'))
  assert checksums.verify(folder) is not None


def test_a_copy_verifies_like_the_original(folder, tmp_path):
  shutil.copytree(folder, tmp_path / 'copy')
  assert checksums.verify(tmp_path / 'copy') is None
