"""The charts that only a study's page has."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from imat_jax.reporting import charts, statistics
from imat_jax.reporting.results import MAIN

# Color and shape of a verdict; they point where the difference lies.
_LOOKS = {
  statistics.BETTER: (charts.BLUE, 'triangle-right'),
  statistics.WORSE: (charts.ORANGE, 'triangle-left'),
  statistics.SMALL: (charts.GREY, 'square'),
}
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
    mean, low, high = (scores[part] for part in ('mean', 'low', 'high'))
    range_text = '' if low is None else f' ({_points(low)} to {_points(high)})'
    rows.append(
      shared
      | {'mean': _percent(mean), 'low': _percent(low), 'high': _percent(high)}
      | {'text': f'{name}: {_points(mean)}{range_text}, {scores["verdict"]}'}
    )
    seeds += [
      shared
      | {
        'value': _percent(value),
        'text': f'{name}, seed {seed}: {_points(value)}',
      }
      for seed, value in zip(comparison['seeds'], scores['values'], strict=True)
    ]
  verdicts = list(dict.fromkeys(row['verdict'] for row in rows))
  looks = [_LOOKS.get(verdict, _UNDECIDED) for verdict in verdicts]
  names, data = [row['with'] for row in rows], alt.Data(values=rows)
  y = alt.Y('with:N', title=None, sort=names, axis=alt.Axis(labelLimit=300))
  legend = alt.Legend(symbolOpacity=1)
  color = alt.Color('verdict:N', title=None, legend=legend).scale(
    domain=verdicts, range=[color for color, _ in looks]
  )
  shape = alt.Shape('verdict:N', title=None, legend=legend).scale(
    domain=verdicts, range=[shape for _, shape in looks]
  )
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


def _percent(value: float | None) -> float | None:
  return None if value is None else round(100 * value, 3)


def _points(value: float) -> str:
  return f'{100 * value:.1f}'.replace('-', '−')


def label_budget(
  task: str, rows: Sequence[Mapping[str, Any]]
) -> list[charts.Chart]:
  """The difference that other tasks make, over the number of their labels.

  Args:
    task: the compared one.
    rows: see `label_budget.rows`.
  """
  panels = {}
  for row in rows:
    title = (
      f'{row["model"]}, with {row["with"]}; {row["main labels"]:,} labels of '
      f'{task}'
    )
    panels.setdefault(title, []).append(row)
  return [_budget(title, of_panel) for title, of_panel in panels.items()]


def _budget(title: str, rows: Sequence[Mapping[str, Any]]) -> charts.Chart:
  base = alt.Chart().encode(
    x=alt.X('labels:Q', title='train labels of the added task').scale(
      type='log', nice=False, padding=12
    ),
    tooltip=['labels:Q', 'alone:Q', 'difference:Q', 'verdict:N'],
  )
  color = alt.value(charts.BLUE)
  bars = base.mark_rule(strokeWidth=2).encode(
    y=alt.Y('low:Q', title=f'difference in {MAIN}'), y2='high:Q', color=color
  )
  lines = base.mark_line().encode(y='difference:Q', color=color)
  points = base.mark_point(filled=True, size=70, opacity=1).encode(
    y='difference:Q', color=color
  )
  zero = (
    alt.Chart()
    .mark_rule(strokeDash=[4, 4], color=charts.GREY)
    .encode(y=alt.datum(0))
  )
  data = alt.Data(values=list(rows))
  chart = alt.layer(zero, bars, lines, points, data=data).properties(
    width=260, height=200, title=title
  )
  return charts.finish(
    chart, f'Difference in {MAIN} over the number of labels: {title}.'
  )
