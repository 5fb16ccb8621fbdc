"""The notebook runs from its first cell to its last."""

import pathlib

import nbclient
import nbformat
import pytest

TOUR = pathlib.Path(__file__).parents[1] / 'docs/tour.ipynb'
# Less of the same: every cell runs, on fewer photos and for fewer epochs.
SMALLER = {
  'train=600': 'train=130',
  'validation=200': 'validation=60',
  'epochs=10': 'epochs=2',
  'epochs=3': 'epochs=2',
  'seeds=3': 'seeds=2',
}


def _pictures(notebook) -> int:
  outputs = (o for cell in notebook.cells for o in cell.get('outputs', ()))
  return sum('image/png' in o.get('data', {}) for o in outputs)


@pytest.mark.timeout(900)
def test_the_tour_runs(tmp_path, monkeypatch):
  monkeypatch.setenv('TMPDIR', str(tmp_path))
  notebook = nbformat.read(TOUR, 4)
  before = _pictures(notebook)
  for old, new in SMALLER.items():
    (cell,) = (cell for cell in notebook.cells if old in cell.source)
    cell.source = cell.source.replace(old, new)
  nbclient.NotebookClient(
    notebook, timeout=600, resources={'metadata': {'path': str(TOUR.parent)}}
  ).execute()
  assert _pictures(notebook) == before > 5
  (root,) = tmp_path.glob('tour-*')
  assert (root / 'study/report.html').stat().st_size > 50_000
