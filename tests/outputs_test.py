"""No file of the user is overwritten."""

import os

import pytest

from imat_jax import errors
from imat_jax.runtime import outputs


def test_what_a_command_wrote_it_may_replace(tmp_path):
  path = tmp_path / 'new' / 'a.txt'
  for text in ('one', 'two'):
    outputs.write_text(path, text)
  assert path.read_text() == 'two'


def test_a_file_of_the_users_stays(tmp_path):
  path = tmp_path / 'a.txt'
  path.write_text('mine')
  with pytest.raises(errors.UserError, match='did not write'):
    outputs.write_text(path, 'new')
  assert path.read_text() == 'mine'


def test_a_file_that_the_user_changed_stays(tmp_path):
  path = tmp_path / 'a.txt'
  outputs.write_text(path, 'ours')
  path.write_text('edited')
  with pytest.raises(errors.UserError, match='changed since'):
    outputs.write_text(path, 'new')
  assert path.read_text() == 'edited'


def test_a_file_of_another_command_stays(tmp_path, monkeypatch):
  path = tmp_path / 'train.json'
  for command in ('imat_jax.data.own', '', 'imat_jax.data.own'):
    monkeypatch.setattr(outputs, '_command', lambda c=command: c)
    outputs.write_text(path, 'photos')
  monkeypatch.setattr(outputs, '_command', lambda: 'imat_jax.submit')
  with pytest.raises(errors.UserError, match='did not write'):
    outputs.write_text(path, 'id,predicted')
  assert path.read_text() == 'photos'


def test_where_nothing_can_be_written_is_known_before(tmp_path):
  (tmp_path / 'file').write_text('')
  os.mkfifo(tmp_path / 'pipe')
  for name, complaint in (
    ('file/a.txt', 'the folder is not writable'),
    ('pipe', 'not a regular file'),
    ('.', 'is a folder'),
  ):
    with pytest.raises(errors.UserError, match=complaint):
      outputs.check(tmp_path / name)
  outputs.check(tmp_path / 'new/folder/a.txt')


def test_a_torn_record_does_not_matter(tmp_path):
  outputs.write_text(tmp_path / 'a.txt', 'one')
  with (tmp_path / outputs.RECORD).open('a') as file:
    file.write('{"name": "a.t\n[]\n')
  outputs.write_text(tmp_path / 'a.txt', 'two')


def test_a_file_of_a_version_without_a_record_is_adopted(tmp_path):
  path = tmp_path / 'a.txt'
  path.write_text('ours: old')
  outputs.adopt(path, lambda content: content.startswith(b'ours'))
  outputs.write_text(path, 'ours: new')
  path.write_text('ours: edited')  # the record knows it as another
  outputs.adopt(path, lambda content: content.startswith(b'ours'))
  with pytest.raises(errors.UserError, match='changed since'):
    outputs.check(path)


def test_a_file_of_the_users_is_not_adopted(tmp_path):
  path = tmp_path / 'a.txt'
  path.write_text('mine')
  outputs.adopt(path, lambda content: content.startswith(b'ours'))
  with pytest.raises(errors.UserError, match='did not write'):
    outputs.check(path)


@pytest.mark.parametrize(
  ('target', 'source', 'refused'),
  [
    ('a', 'a', True),
    ('a', 'a/b', True),
    ('a/b', 'a', True),
    ('link/b', 'a', True),  # a link to a
    ('a', 'ab', False),
    ('a/b', 'a/c', False),
  ],
)
def test_outputs_must_not_overlap_inputs(tmp_path, target, source, refused):
  (tmp_path / 'a').mkdir()
  (tmp_path / 'link').symlink_to('a')
  pair = {'--images': tmp_path / target}, {'--source': tmp_path / source}
  if not refused:
    outputs.check_apart(*pair)
    return
  with pytest.raises(errors.UserError, match='--images=.* overlap'):
    outputs.check_apart(*pair)
