"""The folders of a study's runs, whatever its tasks are named."""

import pathlib

import pytest

from imat_jax.study import grid
from imat_jax.study.config import Study

STUDY = Study(data_dir='d', workdir='w')


def _folder(*names: str) -> pathlib.Path:
  return pathlib.Path(grid.run_folder(STUDY, grid.Cell('m', names), 0))


@pytest.mark.parametrize(
  ('names', 'folder'),
  [
    (('apparel', 'color'), 'apparel+color'),
    (('pants:length', 'a/b'), 'pants%3Alength+a%2Fb'),
    (('цвет',), '%D1%86%D0%B2%D0%B5%D1%82'),
  ],
)
def test_names_of_earlier_versions_stay(names, folder):
  """A study that was started with one of those resumes."""
  assert _folder(*names) == pathlib.Path('w/runs/m', folder, 'seed_0')


@pytest.mark.parametrize(
  'name', ['.', '..', '.hidden', 'con', 'NUL.x', 'end.', 'COM1']
)
def test_a_name_leads_nowhere_else(name):
  folder = _folder(name)
  assert folder.parts[:3] == ('w', 'runs', 'm')
  part = folder.parts[3]
  assert len(folder.parts) == 5 and part.startswith(('%', 'end%2E'))


def test_sets_that_begin_alike_have_folders_of_their_own():
  many = [f'признак номер {i}' for i in range(9)]
  folders = {_folder(*many, last) for last in ('ряд', 'рядом', 'ряды')}
  assert len(folders) == 3
  assert max(len(f.parts[3].encode()) for f in folders) <= 200
