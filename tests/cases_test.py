"""Tables that were once rejected or misread."""

import collections
import pathlib
import shutil

import pytest
from own_test import counts, labels, run

from imat_jax import errors

CASES = pathlib.Path(__file__).resolve().parents[2] / 'shared/cases'
KIND = {'shirt': 12, 'shoe': 12}
COLOR = {'black': 4, 'blue': 8, 'white': 4}
BOTH = {'kind': KIND, 'color': COLOR}
# Case → its tasks with the photos of each label.
EXPECTED = {
  'blank-lines': BOTH,
  'column-capital': {'Kind': KIND, 'Color': COLOR},
  'column-image': BOTH,
  'label-spellings': {'kind': KIND, 'color': {'blue': 8, 'red': 8}},
  'latin1': {'kind': {'Hülle': 12, 'Schuh': 12}, 'color': COLOR},
  # Of the labels of color blue alone is left, which teaches nothing.
  'missing-spellings': {'kind': KIND},
  'one-hot': {'kind': KIND},
  'same-photo-twice': {'kind': KIND, 'color': COLOR | {'green': 1}},
  'semicolon': BOTH,
  'sku-and-price': BOTH,
  'split-words': BOTH,
  'tab': BOTH,
  'three-photos': {'kind': {'shirt': 2, 'shoe': 1}},
  'trailing-comma': BOTH,
  'unnamed-index': BOTH,
  'utf16': BOTH,
  'windows-paths': BOTH,
}


@pytest.fixture
def case(request, tmp_path) -> pathlib.Path:
  folder = CASES / request.param
  if not folder.is_dir():
    pytest.skip('needs the shared folder of cases')
  shutil.copytree(folder, tmp_path / 'case')
  return tmp_path / 'case'


def _table(case: pathlib.Path) -> str:
  (path,) = [path for path in case.iterdir() if path.suffix in ('.csv', '.tsv')]
  return path.name


@pytest.mark.parametrize(
  ('case', 'expected'), EXPECTED.items(), indirect=['case'], ids=EXPECTED
)
def test_a_table_is_read_as_it_is_meant(case, expected):
  run(case, _table(case))
  assert counts(case) == expected


@pytest.mark.parametrize('case', ['split-words'], indirect=True)
def test_words_of_splits(case):
  run(case, _table(case))
  splits = ('train', 'validation')
  sizes = collections.Counter({s: len(labels(case, s)) for s in splits})
  assert sizes == {'train': 12, 'validation': 12}


@pytest.mark.parametrize('case', ['too-many-commas'], indirect=True)
def test_a_row_with_too_many_commas(case):
  with pytest.raises(errors.UserError, match='line 26: .*--skip_bad_rows'):
    run(case, _table(case))
  output = run(case, _table(case), skip_bad_rows=True)
  assert counts(case) == BOTH
  assert 'bad rows skipped: 1' in output
