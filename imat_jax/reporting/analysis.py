"""What a study found: `study.json`, made of its runs' results.

A cell is a model with a task set; its runs differ in their seeds. Every cell is
compared, seed by seed, with the same model on the first task alone.
"""

import collections
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imat_jax.reporting import statistics
from imat_jax.reporting.results import Result
from imat_jax.study.grid import Cell, baseline

# Which scores are compared, and in which direction they are better.
SCORES = {'accuracy': 1, 'loss': -1, 'macro_f1': 1, 'weighted_f1': 1}
# The one that decides; the others stand beside it.
MAIN = 'accuracy'

Analysis = Mapping[
  Cell, Sequence[Result]
]  # a cell's runs in the order of seeds


def collect(found: Analysis) -> dict[str, Any]:
  """All that follows from the results.

  Args:
    found: the finished runs; each cell's first task is the compared one.

  Returns:
    what JSON can hold: `task`, `cells`, `comparisons`, `affinity`, `runs`,
    `verdict` and `warnings`.
  """
  task = next(iter(found)).tasks[0]
  comparisons = _compare_all(found, task)
  return {
    'task': task,
    'verdict': _verdict(task, comparisons),
    'warnings': _warnings(found, task, comparisons),
    'cells': [_describe(cell, runs) for cell, runs in found.items()],
    'comparisons': comparisons,
    'affinity': [
      a for cell, runs in found.items() for a in _affinity(cell, runs)
    ],
    'runs': [_run(cell, r) for cell, runs in found.items() for r in runs],
  }


def confusion_matrix(runs: Sequence[Result], task: str) -> np.ndarray:
  """The counts of all runs together."""
  found = [r.evaluation['tasks'][task]['confusion_matrix'] for r in runs]
  return np.sum(found, 0)


def _describe(cell: Cell, runs: Sequence[Result]) -> dict[str, Any]:
  return {
    'model': cell.model,
    'tasks': list(cell.tasks),
    'seeds': [r.run.seed for r in runs],
    'num_params': runs[0].num_params,
    'epochs': [len(r.rows) for r in runs],
    'seconds': [round(sum(row['seconds'] for row in r.rows), 1) for r in runs],
    'scores': {
      task: _describe_task([r.evaluation['tasks'][task] for r in runs])
      for task in cell.tasks
    },
  }


def _describe_task(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Of one task: each score with its interval; means per label."""
  if not found[0]['count']:
    return {'count': 0}
  per_label = ('precision', 'recall', 'f1')
  return {
    'count': found[0]['count'],
    'labels': found[0]['labels'],
    'support': found[0]['support'],
    **{
      name: np.mean([f[name] for f in found], 0).tolist() for name in per_label
    },
    **{name: _summary([f[name] for f in found]) for name in SCORES},
  }


def _summary(value_S: Sequence[float]) -> dict[str, Any]:
  interval = statistics.bca_interval(value_S)
  deviation = np.std(value_S, ddof=1) if len(value_S) > 1 else math.nan
  return _plain(interval) | {
    'standard_deviation': _number(deviation),
    'values': list(value_S),
  }


def _compare_all(found: Analysis, task: str) -> list[dict[str, Any]]:
  if not _num_labelled(found, task):
    return []
  comparisons = [
    _compare(cell, runs, found[alone], task)
    for cell, runs in found.items()
    if (alone := baseline(list(found), cell)) is not None
  ]
  comparisons = [c for c in comparisons if c['seeds']]
  for model in dict.fromkeys(c['model'] for c in comparisons):
    of_model = [c['scores'] for c in comparisons if c['model'] == model]
    for name, sign in SCORES.items():
      corrected = statistics.holm([s[name]['p_value'] for s in of_model])
      for scores, p_value in zip(of_model, corrected, strict=True):
        scores[name]['p_holm'] = p_value
        scores[name]['verdict'] = statistics.verdict(
          sign * scores[name]['mean'], p_value
        )
  return comparisons


def _num_labelled(found: Analysis, task: str) -> int:
  return next(iter(found.values()))[0].evaluation['tasks'][task]['count']


def _compare(
  cell: Cell, runs: Sequence[Result], alone: Sequence[Result], task: str
) -> dict[str, Any]:
  """A cell less its model on the task alone, over the seeds that both have."""
  base = {r.run.seed: r for r in alone}
  pairs = [(r, base[r.run.seed]) for r in runs if r.run.seed in base]
  compared = {
    'model': cell.model,
    'tasks': list(cell.tasks),
    'seeds': [r.run.seed for r, _ in pairs],
  }
  if not pairs:
    return compared
  scores = {}
  for name in SCORES:
    difference_S = [
      with_.evaluation['tasks'][task][name]
      - without.evaluation['tasks'][task][name]
      for with_, without in pairs
    ]
    scores[name] = _summary(difference_S) | {
      'p_value': statistics.sign_flip_p_value(difference_S)
    }
  right_SxN = [(_right(r, task), _right(b, task)) for r, b in pairs]
  per_seed = [statistics.mcnemar(r, b)._asdict() for r, b in right_SxN]
  apart_SxN = np.array([r.astype(int) - b for r, b in right_SxN])
  return compared | {
    'scores': scores,
    'photos': {
      'two_level': _plain(statistics.two_level_interval(apart_SxN)),
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
  """Whether each photo that has a label of the task is told, N."""
  column = result.task_set.names.index(task)
  label_N = result.guesses.label[:, column]
  right_N = result.guesses.guess[:, column] == label_N
  return right_N[label_N >= 0]


def _differs(found: Mapping[str, Any]) -> bool:
  return found['p_value'] < statistics.ALPHA


def _affinity(cell: Cell, runs: Sequence[Result]) -> list[dict[str, Any]]:
  """For each pair of tasks the mean cosine over the seeds, epoch by epoch."""
  values = collections.defaultdict(list)
  for r in runs:
    for row in r.rows:
      for pair in row['cosines']:
        # Their order is that of the group, which another start may change.
        names = tuple(sorted(pair['tasks'], key=cell.tasks.index))
        values[names, row['epoch']].append(pair['cosine'])
  pairs = dict.fromkeys(pair for pair, _ in values)
  return [
    {
      'model': cell.model,
      'tasks': list(cell.tasks),
      'pair': list(pair),
      'epochs': [epoch for p, epoch in values if p == pair],
      'cosine': [
        float(np.mean(v)) for (p, _), v in values.items() if p == pair
      ],
    }
    for pair in pairs
  ]


def _run(cell: Cell, result: Result) -> dict[str, Any]:
  evaluation = result.evaluation
  return {
    'model': cell.model,
    'tasks': list(cell.tasks),
    'seed': result.run.seed,
    'epochs': len(result.rows),
    'best_epoch': evaluation['epoch'],
    'stopped_early': evaluation['stopped_early'],
    'seconds': round(sum(row['seconds'] for row in result.rows), 1),
    'scores': {
      task: {name: evaluation['tasks'][task][name] for name in SCORES}
      for task in cell.tasks
    },
    'total': [row['total'] for row in result.rows],
  }


def _verdict(task: str, comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
  """Two sentences: which tasks change the accuracy, which may not."""
  if not comparisons:
    return []
  by_set = collections.defaultdict(list)
  for compared in comparisons:
    by_set[' and '.join(compared['tasks'][1:])].append(compared['scores'][MAIN])
  said, silent, what = [], [], f'the accuracy of {task}'
  for added, found in by_set.items():
    for word, verb in (('better', 'raises'), ('worse', 'lowers')):
      these = [s['mean'] for s in found if s['verdict'] == word]
      if these:
        object_ = 'it' if said else what
        said.append(f'{added} {verb} {object_}{_of_models(these, found)}')
    if all(s['verdict'] == statistics.SILENT for s in found):
      silent.append(added)
  if said:
    first = f'Learned beside {task}, {"; ".join(said)}'
  else:
    first = f'No added task is shown to change {what}'
  if silent:
    second = f'For {_join(silent)} there is no evidence either way'
  else:
    second = 'So every added task has an effect'
  return [f'{first}.', f'{second}.']


def _of_models(these: Sequence[float], found: Sequence[Any]) -> str:
  """By how much, and in how many of the models."""
  low, high = sorted((abs(min(these)), abs(max(these))))
  by = (
    f'{low:.3f}'
    if f'{low:.3f}' == f'{high:.3f}'
    else f'{low:.3f} to {high:.3f}'
  )
  models = f' in {len(these)} of {len(found)} models' if len(found) > 1 else ''
  return f' by {by}{models}'


def _join(names: Sequence[str]) -> str:
  return ' and '.join(filter(None, [', '.join(names[:-1]), names[-1]]))


def _warnings(
  found: Analysis, task: str, comparisons: Sequence[Mapping[str, Any]]
) -> list[str]:
  """Where the numbers cannot carry what a reader may want of them."""
  warnings = []
  if not _num_labelled(found, task):
    warnings.append(f'no validation photo has a label for {task}')
  models = collections.Counter(c['model'] for c in comparisons)
  for model, number in models.items():
    seeds = min(len(c['seeds']) for c in comparisons if c['model'] == model)
    least = statistics.smallest_p_value(seeds, number)
    if least >= statistics.ALPHA:
      wanted = seeds
      while statistics.smallest_p_value(wanted, number) >= statistics.ALPHA:
        wanted += 1
      warnings.append(
        f'{model}: {seeds} seeds cannot reach p < 0.05 in {number} '
        f'comparisons, whatever the effect; {wanted} can'
      )
  for cell, runs in found.items():
    judged = [r for r in runs if r.rows[-1]['total']['validation'] is not None]
    best = sum(r.evaluation['epoch'] == r.run.epochs for r in judged)
    if 2 * best > len(runs):
      warnings.append(
        f'{cell}: the last epoch was the best of {best} of {len(runs)} runs; '
        'more epochs may help'
      )
  return warnings


def _plain(interval: statistics.Interval) -> dict[str, float | None]:
  """JSON has no NaN."""
  return {name: _number(x) for name, x in interval._asdict().items()}


def _number(value: float) -> float | None:
  return None if math.isnan(value) else float(value)
