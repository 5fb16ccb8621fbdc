"""The comparison of a study's strategies with each other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imat_jax.reporting import comparison, results
from imat_jax.reporting.comparison import Comparison
from imat_jax.reporting.results import Result
from imat_jax.study.grid import Cell


def compare(
  runs_by_cell: Mapping[Cell, Sequence[Result]],
  task: str,
  names: comparison.Scores,
) -> tuple[list[dict[str, Any]], list[Comparison]]:
  """`strategies` of `study.json`, and what of it is a comparison to judge.

  Each is compared with the weighted sum that is best on the compared task, so
  with one whose weight was chosen in its own favour.

  Returns:
    two lists, empty where a study has one strategy only.
  """
  rows, comparisons = [], []
  for cell, runs in runs_by_cell.items():
    if not cell.strategy:
      continue
    reference = _best_weighted_sum(runs_by_cell, cell, task)
    row = comparison.describe_method(cell)
    if cell != reference:
      compared = comparison.compare(
        cell, runs, runs_by_cell[reference], task, names
      )
      comparisons.append(compared)
      row = compared.facts
    row |= {
      'strategy': cell.strategy,
      'against': reference.strategy,
      'change': _mean_change(runs_by_cell, cell),
    }
    rows.append(row)
  return rows, comparisons


def _best_weighted_sum(
  runs_by_cell: Mapping[Cell, Sequence[Result]], cell: Cell, task: str
) -> Cell:
  """Of the same model and tasks, by the mean score of the task."""
  means = {
    other: np.mean([r.evaluation['tasks'][task][results.MAIN] for r in runs])
    for other, runs in runs_by_cell.items()
    if other.strategy.startswith('weighted_sum')
    and (other.model, other.tasks) == (cell.model, cell.tasks)
  }
  return max(means, key=means.get)


def _mean_change(
  runs_by_cell: Mapping[Cell, Sequence[Result]], cell: Cell
) -> dict[str, Any]:
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
  return comparison.summary(change_SxT)
