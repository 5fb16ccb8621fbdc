"""How far do the numbers of one seed part on other machines?

Trains the same run, with the same seed, where sums are taken in another order:
on one core, with the kernels of another instruction set or none of ours, with
XLA's code for an older CPU, and with a head more whose task has weight 0. Tells
by how much the first epoch's loss parts from that of the plain command, and
what the scores are in the end.

  python -m benchmarks.digits --data_dir=data/built --workdir=/tmp/digits
"""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

from imat_jax import config, flags, options, validators

ROOT = pathlib.Path(__file__).parents[1]
# By name: environment, flags.
VARIANTS = {
  'plain': ({}, ()),
  'again': ({}, ()),
  'one core': ({'NPROC': '1'}, ()),
  'kernels of AVX2': ({'OPENCV_CPU_DISABLE': 'AVX512-SKX'}, ()),
  'no kernels': ({}, ()),
  "XLA's code for AVX2": ({'XLA_FLAGS': '--xla_cpu_max_isa=AVX2'}, ()),
  'a head more': ({}, ('--tasks=apparel,age', '--task_weight_decay=0')),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Digits(options.Config):
  """Options of `benchmarks.digits`."""

  data_dir: str = config.folder('folder with the built data set')
  workdir: str = config.folder('folder of the runs')
  epochs: int = options.option('of each', 20, validators.at_least(1))
  seed: int = options.option('of all runs', 0)


def main(digits: Digits) -> None:
  """Trains and prints the table."""
  rows_by_name = {name: _rows(digits, name) for name in VARIANTS}
  plain = rows_by_name['plain']
  print(
    'variant               epoch 1: loss   parts by   last: accuracy   loss'
  )
  for name, rows in rows_by_name.items():
    first, last = rows[0]['train'], rows[-1]['validation']
    expected = plain[0]['train']['apparel']['loss']
    part = abs(first['apparel']['loss'] - expected) / expected
    print(
      f'{name:20} {first["apparel"]["loss"]:14.6f} {part:10.1e} '
      f'{last["apparel"]["accuracy"]:15.3f} {last["apparel"]["loss"]:8.3f}'
    )


def _rows(digits: Digits, name: str) -> list[dict]:
  environment, more = VARIANTS[name]
  folder = pathlib.Path(digits.workdir) / name.replace(' ', '_')
  code = ROOT
  if name == 'no kernels':
    code = folder.parent / 'code'
    for package in ('imat_jax', 'experiments'):
      shutil.copytree(
        *(ROOT / package, code / package),
        ignore=shutil.ignore_patterns('*.so', '__pycache__'),
        dirs_exist_ok=True,
      )
  subprocess.run(
    [
      *(sys.executable, '-m', 'experiments.public_3m', f'--workdir={folder}'),
      *(f'--data_dir={digits.data_dir}', f'--seed={digits.seed}'),
      *(f'--epochs={digits.epochs}', '--patience=1000', *more),
    ],
    check=True,
    cwd=code,
    env=os.environ | {'PYTHONPATH': str(code)} | environment,
    stdout=subprocess.DEVNULL,
  )
  lines = (folder / 'metrics.jsonl').read_text().splitlines()
  return list(map(json.loads, lines))


if __name__ == '__main__':
  flags.run(main, Digits)
