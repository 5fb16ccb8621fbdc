"""Errors that prevent a run are reported before the program is loaded."""

import shutil
import subprocess
import sys

import pytest

# What takes seconds to import, and all that makes a device busy.
PROGRAM = 'imat_jax.train,imat_jax.study.sweep,orbax'
# Runs a command, as `python -m` would, without packages.
WITHOUT = """
import runpy, sys
absent, *sys.argv[:] = sys.argv[1:]
sys.modules.update(dict.fromkeys(absent.split(',')))
runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
"""


def _fail(command: str, absent: str = PROGRAM) -> str:
  """The one line that a command which cannot begin says."""
  done = subprocess.run(
    [sys.executable, '-c', WITHOUT, absent, *command.split()],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 1, done.stderr
  (line,) = done.stderr.splitlines()
  assert line.startswith(f'{command.split()[0]}: ')
  return line


@pytest.mark.parametrize('command', ['public_3m', 'study --dry_run'])
def test_a_folder_of_other_files(command, built, tmp_path):
  (tmp_path / 'notes.txt').write_text('mine')
  line = _fail(f'experiments.{command} --data_dir={built} --workdir={tmp_path}')
  assert f'{tmp_path}: has files of no run or study (notes.txt)' in line


@pytest.mark.parametrize(
  'command', ['public_3m --tasks=colr', 'study --task_sets=colr']
)
def test_a_typo(command, built, tmp_path):
  places = f'--data_dir={built} --workdir={tmp_path}/new'
  line = _fail(f'experiments.{command} {places}')
  assert 'colr' in line and 'color' in line
  assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('command', ['public_3m', 'study'])
def test_statistics_that_the_page_needs(command, built, tmp_path):
  copy = tmp_path / 'built'
  shutil.copytree(built, copy)
  (path,) = copy.rglob('statistics.json')
  path.write_text('{}')
  line = _fail(
    f'experiments.{command} --data_dir={copy} --workdir={tmp_path}/new'
  )
  assert 'statistics.json: damaged; build the data set again' in line


@pytest.mark.parametrize('package', ['wandb'])
def test_a_package(package, built, tmp_path):
  extra = package.lower().removesuffix('x')
  line = _fail(
    f'experiments.public_3m --data_dir={built} --workdir={tmp_path} --{extra}',
    f'{PROGRAM},{package}',
  )
  assert f"pip install 'imat_jax[{extra}]'" in line
