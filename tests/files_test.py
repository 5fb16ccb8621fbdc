"""Names that come from data, and errors that name what the user knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imat_jax import files

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
def test_what_other_programs_leave_is_foreign(name):
  assert files.is_foreign(name)
  assert not files.is_foreign('photo.jpg')
