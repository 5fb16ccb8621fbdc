"""Compares a study's scores with those of plain Keras.

  python -m benchmarks.parity --study=docs/studies/clothing/runs.zip \\
    --keras=keras.jsonl

`keras.jsonl` has what peers/keras_public_3m.py prints. Of our runs of public 3M
it takes the epoch that Keras would restore, that of the lowest validation loss
of all tasks. The runs have different photos in each step, so they are two
samples: a difference with Welch's 95% interval, and the smallest margin within
which two one-sided tests at 5% call them equivalent, the farther end of the 90%
interval.
"""

import argparse
import collections
import json
import math
import pathlib
import zipfile

import numpy as np
from scipy import stats

SCORES = {'accuracy': 'accuracy', 'macro_f1': 'macro_f1', 'loss': 'val_loss'}
MIN_DELTA = 0.001  # of Keras's early stopping


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--study', required=True, help='its runs.zip')
  parser.add_argument('--keras', required=True, nargs='+', type=pathlib.Path)
  flags = parser.parse_args()
  of_keras = collections.defaultdict(dict)
  for line in ''.join(path.read_text() for path in flags.keras).splitlines():
    if line.startswith('{"seed"'):
      run = json.loads(line)
      of_keras['+'.join(run['tasks'])][run['seed']] = run
  print('| tasks | score | ours | Keras | difference | equivalent within |')
  print('|---|---|---|---|---|---|')
  with zipfile.ZipFile(flags.study) as archive:
    for tasks, runs in of_keras.items():
      ours = [_ours(archive, tasks, seed) for seed in runs]
      for name, in_keras in SCORES.items():
        _compare(
          tasks,
          name,
          np.array([scores[name] for scores in ours]),
          np.array([run[in_keras] for run in runs.values()]),
        )


def _ours(archive: zipfile.ZipFile, tasks: str, seed: int) -> dict:
  path = f'runs/public_3m/{tasks}/seed_{seed}/metrics.jsonl'
  best, lowest = None, math.inf
  for row in map(json.loads, archive.read(path).splitlines()):
    if row['total']['validation'] < lowest - MIN_DELTA:
      best, lowest = row, row['total']['validation']
  return best['validation']['apparel']


def _compare(
  tasks: str, name: str, ours: np.ndarray, keras: np.ndarray
) -> None:
  test = stats.ttest_ind(ours, keras, equal_var=False)
  low, high = test.confidence_interval(0.95)
  bound = np.abs(test.confidence_interval(0.9)).max()
  print(
    f'| {tasks} | {name} | {_spread(ours)} | {_spread(keras)} | '
    f'{ours.mean() - keras.mean():.3f} ({low:.3f} to {high:.3f}) | '
    f'{bound:.3f} |'
  )


def _spread(values: np.ndarray) -> str:
  return f'{values.mean():.3f} ± {values.std(ddof=1):.3f}'


if __name__ == '__main__':
  main()
