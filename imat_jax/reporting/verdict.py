"""The verdict of a study in sentences, generated from its comparisons."""

from collections.abc import Mapping, Sequence
from typing import Any

from imat_jax.reporting import results, statistics

Facts = Mapping[str, Any]

_VERBS = {
  statistics.BETTER: 'raises',
  statistics.WORSE: 'lowers',
  statistics.SMALL: 'changes',
}


def sentences(
  task: str,
  comparisons: Sequence[Facts],
  alone: Sequence[float],
  commonest: float,
  margin: float,
  split: str,
) -> list[str]:
  """What is shown for each added set of tasks, and where it was measured.

  Args:
    task: the compared one.
    comparisons: of `study.json`, judged.
    alone: its accuracy without another task, a number per model.
    commonest: that of always predicting the commonest train label.
    margin: the smallest difference in accuracy that matters.
    split: whose photos they are.

  Returns:
    a sentence per added set and one about the task alone; none without a
    comparison.
  """
  if not comparisons:
    return []
  by_set = {}
  for comparison in comparisons:
    by_set.setdefault(tuple(comparison['tasks'][1:]), []).append(comparison)
  photos = comparisons[0]['photos']['count']
  seeds = sorted({len(c['seeds']) for c in comparisons})
  start = (
    f'On these {photos:,} {split} photos, over {_range(seeds, "d")} '
    f'seed{"s" * (seeds[-1] > 1)}, '
  )
  lines, beside, accuracy = [], task, f'the accuracy of {task}'
  for added, of_set in by_set.items():
    clauses = _clauses(of_set, accuracy, margin)
    if clauses[0].startswith(tuple(_VERBS.values())):
      accuracy = 'it'
    line = f'{start}learning {_join(added)} beside {beside} {_join(clauses)}.'
    lines.append(line[0].upper() + line[1:])
    start, beside = '', 'it'
  return [
    *lines,
    f'Alone, {task} has an accuracy of {_range(alone, ".3f")}; always '
    f'predicting the commonest train label would have {commonest:.3f}.',
  ]


def _clauses(
  comparisons: Sequence[Facts], accuracy: str, margin: float
) -> list[str]:
  """One per verdict that an added set has: what it does, in which models."""
  clauses = []
  for verdict in (*_VERBS, statistics.SILENT):
    group = [
      c for c in comparisons if c['scores'][results.MAIN]['verdict'] == verdict
    ]
    if not group:
      continue
    scores = [c['scores'][results.MAIN] for c in group]
    if verdict == statistics.SILENT:
      clause = f'gives {verdict}'
    elif verdict == statistics.SMALL:
      clause = f'changes {accuracy} by less than the margin of {margin:.3f}'
    else:
      clause = f'{_VERBS[verdict]} {accuracy} by {_size(scores)}'
    if verdict != statistics.SILENT:
      accuracy = 'it'
    clause += _models(group, comparisons)
    if verdict == statistics.SILENT:
      clause += _unseen(group)
    elif verdict != statistics.SMALL and all(
      s['within_margin'] for s in scores
    ):
      clause += f', less than the margin of {margin:.3f}'
    clauses.append(clause)
  return clauses


def _size(scores: Sequence[Facts]) -> str:
  """The differences without their sign, with their intervals."""
  size = _range([abs(s['mean']) for s in scores], '.3f')
  ends = [abs(s[end]) for s in scores for end in ('low', 'high') if s[end]]
  if not ends:
    return size
  several = 's within' if len(scores) > 1 else ''
  return f'{size} (95% interval{several} {min(ends):.3f} to {max(ends):.3f})'


def _models(group: Sequence[Facts], comparisons: Sequence[Facts]) -> str:
  """In how many of the models, or of what else was varied."""
  part, whole = len(group), len(comparisons)
  if whole == 1:
    return ''
  noun = 'models'
  if any('label_share' in c for c in comparisons):
    noun = 'amounts of labels'
  elif any('·' in c['model'] for c in comparisons):
    noun = 'methods'
  if part < whole:
    return f' in {part} of {whole} {noun}'
  return f' in both {noun}' if whole == 2 else f' in all {whole} {noun}'


def _unseen(group: Sequence[Facts]) -> str:
  """What would have been seen, where that is a possible difference."""
  sizes = [c['power']['detectable'] for c in group]
  if not all(size and size < 1 for size in sizes):
    return ''
  return f' (a difference below {_range(sizes, ".3f")} may be missed)'


def _range(values: Sequence[float], form: str) -> str:
  low, high = f'{min(values):{form}}', f'{max(values):{form}}'
  return low if low == high else f'{low} to {high}'


def _join(parts: Sequence[str]) -> str:
  return ' and '.join(filter(None, [', '.join(parts[:-1]), parts[-1]]))
