"""The comparison of a study's strategies with each other."""

import collections
from typing import Any

import numpy as np

from imat_jax.reporting import analysis, results, statistics
from imat_jax.reporting.analysis import Analysis
from imat_jax.study.grid import Cell


def compare(runs_by_cell: Analysis) -> dict[str, Any]:
  """`strategies` of `study.json`; nothing where a study has only one.

  Each is compared with the weighted sum that is best on the compared task, so
  with one whose weight was chosen in its own favour. Holm's correction is over
  all of a model.
  """
  names = analysis.compared(runs_by_cell)
  task = next(iter(runs_by_cell)).tasks[0]
  if not analysis.num_labelled(runs_by_cell, task):
    return {}
  rows, tested = [], collections.defaultdict(list)
  for cell, runs in runs_by_cell.items():
    if not cell.strategy:
      continue
    reference = _best_weighted_sum(runs_by_cell, cell, task)
    row = analysis.describe_method(cell) | {
      'strategy': cell.strategy,
      'against': reference.strategy,
      'change': _mean_change(runs_by_cell, cell),
    }
    if cell != reference:
      row |= analysis.compare(cell, runs, runs_by_cell[reference], task, names)
      tested[cell.model].append(row['scores'][results.MAIN])
    rows.append(row)
  for of_model in tested.values():
    corrected = statistics.holm([scores['p_value'] for scores in of_model])
    for scores, p_value in zip(of_model, corrected, strict=True):
      scores['p_holm'] = p_value
      scores['verdict'] = statistics.verdict(scores['mean'], p_value)
  return {'strategies': rows} if rows else {}


def _best_weighted_sum(runs_by_cell: Analysis, cell: Cell, task: str) -> Cell:
  """Of the same model and tasks, by the mean score of the task."""
  means = {
    other: np.mean([r.evaluation['tasks'][task][results.MAIN] for r in runs])
    for other, runs in runs_by_cell.items()
    if other.strategy.startswith('weighted_sum')
    and (other.model, other.tasks) == (cell.model, cell.tasks)
  }
  return max(means, key=means.get)


def _mean_change(runs_by_cell: Analysis, cell: Cell) -> dict[str, Any]:
  """The mean over tasks of the relative change of the score to the task alone.

  Δm of Maninis et al., "Attentive single-tasking of multiple tasks" (2019),
  seed by seed; of tasks with a labelled photo.
  """
  change_SxT = []
  for number, with_ in enumerate(runs_by_cell[cell]):
    changes = []
    for task in cell.tasks:
      alone = runs_by_cell[Cell(cell.model, (task,))][number]
      before, after = (
        r.evaluation['tasks'][task].get(results.MAIN) for r in (alone, with_)
      )
      if before:
        changes.append((after - before) / before)
    change_SxT.append(np.mean(changes))
  return analysis.summary(change_SxT)
