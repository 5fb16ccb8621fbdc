"""Temporary folders are removed: at the end, or by the next process."""

import subprocess
import sys

from imat_jax.runtime import scratch

HOLD = """
import pathlib, sys
from imat_jax.runtime import scratch
with scratch.folder(pathlib.Path(sys.argv[1]), '.work-') as folder:
  (folder / 'photo').write_text('x')
  print(folder, flush=True)
  sys.stdin.read()
"""


def _start(parent) -> subprocess.Popen:
  """A process that is at work in a folder, which exists when this returns."""
  process = subprocess.Popen(
    [sys.executable, '-c', HOLD, str(parent)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  process.stdout.readline()
  return process


def test_it_is_removed_at_the_end(tmp_path):
  with scratch.folder(tmp_path, '.work-') as folder:
    assert list(folder.iterdir()) == []
    (folder / 'photo').write_text('x')
  assert list(tmp_path.iterdir()) == []


def test_that_of_a_killed_process_is_removed_by_the_next(tmp_path):
  process = _start(tmp_path)
  process.kill()
  process.wait()
  assert len(list(tmp_path.iterdir())) == 1
  with scratch.folder(tmp_path, '.work-'):
    assert len(list(tmp_path.iterdir())) == 1


def test_that_of_a_living_process_stays(tmp_path):
  with _start(tmp_path) as process:
    with scratch.folder(tmp_path, '.work-'):
      assert len(list(tmp_path.glob('*/work/photo'))) == 1
    process.communicate('')
  assert list(tmp_path.iterdir()) == []


def test_folders_of_others_stay(tmp_path):
  for name in ('.work-mine/photos', '.other'):
    (tmp_path / name).mkdir(parents=True)
  with scratch.folder(tmp_path, '.work-'):
    pass
  assert {p.name for p in tmp_path.iterdir()} == {'.work-mine', '.other'}
