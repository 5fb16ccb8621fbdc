"""The scores in READMEs and docstrings are those of experiments/results.csv."""

import ast
import contextlib
import io
import json
import pathlib
import re

import numpy as np
import pytest

from experiments import results
from imat_jax import errors

ROOT = pathlib.Path(__file__).parents[1]
TABLE = ROOT / 'experiments/results.csv'
SCORE = re.compile(r'\b0\.\d{3}\b')


@pytest.fixture(scope='module')
def known() -> set[str]:
  """All numbers of the table, as texts show them."""
  cells = [
    number
    for row in results.read(TABLE)
    for name in ('mean', 'sd', 'low', 'high', 'p', 'by_seed')
    for number in row[name].split()
  ]
  return {f'{abs(float(number)):.3f}' for number in cells}


@pytest.mark.parametrize('path', sorted((ROOT / 'experiments').glob('*.py')))
def test_docstrings(path, known):
  text = ast.get_docstring(ast.parse(path.read_text())) or ''
  assert {*SCORE.findall(text)} <= known


@pytest.mark.parametrize('name', ['README.md', 'experiments/README.md'])
def test_tables(name, known):
  """But those of plain Keras, which is not ours."""
  tables = re.findall(r'(?:^\|.*\n)+', (ROOT / name).read_text(), re.M)
  ours = [text for text in tables if 'Keras' not in text]
  assert {*SCORE.findall('\n'.join(ours))} <= known


def test_another_table_stays(tmp_path):
  (tmp_path / 'shop.csv').write_text('name,price\nshoe,9\n')
  with pytest.raises(errors.UserError, match='not a table of results'):
    results.read(tmp_path / 'shop.csv')


def test_rows_are_of_runs(trained, tmp_path):
  table = tmp_path / 'results.csv'
  command = results.Results(paths=(trained,), name='mine', table=str(table))
  with contextlib.redirect_stdout(io.StringIO()):
    results.main(command)
    results.main(command)
  rows = {(row['task'], row['score']): row for row in results.read(table)}
  assert len(rows) == len(results.read(table)) == 2 * 5
  evaluation = json.loads(
    (pathlib.Path(trained) / 'evaluation.json').read_text()
  )
  for task, of_task in evaluation['tasks'].items():
    for score in ('accuracy', 'loss', 'macro_f1'):
      row = rows[task, score]
      np.testing.assert_allclose(float(row['mean']), of_task[score])
      assert (row['seeds'], row['sd']) == ('0', '')
    assert rows[task, 'accuracy']['options'] == (
      'epochs=2 batch_size=16 filters=2,3,4 shared_widths=8 head_widths=4'
    )
