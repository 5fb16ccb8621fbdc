"""Lists of photos as shells, `find` and PowerShell write them."""

import io
import os
import sys

import pytest

from imat_jax import errors
from imat_jax.data import photo_files, photo_lists

NAMES = ['p/1.jpg', 'p/\xfc 2.jpg']
LINES = '\n'.join(NAMES) + '\n'


@pytest.mark.parametrize(
  'body',
  [
    LINES.encode(),
    LINES.encode().rstrip(),
    LINES.replace('\n', '\r\n\r\n').encode(),
    LINES.encode('utf-8-sig'),
    LINES.encode('utf-16'),
    LINES.replace('\n', '\r\n').encode('utf-16-le'),
    LINES.encode('utf-16-be'),
    LINES.replace('\n', '\0').encode(),
    LINES.replace('\n', '\0').encode('utf-8-sig'),
    b'\0'.join(name.encode() for name in NAMES),
  ],
)
def test_every_kind_of_list(body):
  assert photo_lists.entries(body) == NAMES


def test_names_with_line_breaks_and_of_one_letter():
  assert photo_lists.entries(b'a\0b\nc\0') == ['a', 'b\nc']
  assert photo_lists.entries(b'1\x002\x003\0') == ['1', '2', '3']


def test_names_are_any_bytes():
  assert os.fsencode(photo_lists.entries(b'\xff.jpg\n')[0]) == b'\xff.jpg'


def test_an_empty_list_has_nothing():
  for body in (b'', b'\r\n \n', b'\xff\xfe', b'\0'):
    assert photo_lists.entries(body) == []


@pytest.fixture
def collect(tmp_path, monkeypatch):
  """Collects in a folder with photos, with `body` on standard input."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('HOME', str(tmp_path / 'home'))
  for name in ('p/1.jpg', 'p/2.jpg', 'p/.3.jpg', 'home/4.jpg', '"5".jpg'):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b'')

  def collect(*paths, body=b'', skipped=None):
    stdin = io.TextIOWrapper(io.BytesIO(body))
    monkeypatch.setattr(sys, 'stdin', stdin)
    skipped = skipped or photo_files.Skipped()
    return list(photo_lists.collect(paths, skipped))

  return collect


@pytest.mark.parametrize(
  ('entry', 'paths'),
  [
    ('p', ['p/1.jpg', 'p/2.jpg']),  # a folder
    ('"p/1.jpg"', ['p/1.jpg']),
    (" 'p/1.jpg' ", ['p/1.jpg']),
    ('"5".jpg', ['"5".jpg']),  # the name of a file that is there
    ('p\\1.jpg', ['p/1.jpg']),
    ('p/none.jpg', ['p/none.jpg']),  # which is then said to be missing
  ],
)
def test_entries_of_a_list(collect, entry, paths):
  assert collect('-', body=entry.encode()) == paths


def test_a_home_folder_in_a_list(collect, tmp_path):
  assert collect('-', body=b'~/4.jpg') == [str(tmp_path / 'home/4.jpg')]


def test_arguments_and_a_list_keep_their_order(collect):
  paths = collect('b.jpg', '-', 'p', body=b'a.jpg')
  assert paths == ['b.jpg', 'a.jpg', 'p/1.jpg', 'p/2.jpg']


def test_skipped_files_are_counted(collect, tmp_path):
  (tmp_path / 'p/0.txt').write_text('no photo')
  (tmp_path / 'p/gone.jpg').symlink_to('nowhere')
  skipped = photo_files.Skipped()
  assert collect('p', skipped=skipped) == ['p/1.jpg', 'p/2.jpg']
  assert (skipped.count, skipped.first) == (2, 'p/0.txt')


def test_a_photo_instead_of_a_list_is_refused(collect):
  with pytest.raises(errors.UserError, match='standard input is a photo'):
    collect('-', body=b'\xff\xd8\xff\xe0\0\x10JFIF')


def test_a_folder_that_cannot_be_read_is_counted(collect, monkeypatch):
  scandir = os.scandir

  def denied(path):
    if path == 'p/locked':
      raise PermissionError(13, 'Permission denied', path)
    return scandir(path)

  os.mkdir('p/locked')
  monkeypatch.setattr(os, 'scandir', denied)
  skipped = photo_files.Skipped()
  assert collect('p', skipped=skipped) == ['p/1.jpg', 'p/2.jpg']
  assert (skipped.count, skipped.first) == (1, 'p/locked')
