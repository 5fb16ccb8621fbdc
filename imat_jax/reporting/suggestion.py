"""Which tasks to learn beside the first, from one run of all of them.

How little that says, `docs/study.md` has measured.
"""

import collections
from typing import Any

import numpy as np

from imat_jax.data import source
from imat_jax.reporting import results, statistics
from imat_jax.reporting.results import Result


def rank(result: Result) -> list[dict[str, Any]]:
  """The other tasks of a run that looked ahead, the most promising first.

  Returns:
    for each its `gain`, the mean share of the first task's validation loss
    that a step saves with it, `low` and `high` of the 95% interval over the
    steps, and beside them what else is asked of two tasks: the mean `cosine`
    of their gradients, where it was measured, and `information`.
  """
  gains = collections.defaultdict(list)
  for row in result.rows:
    for of_step in row.get('look_ahead', ()):
      for name, gain in of_step.items():
        gains[name].append(gain)
  if not gains:
    return []
  first, names = result.task_set.names[0], result.task_set.names
  cosines = collections.defaultdict(list)
  for pair in results.affinity('', names, [result]):
    if first in pair['pair']:
      (other,) = set(pair['pair']) - {first}
      cosines[other] += pair['cosine']
  examples = source.Source(result.run.data_dir, 'train', result.task_set)
  label_NxT = examples.label_NxT()
  rows = []
  for name, values in gains.items():
    interval = statistics.interval(statistics.over_seeds(values))
    rows.append(
      {
        'task': name,
        'steps': len(values),
        'gain': interval.mean,
        'low': interval.low,
        'high': interval.high,
        'cosine': np.mean(cosines[name]) if cosines[name] else None,
        'information': mutual_information(
          label_NxT[:, 0], label_NxT[:, names.index(name)]
        ),
      }
    )
  return sorted(rows, key=lambda row: -row['gain'])


def sentence(first: str, rows: list[dict[str, Any]]) -> str:
  """The proposed set: the first task with those whose interval is above 0."""
  helpers = [row['task'] for row in rows if row['low'] > 0]
  if helpers:
    names, seen = ' + '.join([first, *helpers]), f'these help {first}'
  else:
    names, seen = f'{first} alone', 'no task is seen to help it'
  return f'{names}: one step ahead {seen}; only a study tells.'


def mutual_information(label_N: np.ndarray, other_N: np.ndarray) -> float:
  """Of two tasks' labels, in bits, over the photos that have both."""
  both_N = (label_N >= 0) & (other_N >= 0)
  if not both_N.any():
    return 0.0
  _, row_M = np.unique(label_N[both_N], return_inverse=True)
  _, column_M = np.unique(other_N[both_N], return_inverse=True)
  share_KxL = np.zeros((row_M.max() + 1, column_M.max() + 1))
  np.add.at(share_KxL, (row_M, column_M), 1 / both_N.sum())
  independent_KxL = share_KxL.sum(1)[:, None] * share_KxL.sum(0)[None]
  ratio_KxL = np.where(share_KxL > 0, share_KxL / independent_KxL, 1)
  return float((share_KxL * np.log2(ratio_KxL)).sum())
