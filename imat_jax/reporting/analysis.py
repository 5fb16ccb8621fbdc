"""The analysis of a study's runs, written as `study.json`.

A cell is a model with a task set; its runs differ in their seeds. Every cell is
compared, seed by seed, with the same model on the first task alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from imat_jax.reporting import (
  comparison,
  convergence,
  results,
  sparsity,
  statistics,
  strategies,
  verdict,
)
from imat_jax.reporting.comparison import Comparison
from imat_jax.reporting.results import Result
from imat_jax.study.grid import Cell, baseline

Analysis = Mapping[
  Cell, Sequence[Result]
]  # a cell's runs in the order of seeds

_FEW_SEEDS = 5  # below, intervals and tests mean little


def collect(
  runs_by_cell: Analysis, counts: Mapping[str, Any], margin: float
) -> dict[str, Any]:
  """Everything in `study.json` that follows from the runs.

  Args:
    runs_by_cell: the finished runs; each cell's first task is the compared one.
    counts: the `statistics.json` of the data set.
    margin: the smallest difference in accuracy that matters.

  Returns:
    for JSON: `task`, `margin`, `cells`, `comparisons`, `affinity`, `runs`,
    `verdict` and `warnings`; `strategies`, if the study has several, and
    `sparsity`, if it prunes.
  """
  task = next(iter(runs_by_cell)).tasks[0]
  names = compared(runs_by_cell)
  with_alone, of_strategies, rows, pruned, pruned_rows = [], [], [], [], []
  if num_labelled(runs_by_cell, task):
    with_alone = _compare_all(runs_by_cell, task, names)
    rows, of_strategies = strategies.compare(runs_by_cell, task, names)
    pruned_rows, pruned = sparsity.compare(runs_by_cell, names)
  comparison.judge([*with_alone, *of_strategies, *pruned], names, margin)
  facts = [c.facts for c in with_alone]
  return {
    'task': task,
    'margin': margin,
    'verdict': [
      *_verdict(runs_by_cell, task, facts, counts, margin),
      *sparsity.sentences(pruned_rows, task, margin),
    ],
    'warnings': _warnings(
      runs_by_cell, task, [c.facts for c in (*with_alone, *pruned)]
    ),
    'cells': [
      _describe(cell, runs, names) for cell, runs in runs_by_cell.items()
    ],
    'comparisons': facts,
    'affinity': [
      pair
      for cell, runs in runs_by_cell.items()
      for pair in results.affinity(cell.method, cell.tasks, runs)
    ],
    'runs': [
      _run(cell, r, names) for cell, runs in runs_by_cell.items() for r in runs
    ],
  } | {
    name: part
    for name, part in {'strategies': rows, 'sparsity': pruned_rows}.items()
    if part
  }


def compared(runs_by_cell: Analysis) -> dict[str, results.Score]:
  """The scores that all runs have; earlier ones may lack a later metric."""
  evaluations = [
    evaluation
    for runs in runs_by_cell.values()
    for result in runs
    for evaluation in result.evaluation['tasks'].values()
    if evaluation['count']
  ]
  return {
    name: score
    for name, score in results.compared().items()
    if all(evaluation.get(name) is not None for evaluation in evaluations)
  }


def _describe(
  cell: Cell, runs: Sequence[Result], names: comparison.Scores
) -> dict[str, Any]:
  return {
    **comparison.describe_method(cell),
    'seeds': [r.run.seed for r in runs],
    'num_params': runs[0].num_params,
    'epochs': [len(r.rows) for r in runs],
    'seconds': [round(sum(row['seconds'] for row in r.rows), 1) for r in runs],
    'scores': {
      task: _describe_task([r.evaluation['tasks'][task] for r in runs], names)
      for task in cell.tasks
    },
  }


def _describe_task(
  evaluations: Sequence[Mapping[str, Any]], names: comparison.Scores
) -> dict[str, Any]:
  """A task's scores with their intervals, and its means per label."""
  if not evaluations[0]['count']:
    return {'count': 0}
  per_label = ('precision', 'recall', 'f1')
  return {
    'count': evaluations[0]['count'],
    'labels': evaluations[0]['labels'],
    'support': evaluations[0]['support'],
    **{
      name: np.mean(
        [evaluation[name] for evaluation in evaluations], 0
      ).tolist()
      for name in per_label
    },
    **{
      name: comparison.summary(
        [evaluation[name] for evaluation in evaluations], score.bounds
      )
      for name, score in names.items()
    },
  }


def _compare_all(
  runs_by_cell: Analysis, task: str, names: comparison.Scores
) -> list[Comparison]:
  """Each cell with the task alone."""
  pairs = {cell: baseline(list(runs_by_cell), cell) for cell in runs_by_cell}
  comparisons = [
    comparison.compare(
      cell, runs_by_cell[cell], runs_by_cell[alone], task, names
    )
    for cell, alone in pairs.items()
    if alone
  ]
  return [c for c in comparisons if c]


def num_labelled(runs_by_cell: Analysis, task: str) -> int:
  """Photos of the reported split with a label of the task."""
  return next(iter(runs_by_cell.values()))[0].evaluation['tasks'][task]['count']


def _run(cell: Cell, result: Result, names: Iterable[str]) -> dict[str, Any]:
  evaluation = result.evaluation
  return {
    **comparison.describe_method(cell),
    'seed': result.run.seed,
    'epochs': len(result.rows),
    'best_epoch': evaluation['epoch'],
    'stopped_early': evaluation['stopped_early'],
    'seconds': round(sum(row['seconds'] for row in result.rows), 1),
    'scores': {
      task: {name: evaluation['tasks'][task].get(name) for name in names}
      for task in cell.tasks
    },
    'total': [row['total'] for row in result.rows],
  }


def _split(runs_by_cell: Analysis) -> str:
  """Whose photos all runs were evaluated on."""
  return next(iter(runs_by_cell.values()))[0].evaluation['split']


def _verdict(
  runs_by_cell: Analysis,
  task: str,
  comparisons: Sequence[Mapping[str, Any]],
  counts: Mapping[str, Any],
  margin: float,
) -> list[str]:
  if not comparisons:
    return []
  alone = {
    cell: [r.evaluation['tasks'][task] for r in runs]
    for cell, runs in runs_by_cell.items()
    if cell.tasks == (task,)
  }
  commonest = results.commonest_accuracy(
    task, next(iter(alone.values()))[0], counts
  )
  means = [np.mean([e[results.MAIN] for e in of]) for of in alone.values()]
  return verdict.sentences(
    task, comparisons, means, commonest, margin, _split(runs_by_cell)
  )


def _warnings(
  runs_by_cell: Analysis, task: str, comparisons: Sequence[Mapping[str, Any]]
) -> list[str]:
  """Where the numbers cannot support a conclusion."""
  warnings = []
  if not num_labelled(runs_by_cell, task):
    warnings.append(f'no {_split(runs_by_cell)} photo has a label for {task}')
  fewest = min((len(c['seeds']) for c in comparisons), default=_FEW_SEEDS)
  if fewest < _FEW_SEEDS:
    warnings.append(
      f'{fewest} seed{"s" * (fewest > 1)}: too few for intervals and tests to '
      f'rely on; train {_FEW_SEEDS} or more'
    )
  falling = []
  for cell, runs in runs_by_cell.items():
    slope = _slope(cell.tasks[0], runs)
    if slope and convergence.still_falls(slope, runs[0].run.stopping.min_delta):
      falling.append(
        f'{cell} by {-slope.mean:.4f} an epoch ({-slope.high:.4f} to '
        f'{-slope.low:.4f})'
      )
  if falling:
    warnings.append(
      'the validation loss still falls where training ends, so more epochs may '
      f'change the result: {"; ".join(falling)}'
    )
  return warnings


def _slope(task: str, runs: Sequence[Result]) -> statistics.Interval | None:
  """Of a task's validation loss; none where an epoch has none."""
  curves = [
    [row['validation'][task]['loss'] for row in result.rows] for result in runs
  ]
  if any(loss is None for curve in curves for loss in curve):
    return None
  return convergence.slope(curves)
