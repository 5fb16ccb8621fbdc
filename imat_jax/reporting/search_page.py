"""The page of a search, `report.html`."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imat_jax import options
from imat_jax.reporting import html, statistics
from imat_jax.runtime import files
from imat_jax.study.search_config import Finalist, Search, Trial


def write(
  search: Search,
  trials: Sequence[Trial],
  finalists: Sequence[Finalist],
  importances: Mapping[str, float],
  best_flags: pathlib.Path,
) -> str:
  """Writes the page and `search.csv`; returns what to print.

  Args:
    search: its config.
    trials: those that have ended.
    finalists: the options as given first.
    importances: of the options, see `study.search`.
    best_flags: the file with the best ones.
  """
  from imat_jax.reporting import search_charts  # altair: a second

  root = pathlib.Path(search.workdir)
  rows = compare(finalists, search.objective[0])
  lines = verdict(rows, search)
  figures = {
    'slices': search_charts.slices(
      trials, search.dimensions, search.objective[0]
    ),
    'finalists': search_charts.finalists(rows, search.objective[0]),
  }
  if importances:
    figures['importance'] = search_charts.importance(importances)
  if len(search.objective) > 1:
    figures['front'] = search_charts.front(trials, search.objective[0])
  ended = sum(trial.score is None for trial in trials)
  html.write(
    root / 'report.html',
    'search.html',
    search.data_dir,
    search,
    search.tasks[:1],
    figures,
    title=f'Which options train {search.tasks[0]} best?',
    notes=[
      f'{len(trials)} trials, {search.sampler}',
      *([f'{ended} of them ended early'] if ended else []),
      f'up to {search.epochs} epochs',
    ],
    warnings=[],
    lines=lines,
    objective=search.objective[0],
    finalists=rows,
    trials=[
      {
        'trial': trial.number,
        **{name: _short(x) for name, x in trial.values.items()},
        search.objective[0]: trial.score,
        'epochs': trial.epochs,
        'problem': trial.problem,
      }
      for trial in trials
    ],
    names=[dimension.name for dimension in search.dimensions],
    trained_by=[],
  )
  files.write_json(
    root / 'finalists.json', [finalist._asdict() for finalist in finalists]
  )
  return html.summary(
    lines, [root / 'report.html', best_flags, root / 'finalists.json']
  )


def compare(
  finalists: Sequence[Finalist], objective: str
) -> list[dict[str, Any]]:
  """A row per finalist: its scores, and the paired difference to the given.

  The interval is Student's t over the differences of the seeds.
  """
  given, rows = finalists[0], []
  for finalist in finalists:
    reported, reported_given = (
      [scores[objective] for scores in one.reported]
      for one in (finalist, given)
    )
    rows.append(
      {
        'name': (
          'as given' if finalist.trial is None else f'trial {finalist.trial}'
        ),
        'values': ', '.join(
          f'{name}={_short(x)}' for name, x in finalist.values.items()
        ),
        'scores': finalist.scores,
        'mean': float(np.mean(finalist.scores)),
        'deviation': float(np.std(finalist.scores, ddof=1)),
        'difference': _paired(finalist.scores, given.scores),
        'split': finalist.reported[0]['split'],
        'reported': float(np.mean(reported)),
        'reported_difference': _paired(reported, reported_given),
      }
    )
  return rows


def _paired(
  scores: Sequence[float], others: Sequence[float]
) -> statistics.Interval:
  differences = np.subtract(scores, others)
  return statistics.interval(statistics.over_seeds(differences))


def verdict(rows: Sequence[Mapping[str, Any]], search: Search) -> list[str]:
  """What the finalists' seeds say."""
  objective = search.objective[0]
  choose = min if objective == 'loss' else max
  given, best = rows[0], choose(rows, key=lambda row: row['mean'])
  if best is given:
    return [
      f'No trial is better than the options as given: {objective} '
      f'{_spread(given)} on validation photos over {search.seeds} seeds'
    ]
  lines = [
    f'Of the finalists {best["name"]} ({best["values"]}) has the best '
    f'{objective} on validation photos, {_spread(best)} over '
    f'{search.seeds} seeds; as given {_spread(given)}'
  ]
  if _holds_zero(best['difference']):
    lines.append(
      'Its lead over the options as given is within the noise of the seeds'
    )
  rivals = [
    row['name']
    for row in rows[1:]
    if row is not best and _holds_zero(_paired(row['scores'], best['scores']))
  ]
  if rivals:
    lines.append(
      'Within the noise of the seeds it is not told apart from '
      f'{" and ".join(rivals)}'
    )
  if best['split'] == 'validation':
    lines.append(
      'There is no test split: the options were chosen on the photos that '
      'these scores are of, so they flatter'
    )
  else:
    lines.append(
      f'On the {best["split"]} photos, which chose nothing: {objective} '
      f'{best["reported"]:.3f}, as given {given["reported"]:.3f}; difference '
      f'{_interval(best["reported_difference"])}'
    )
  return lines


def _holds_zero(interval: statistics.Interval) -> bool:
  return interval.low <= 0 <= interval.high


def _interval(interval: statistics.Interval) -> str:
  return f'{interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f})'


def _spread(row: Mapping[str, Any]) -> str:
  return f'{row["mean"]:.3f} ± {row["deviation"]:.3f}'


def _short(value: Any) -> str:
  return f'{value:.3g}' if isinstance(value, float) else options.text(value)
