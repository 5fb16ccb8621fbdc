"""The page of a search, `report.html`."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from imat_jax import options
from imat_jax.reporting import html
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
  charts = {
    'slices': search_charts.slices(trials, search.objective[0]),
    'finalists': search_charts.finalists(rows, search.objective[0]),
  }
  if importances:
    charts['importance'] = search_charts.importance(importances)
  if len(search.objective) > 1:
    charts['front'] = search_charts.front(trials, search.objective[0])
  ended = sum(trial.score is None for trial in trials)
  html.write(
    root / 'report.html',
    'search.html',
    search,
    search.tasks[:1],
    title=f'Which options train {search.tasks[0]} best?',
    notes=[
      f'{len(trials)} trials, {search.sampler}',
      *([f'{ended} of them ended early'] if ended else []),
      f'up to {search.epochs} epochs',
    ],
    warnings=[],
    verdict=lines,
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
    charts=charts,
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
  given = np.array(finalists[0].scores)
  rows = []
  for finalist in finalists:
    scores = np.array(finalist.scores)
    difference = scores - given
    low = high = None
    if finalist.trial is not None and np.ptp(difference) > 0:
      low, high = stats.ttest_1samp(difference, 0).confidence_interval()
    rows.append(
      {
        'name': (
          'as given' if finalist.trial is None else f'trial {finalist.trial}'
        ),
        'values': ', '.join(
          f'{name}={_short(x)}' for name, x in finalist.values.items()
        ),
        'scores': list(map(float, scores)),
        'mean': float(scores.mean()),
        'deviation': float(scores.std(ddof=1)),
        'difference': float(difference.mean()),
        'low': None if low is None else float(low),
        'high': None if high is None else float(high),
        'split': finalist.reported[0]['split'],
        'reported': float(np.mean([of[objective] for of in finalist.reported])),
      }
    )
  return rows


def verdict(rows: Sequence[Mapping[str, Any]], search: Search) -> list[str]:
  """What the finalists' seeds say."""
  objective, sign = search.objective[0], 1
  if objective == 'accuracy':
    sign = -1
  best = min(rows, key=lambda row: sign * row['mean'])
  given, number = rows[0], len(best['scores'])
  if best is given:
    return [
      f'No trial is better than the options as given ({objective} '
      f'{given["mean"]:.3f} ± {given["deviation"]:.3f}, {number} seeds)'
    ]
  line = (
    f'{best["name"]} ({best["values"]}) has the best {objective} on '
    f'validation photos, {best["mean"]:.3f} ± {best["deviation"]:.3f} over '
    f'{number} seeds; as given {given["mean"]:.3f} ± {given["deviation"]:.3f}'
  )
  lines = [line]
  within = best['low'] is None or best['low'] <= 0 <= best['high']
  if within:
    lines.append(
      'Its lead over the options as given is within the noise of the seeds'
    )
  second = [row for row in rows if row is not best and row is not given]
  for row in second:
    difference = np.subtract(row['scores'], best['scores'])
    if np.ptp(difference) == 0:
      continue
    low, high = stats.ttest_1samp(difference, 0).confidence_interval()
    if low <= 0 <= high:
      lines.append(f'{row["name"]} is as good, within the noise of the seeds')
  if best['split'] == 'validation':
    lines.append(
      'There is no test split: the options were chosen on the photos that '
      'these scores are of, so they flatter'
    )
  else:
    lines.append(
      f'On the {best["split"]} photos, which chose nothing: {objective} '
      f'{best["reported"]:.3f}, as given {given["reported"]:.3f}'
    )
  return lines


def _short(value: Any) -> str:
  return f'{value:.3g}' if isinstance(value, float) else options.text(value)
