"""Paired comparisons of runs: two cells of a study, seed by seed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from imat_jax.reporting import power, results, statistics
from imat_jax.reporting.results import Result
from imat_jax.study.grid import Cell

Scores = Mapping[str, results.Score]


def describe_method(cell: Cell) -> dict[str, Any]:
  """How `study.json` names a cell."""
  named = {'model': cell.method, 'tasks': list(cell.tasks)}
  shares = {'label_share': list(cell.label_share)} if cell.label_share else {}
  return named | shares


def summary(
  value_S: Sequence[float], bounds: tuple[float, float] = (-math.inf, math.inf)
) -> dict[str, Any]:
  """The mean over seeds with its interval, the deviation and the values."""
  interval = statistics.interval(statistics.over_seeds(value_S), bounds)
  deviation = np.std(value_S, ddof=1) if len(value_S) > 1 else math.nan
  return _plain(interval) | {
    'standard_deviation': _number(deviation),
    'values': list(value_S),
  }


class Comparison(NamedTuple):
  """Two cells, seed by seed."""

  facts: dict[str, Any]  # for `study.json`
  difference_SxN: np.ndarray  # 1, 0 or -1 per seed and labelled photo


def compare(
  cell: Cell,
  runs: Sequence[Result],
  baseline_runs: Sequence[Result],
  task: str,
  names: Scores,
) -> Comparison | None:
  """A cell and its baseline, over their shared seeds; None without one."""
  base = {r.run.seed: r for r in baseline_runs}
  pairs = [(r, base[r.run.seed]) for r in runs if r.run.seed in base]
  if not pairs:
    return None
  scores = {}
  for name, score in names.items():
    difference_S = [
      with_.evaluation['tasks'][task][name]
      - without.evaluation['tasks'][task][name]
      for with_, without in pairs
    ]
    low, high = score.bounds
    scores[name] = summary(difference_S, (low - high, high - low)) | {
      'p_value': statistics.p_value(statistics.over_seeds(difference_S))
    }
  right_SxN = [(_right(r, task), _right(b, task)) for r, b in pairs]
  per_seed = [statistics.mcnemar(r, b)._asdict() for r, b in right_SxN]
  difference_SxN = np.array([r.astype(int) - b for r, b in right_SxN])
  both = statistics.over_seeds_and_photos(difference_SxN)
  facts = describe_method(cell) | {
    'seeds': [r.run.seed for r, _ in pairs],
    'scores': scores,
    'photos': {
      'count': difference_SxN.shape[1],
      'two_level': _plain(statistics.interval(both, (-1, 1)))
      | {'p_value': statistics.p_value(both)},
      'mcnemar': per_seed,
      'better': sum(
        _differs(m) and m['only_first'] > m['only_second'] for m in per_seed
      ),
      'worse': sum(
        _differs(m) and m['only_first'] < m['only_second'] for m in per_seed
      ),
    },
  }
  return Comparison(facts, difference_SxN)


def judge(
  comparisons: Sequence[Comparison], names: Scores, margin: float
) -> None:
  """Adds corrected p values, verdicts and power to the facts of a whole study.

  Holm's correction is over all its comparisons, of each score. For accuracy p
  is the larger of two: for other seeds on these photos, and for other seeds and
  other photos.

  Args:
    comparisons: all that the study makes.
    names: the scores.
    margin: the smallest difference in accuracy that matters.
  """
  number = len(comparisons)
  for name, score in names.items():
    rows = [c.facts['scores'][name] for c in comparisons]
    p_values, p_equivalences = [row['p_value'] for row in rows], [1.0] * number
    if name == results.MAIN:
      two_level = [c.facts['photos']['two_level'] for c in comparisons]
      p_values = np.maximum(p_values, [row['p_value'] for row in two_level])
      p_equivalences = statistics.holm(
        [_equivalence_p_value(c.difference_SxN, margin) for c in comparisons]
      )
    for row, p_holm, p_equivalence in zip(
      rows, statistics.holm(p_values), p_equivalences, strict=True
    ):
      row['p_holm'] = p_holm
      row['verdict'] = statistics.verdict(
        score.sign * row['mean'], p_holm, p_equivalence
      )
      if name == results.MAIN:
        row['p_equivalence'] = p_equivalence
        row['within_margin'] = p_equivalence < statistics.ALPHA
  for facts, difference_SxN in comparisons:
    facts['power'] = plan(difference_SxN, number, margin)


def plan(
  difference_SxN: np.ndarray, number: int, margin: float
) -> dict[str, Any]:
  """What a comparison can see, and what it would take.

  Args:
    difference_SxN: between two networks, per seed and photo.
    number: of comparisons in the study.
    margin: the smallest difference in accuracy that matters.

  Returns:
    `detectable`, the smallest difference that so many seeds and photos find
    with 80% probability, None where they do not tell; and `seeds`, how many
    make the comparison conclusive at the margin, None for more than
    `power.MOST_SEEDS` and where nothing tells.
  """
  if min(difference_SxN.shape) < 2 or not np.ptp(difference_SxN):
    return {'detectable': None, 'seeds': None}
  components = statistics.components(difference_SxN)
  error, dof = components.error(len(difference_SxN))
  return {
    'detectable': power.detectable(error, dof, number),
    'seeds': power.seeds_needed(components, margin, number),
  }


def _equivalence_p_value(difference_SxN: np.ndarray, margin: float) -> float:
  """The larger of two, as of the difference."""
  return max(
    statistics.equivalence_p_value(estimate, margin)
    for estimate in (
      statistics.over_seeds(difference_SxN.mean(1)),
      statistics.over_seeds_and_photos(difference_SxN),
    )
  )


def _right(result: Result, task: str) -> np.ndarray:
  """Whether each photo labelled for the task is classified correctly, N."""
  column = result.task_set.names.index(task)
  label_N = result.guesses.label[:, column]
  right_N = result.guesses.guess[:, column] == label_N
  return right_N[label_N >= 0]


def _differs(test: Mapping[str, Any]) -> bool:
  return test['p_value'] < statistics.ALPHA


def _plain(interval: statistics.Interval) -> dict[str, float | None]:
  """JSON has no NaN."""
  return {name: _number(x) for name, x in interval._asdict().items()}


def _number(value: float) -> float | None:
  return None if math.isnan(value) else float(value)
