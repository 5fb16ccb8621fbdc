"""The analysis of a study's runs, written as `study.json`.

A cell is a model with a task set; its runs differ in their seeds. Every cell is
compared, seed by seed, with the same model on the first task alone.
"""

import collections
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from imat_jax.reporting import results, statistics
from imat_jax.reporting.results import Result
from imat_jax.study.grid import Cell, baseline

Analysis = Mapping[
  Cell, Sequence[Result]
]  # a cell's runs in the order of seeds


def collect(runs_by_cell: Analysis) -> dict[str, Any]:
  """Everything in `study.json` that follows from the runs.

  Args:
    runs_by_cell: the finished runs; each cell's first task is the compared one.

  Returns:
    for JSON: `task`, `cells`, `comparisons`, `affinity`, `runs`,
    `verdict` and `warnings`.
  """
  task = next(iter(runs_by_cell)).tasks[0]
  names = compared(runs_by_cell)
  comparisons = _compare_all(runs_by_cell, task, names)
  return {
    'task': task,
    'verdict': _verdict(task, comparisons),
    'warnings': _warnings(runs_by_cell, task, comparisons),
    'cells': [
      _describe(cell, runs, names) for cell, runs in runs_by_cell.items()
    ],
    'comparisons': comparisons,
    'affinity': [
      pair
      for cell, runs in runs_by_cell.items()
      for pair in results.affinity(cell.method, cell.tasks, runs)
    ],
    'runs': [
      _run(cell, r, names) for cell, runs in runs_by_cell.items() for r in runs
    ],
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


def describe_method(cell: Cell) -> dict[str, Any]:
  """How `study.json` names a cell."""
  named = {'model': cell.method, 'tasks': list(cell.tasks)}
  shares = {'label_share': list(cell.label_share)} if cell.label_share else {}
  return named | shares


def _describe(
  cell: Cell, runs: Sequence[Result], names: Iterable[str]
) -> dict[str, Any]:
  return {
    **describe_method(cell),
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
  evaluations: Sequence[Mapping[str, Any]], names: Iterable[str]
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
      name: summary([evaluation[name] for evaluation in evaluations])
      for name in names
    },
  }


def summary(value_S: Sequence[float]) -> dict[str, Any]:
  """The mean over seeds with its interval, the deviation and the values."""
  interval = statistics.bca_interval(value_S)
  deviation = np.std(value_S, ddof=1) if len(value_S) > 1 else math.nan
  return _plain(interval) | {
    'standard_deviation': _number(deviation),
    'values': list(value_S),
  }


def _compare_all(
  runs_by_cell: Analysis, task: str, names: Mapping[str, results.Score]
) -> list[dict[str, Any]]:
  if not num_labelled(runs_by_cell, task):
    return []
  by_model = collections.defaultdict(list)
  for cell, runs in runs_by_cell.items():
    alone = baseline(list(runs_by_cell), cell)
    if alone is not None:
      comparison = compare(cell, runs, runs_by_cell[alone], task, names)
      if comparison['seeds']:
        by_model[cell.model].append(comparison)
  for of_model in by_model.values():
    model_scores = [c['scores'] for c in of_model]
    for name, (_, sign) in names.items():
      corrected = statistics.holm([s[name]['p_value'] for s in model_scores])
      for scores, p_value in zip(model_scores, corrected, strict=True):
        scores[name]['p_holm'] = p_value
        scores[name]['verdict'] = statistics.verdict(
          sign * scores[name]['mean'], p_value
        )
  return list(itertools.chain(*by_model.values()))


def num_labelled(runs_by_cell: Analysis, task: str) -> int:
  """Validation photos with a label of the task."""
  return next(iter(runs_by_cell.values()))[0].evaluation['tasks'][task]['count']


def compare(
  cell: Cell,
  runs: Sequence[Result],
  baseline_runs: Sequence[Result],
  task: str,
  names: Iterable[str],
) -> dict[str, Any]:
  """Paired differences of a cell and its baseline, over their shared seeds."""
  base = {r.run.seed: r for r in baseline_runs}
  pairs = [(r, base[r.run.seed]) for r in runs if r.run.seed in base]
  seeds = [r.run.seed for r, _ in pairs]
  comparison = describe_method(cell) | {'seeds': seeds}
  if not pairs:
    return comparison
  scores = {}
  for name in names:
    difference_S = [
      with_.evaluation['tasks'][task][name]
      - without.evaluation['tasks'][task][name]
      for with_, without in pairs
    ]
    scores[name] = summary(difference_S) | {
      'p_value': statistics.sign_flip_p_value(difference_S)
    }
  right_SxN = [(_right(r, task), _right(b, task)) for r, b in pairs]
  per_seed = [statistics.mcnemar(r, b)._asdict() for r, b in right_SxN]
  difference_SxN = np.array([r.astype(int) - b for r, b in right_SxN])
  return comparison | {
    'scores': scores,
    'photos': {
      'two_level': _plain(statistics.two_level_interval(difference_SxN)),
      'mcnemar': per_seed,
      'better': sum(
        _differs(m) and m['only_first'] > m['only_second'] for m in per_seed
      ),
      'worse': sum(
        _differs(m) and m['only_first'] < m['only_second'] for m in per_seed
      ),
    },
  }


def _right(result: Result, task: str) -> np.ndarray:
  """Whether each photo labelled for the task is classified correctly, N."""
  column = result.task_set.names.index(task)
  label_N = result.guesses.label[:, column]
  right_N = result.guesses.guess[:, column] == label_N
  return right_N[label_N >= 0]


def _differs(test: Mapping[str, Any]) -> bool:
  return test['p_value'] < statistics.ALPHA


def _run(cell: Cell, result: Result, names: Iterable[str]) -> dict[str, Any]:
  evaluation = result.evaluation
  return {
    **describe_method(cell),
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


def _verdict(task: str, comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
  """Two sentences: which tasks change the accuracy; which are inconclusive."""
  if not comparisons:
    return []
  by_set = collections.defaultdict(list)
  for comparison in comparisons:
    by_set[' and '.join(comparison['tasks'][1:])].append(
      comparison['scores'][results.MAIN]
    )
  clauses, inconclusive, metric = [], [], f'the accuracy of {task}'
  for added, scores in by_set.items():
    for word, verb in (('better', 'raises'), ('worse', 'lowers')):
      means = [s['mean'] for s in scores if s['verdict'] == word]
      if means:
        object_ = 'it' if clauses else metric
        clauses.append(f'{added} {verb} {object_}{_of_models(means, scores)}')
    if all(s['verdict'] == statistics.SILENT for s in scores):
      inconclusive.append(added)
  if clauses:
    first = f'Learned beside {task}, {"; ".join(clauses)}'
  else:
    first = f'No added task is shown to change {metric}'
  if inconclusive:
    second = f'For {_join(inconclusive)} there is no evidence either way'
  else:
    second = 'So every added task has an effect'
  return [f'{first}.', f'{second}.']


def _of_models(means: Sequence[float], scores: Sequence[Any]) -> str:
  """By how much, and in how many of the models."""
  low, high = sorted((abs(min(means)), abs(max(means))))
  by = (
    f'{low:.3f}'
    if f'{low:.3f}' == f'{high:.3f}'
    else f'{low:.3f} to {high:.3f}'
  )
  models = (
    f' in {len(means)} of {len(scores)} models' if len(scores) > 1 else ''
  )
  return f' by {by}{models}'


def _join(names: Sequence[str]) -> str:
  return ' and '.join(filter(None, [', '.join(names[:-1]), names[-1]]))


def _warnings(
  runs_by_cell: Analysis, task: str, comparisons: Sequence[Mapping[str, Any]]
) -> list[str]:
  """Where the numbers cannot support a conclusion."""
  warnings = []
  if not num_labelled(runs_by_cell, task):
    warnings.append(f'no validation photo has a label for {task}')
  model_of = {cell.method: cell.model for cell in runs_by_cell}
  seeds_by_model = collections.defaultdict(list)
  for comparison in comparisons:
    model = model_of[comparison['model']]
    seeds_by_model[model].append(len(comparison['seeds']))
  for model, numbers in seeds_by_model.items():
    seeds, number = min(numbers), len(numbers)
    smallest = statistics.smallest_p_value(seeds, number)
    if smallest >= statistics.ALPHA:
      needed = seeds
      while statistics.smallest_p_value(needed, number) >= statistics.ALPHA:
        needed += 1
      warnings.append(
        f'{model}: {seeds} seeds cannot reach p < 0.05 in {number} '
        f'comparisons, whatever the effect; {needed} can'
      )
  for cell, runs in runs_by_cell.items():
    evaluated = [
      r for r in runs if r.rows[-1]['total']['validation'] is not None
    ]
    last = sum(r.evaluation['epoch'] == r.run.epochs for r in evaluated)
    if 2 * last > len(runs):
      warnings.append(
        f'{cell}: the last epoch was the best of {last} of {len(runs)} runs; '
        'more epochs may help'
      )
  return warnings


def _plain(interval: statistics.Interval) -> dict[str, float | None]:
  """JSON has no NaN."""
  return {name: _number(x) for name, x in interval._asdict().items()}


def _number(value: float) -> float | None:
  return None if math.isnan(value) else float(value)
