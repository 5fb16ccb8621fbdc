"""Whether a comparison hangs on which epoch is kept.

The epoch is chosen on validation photos, and a chosen epoch flatters. So each
comparison is repeated for other choices, all from the scores that every epoch
has on the validation photos.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from imat_jax.reporting import analysis, comparison, results
from imat_jax.reporting.results import Result
from imat_jax.study.grid import baseline

# A run's row of metrics.jsonl, chosen by a rule.
Rule = Callable[[Result], Mapping[str, Any]]


def compare(runs_by_cell: analysis.Analysis) -> list[dict[str, Any]]:
  """Each comparison's differences in accuracy, by the choice of the epoch.

  Args:
    runs_by_cell: the finished runs; each cell's first task is the compared one.

  Returns:
    a row per comparison and rule: the cell, `epochs` (the rule), and the mean
    difference with its interval over the seeds that both cells have; none
    where no validation photo has a label of the task.
  """
  task = next(iter(runs_by_cell)).tasks[0]
  runs = list(itertools.chain(*runs_by_cell.values()))
  if any(
    _of(r.rows[-1], task)['loss'] is None for r in runs if task in r.run.tasks
  ):
    return []
  rows = []
  for cell, of_cell in runs_by_cell.items():
    alone = baseline(list(runs_by_cell), cell)
    if alone is None:
      continue
    base = {r.run.seed: r for r in runs_by_cell[alone]}
    pairs = [(r, base[r.run.seed]) for r in of_cell if r.run.seed in base]
    for name, rule in _rules(task, runs).items():
      difference_S = [
        _of(rule(r), task)[results.MAIN] - _of(rule(b), task)[results.MAIN]
        for r, b in pairs
      ]
      if pairs:
        rows.append(
          comparison.describe_method(cell)
          | {'epochs': name}
          | comparison.summary(difference_S)
        )
  return rows


def _rules(task: str, runs: list[Result]) -> dict[str, Rule]:
  last_of_all = min(len(r.rows) for r in runs)
  rules = {
    'kept': lambda r: r.rows[r.evaluation['epoch'] - 1],
    f'lowest loss of {task}': lambda r: min(
      r.rows, key=lambda row: _of(row, task)['loss']
    ),
    'lowest total loss': lambda r: min(
      r.rows, key=lambda row: row['total']['validation']
    ),
    'last': lambda r: r.rows[-1],
  }
  if last_of_all < max(len(r.rows) for r in runs):  # one stopped early
    rules[f'{last_of_all}, the last that all have'] = lambda r: r.rows[
      last_of_all - 1
    ]
  return rules


def _of(row: Mapping[str, Any], task: str) -> Mapping[str, Any]:
  return row['validation'][task]
