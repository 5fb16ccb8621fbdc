"""`python -m imat_jax` and `python -m experiments` list what there is."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def run(*command: str) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, '-X', 'importtime', '-m', *command],
    cwd=ROOT,
    env=os.environ | {'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
  )


@pytest.mark.parametrize('flag', [(), ('--help',)])
@pytest.mark.parametrize(
  ('package', 'name', 'summary'),
  [
    ('imat_jax', 'imat_jax.predict', 'Labels photos with a trained run.'),
    (
      *('imat_jax', 'imat_jax.data.build'),
      'Builds the TFDS data set from photos and sparse labels.',
    ),
    (
      *('experiments', 'experiments.study'),
      'Which extra attribute helps to tell the apparel class?',
    ),
  ],
)
def test_a_package_lists_its_commands(package, name, summary, flag):
  done = run(package, *flag)
  assert done.returncode == 0, done.stderr
  lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
  assert [name, summary] in lines
  assert ' jax\n' not in done.stderr  # of the modules that were imported


def test_every_listed_command_is_one():
  names = [
    line.split()[0]
    for package in ('imat_jax', 'experiments')
    for line in run(package).stdout.splitlines()
    if line.startswith('  ')
  ]
  assert len(names) == 25
  for name in names:
    module = ROOT / name.replace('.', '/')
    files = module.with_suffix('.py'), module / '__main__.py'
    assert any(path.is_file() for path in files)


def test_an_argument_is_a_wrong_flag():
  done = run('imat_jax', 'predict')
  assert done.returncode == 2
  last = done.stderr.splitlines()[-1]
  assert last.startswith("imat_jax: 'predict' is not a flag")
