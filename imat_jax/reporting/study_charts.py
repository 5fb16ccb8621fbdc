"""The charts that only a study's page has."""

import collections
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from imat_jax.reporting import charts, statistics
from imat_jax.reporting.results import MAIN

# Color and shape of a verdict; the shape points where the difference lies.
_LOOKS = {
  statistics.BETTER: (charts.BLUE, 'triangle-right'),
  statistics.WORSE: (charts.ORANGE, 'triangle-left'),
  statistics.SMALL: (charts.GREY, 'square'),
}
_UPRIGHT = {'triangle-right': 'triangle-up', 'triangle-left': 'triangle-down'}
_UNDECIDED = charts.GREY, 'circle'


def differences(
  comparisons: Sequence[Mapping[str, Any]], margin: float
) -> list[charts.Chart]:
  """Forest plots: each comparison's difference, its interval and its seeds.

  One for each model, with the same range.

  Args:
    comparisons: of `study.json`.
    margin: the smallest difference that matters; what is below is shaded.
  """
  everything = [
    100 * value
    for c in comparisons
    for value in _ends(c['scores'][MAIN])
    if value is not None
  ]
  pad = 0.05 * (max(everything) - min(everything)) or 1
  range_ = [min(everything) - pad, max(everything) + pad]
  return [
    _forest(model, list(of_model), range_, 100 * margin)
    for model, of_model in itertools.groupby(comparisons, lambda c: c['model'])
  ]


def _ends(scores: Mapping[str, Any]) -> list[float | None]:
  return [0, scores['low'], scores['high'], *scores['values']]


def _forest(
  model: str,
  comparisons: Sequence[Mapping[str, Any]],
  range_: Sequence[float],
  margin: float,
) -> charts.Chart:
  rows, seeds = [], []
  for comparison in comparisons:
    scores = comparison['scores'][MAIN]
    name = '+ ' + ' + '.join(comparison['tasks'][1:])
    shared = {'with': name, 'verdict': scores['verdict']}
    rows.append(
      shared
      | {part: _percent(scores[part]) for part in ('mean', 'low', 'high')}
      | {'text': f'{name}: {_estimate(scores)}'}
    )
    seeds += [
      shared
      | {
        'value': _percent(value),
        'text': f'{name}, seed {seed}: {_points(value)}',
      }
      for seed, value in zip(comparison['seeds'], scores['values'], strict=True)
    ]
  names, data = [row['with'] for row in rows], alt.Data(values=rows)
  y = alt.Y('with:N', title=None, sort=names, axis=alt.Axis(labelLimit=300))
  color, shape = _look(rows)
  x = alt.X(
    'low:Q',
    title=f'{MAIN}, percentage points; right is better',
    axis=alt.Axis(tickCount=6, labelFlush=False, labelOverlap=False),
  ).scale(domain=range_, nice=False)
  zero = (
    alt.Chart(alt.Data(values=[{}]))
    .mark_rule(strokeDash=[4, 4], color=charts.GREY, aria=False)
    .encode(x=alt.datum(0))
  )
  small = (
    alt.Chart(alt.Data(values=[{}]))
    .mark_rect(opacity=0.12, color=charts.GREY, clip=True, aria=False)
    .encode(x=alt.datum(-margin), x2=alt.datum(margin))
  )
  line = (
    alt.Chart(data)
    .mark_rule(strokeWidth=2, aria=False)
    .encode(x=x, x2='high:Q', y=y, color=color)
  )
  dots = (
    alt.Chart(alt.Data(values=seeds))
    .mark_point(filled=True, size=16, opacity=0.6, yOffset=11)
    .encode(x='value:Q', y=y, color=color, description='text:N')
  )
  points = (
    alt.Chart(data)
    .mark_point(filled=True, size=130, opacity=1)
    .encode(x='mean:Q', y=y, color=color, shape=shape, description='text:N')
  )
  chart = alt.layer(small, zero, line, dots, points).properties(
    width=300, height=alt.Step(38), title=model
  )
  return charts.finish(
    chart, f'{model}: differences in {MAIN} with their 95% intervals.'
  )


def label_budget(
  task: str, rows: Sequence[Mapping[str, Any]]
) -> list[charts.Chart]:
  """The difference that other tasks make, over the number of their labels.

  One for each model, added task and number of labels of the compared task, with
  the same range.

  Args:
    task: the compared one.
    rows: see `label_budget.rows`.
  """
  ends = [
    _percent(row[part])
    for row in rows
    for part in ('difference', 'low', 'high')
    if row[part] is not None
  ]
  range_ = [min(0, *ends), max(0, *ends)]
  by_title = collections.defaultdict(list)
  for row in rows:
    arm = f'{row["model"]} + {row["with"]}'
    by_title[arm, f'{row["main labels"]:,} labels of {task}'].append(row)
  return [
    _budget_chart(title, of_title, range_)
    for title, of_title in by_title.items()
  ]


def _budget_chart(
  title: Sequence[str],
  rows: Sequence[Mapping[str, Any]],
  range_: Sequence[float],
) -> charts.Chart:
  values = [
    {
      'labels': row['labels'],
      'verdict': row['verdict'],
      'text': f'{row["labels"]:,} labels: {_estimate(row, "difference")}',
    }
    | {part: _percent(row[part]) for part in ('difference', 'low', 'high')}
    for row in rows
  ]
  x = alt.X(
    'labels:Q',
    title='labels of the added task',
    axis=alt.Axis(grid=False, tickCount=4, format='~s'),
  ).scale(type='log', nice=False, padding=12)
  y = alt.Y('low:Q', title='percentage points; up is better').scale(
    domain=list(range_), nice=True
  )
  color, shape = _look(rows, _UPRIGHT)
  base = alt.Chart()
  bars = base.mark_rule(strokeWidth=2, aria=False).encode(
    x=x, y=y, y2='high:Q', color=color
  )
  lines = base.mark_line(color=charts.GREY, aria=False).encode(
    x=x, y='difference:Q'
  )
  points = base.mark_point(filled=True, size=100, opacity=1).encode(
    x=x, y='difference:Q', color=color, shape=shape, description='text:N'
  )
  zero = base.mark_rule(strokeDash=[4, 4], color=charts.GREY, aria=False)
  chart = alt.layer(
    *(zero.encode(y=alt.datum(0)), lines, bars, points),
    data=alt.Data(values=values),
  ).properties(width=230, height=200, title=list(title))
  return charts.finish(
    chart,
    f'{", ".join(title)}: difference in {MAIN} over the number of labels of '
    'the added task, with 95% intervals.',
  )


def sparsity(rows: Sequence[Mapping[str, Any]]) -> list[charts.Chart]:
  """Accuracy over the number of parameters, a line for each pruner.

  One chart for each model, task set and task.

  Args:
    rows: see `sparsity.compare`.
  """
  by_title = collections.defaultdict(list)
  for row in rows:
    arm = row['against'] if 'against' in row else row['model']
    by_title[f'{arm} · {" + ".join(row["tasks"])}', row['task']].append(row)
  return [_sparsity_chart(*item) for item in by_title.items()]


def _sparsity_chart(
  title: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> charts.Chart:
  (whole,) = (row for row in rows if not row['pruner'])
  pruners = list(dict.fromkeys(row['pruner'] for row in rows if row['pruner']))
  values = [
    {
      'pruner': pruner,
      'parameters': row['parameters'],
      'text': f'{row["model"]}, {row["parameters"]:,} parameters: '
      + _with_range(row['accuracy']),
    }
    | {
      part: _percent(row['accuracy'][part]) for part in ('mean', 'low', 'high')
    }
    for pruner in pruners
    for row in (whole, *(row for row in rows if row['pruner'] == pruner))
  ]
  number = len(pruners)
  legend = alt.Legend(symbolOpacity=1)

  def scaled(channel: type, looks: Sequence[Any]) -> Any:
    range_ = [looks[i % len(looks)] for i in range(number)]
    return channel('pruner:N', title=None, legend=legend).scale(
      domain=pruners, range=range_
    )

  color = scaled(alt.Color, (charts.BLUE, charts.ORANGE, charts.GREY))
  shape = scaled(alt.Shape, ('circle', 'square', 'diamond', 'cross'))
  base = alt.Chart().encode(
    x=alt.X(
      'parameters:Q',
      title='parameters left',
      axis=alt.Axis(grid=False, tickCount=4, format='~s'),
    ).scale(type='log', nice=False, padding=12),
    color=color,
  )
  y = alt.Y('mean:Q', title=f'{MAIN}, %').scale(zero=False)
  bars = base.mark_rule(aria=False).encode(y='low:Q', y2='high:Q')
  lines = base.mark_line(aria=False).encode(y=y)
  points = base.mark_point(filled=True, size=60, opacity=1).encode(
    y='mean:Q', shape=shape, description='text:N'
  )
  level = alt.Chart().mark_rule(
    strokeDash=[4, 4], color=charts.GREY, aria=False
  )
  chart = alt.layer(
    level.encode(y=alt.datum(_percent(whole['accuracy']['mean']))),
    *(lines, bars, points),
    data=alt.Data(values=values),
  ).properties(width=300, height=220, title=list(title))
  return charts.finish(
    chart,
    f'{", ".join(title)}: {MAIN} over the number of parameters, with 95% '
    'intervals.',
  )


def _look(
  rows: Sequence[Mapping[str, Any]], shapes: Mapping[str, str] | None = None
) -> tuple[alt.Color, alt.Shape]:
  """Color and shape of the verdicts that rows have, with other shapes."""
  verdicts = list(dict.fromkeys(row['verdict'] for row in rows))
  looks = [_LOOKS.get(verdict, _UNDECIDED) for verdict in verdicts]
  legend = alt.Legend(symbolOpacity=1)
  color = alt.Color('verdict:N', title=None, legend=legend).scale(
    domain=verdicts, range=[color for color, _ in looks]
  )
  shape = alt.Shape('verdict:N', title=None, legend=legend).scale(
    domain=verdicts, range=[(shapes or {}).get(s, s) for _, s in looks]
  )
  return color, shape


def _estimate(scores: Mapping[str, Any], mean: str = 'mean') -> str:
  """The mean with its interval, where it has one, and the verdict."""
  return f'{_with_range(scores, mean)}, {scores["verdict"]}'


def _with_range(scores: Mapping[str, Any], mean: str = 'mean') -> str:
  low, high = scores['low'], scores['high']
  range_ = '' if low is None else f' ({_points(low)} to {_points(high)})'
  return f'{_points(scores[mean])}{range_}'


def _percent(value: float | None) -> float | None:
  return None if value is None else round(100 * value, 3)


def _points(value: float) -> str:
  return f'{100 * value:.1f}'.replace('-', '−')
