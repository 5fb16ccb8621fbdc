"""The charts that only a study's page has."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from imat_jax.reporting import charts
from imat_jax.reporting.results import MAIN
from imat_jax.reporting.statistics import SILENT


def differences(comparisons: Sequence[Mapping[str, Any]]) -> charts.Chart:
  """The forest plot: each comparison's difference with its interval."""
  rows = [
    {
      'model': c['model'],
      'with': ' + '.join(c['tasks'][1:]),
      'difference': c['scores'][MAIN]['mean'],
      'low': c['scores'][MAIN]['low'],
      'high': c['scores'][MAIN]['high'],
      'p (Holm)': round(c['scores'][MAIN]['p_holm'], 4),
      'verdict': c['scores'][MAIN]['verdict'],
    }
    for c in comparisons
  ]
  base = alt.Chart()  # without data: the facet passes each layer its part
  y = alt.Y('with:N', title=None, sort=None)
  color = alt.Color('verdict:N', title=None).scale(
    domain=['better', 'worse', SILENT],
    range=[charts.COLORS[2], charts.COLORS[1], '#888888'],
  )
  tooltip = [
    alt.Tooltip(
      field=name, type='nominal' if isinstance(value, str) else 'quantitative'
    )
    for name, value in rows[0].items()
  ]
  lines = base.mark_rule(strokeWidth=2).encode(
    x=alt.X('low:Q', title=f'difference in {MAIN} to the task alone'),
    x2='high:Q',
    y=y,
    color=color,
    tooltip=tooltip,
  )
  points = base.mark_point(filled=True, size=90).encode(
    x='difference:Q', y=y, color=color, tooltip=tooltip
  )
  zero = base.mark_rule(strokeDash=[4, 4], color='#888888').encode(
    x=alt.datum(0)
  )
  chart = (
    alt.layer(zero, lines, points, data=alt.Data(values=rows))
    .properties(width=380, height=alt.Step(30))
    .facet(
      row=alt.Row('model:N', title=None, sort=None).header(
        labelAngle=0, labelAnchor='start', labelOrient='top'
      )
    )
  )
  return charts.finish(
    chart, f'Differences in {MAIN} with their 95% intervals.'
  )


def label_budget(task: str, rows: Sequence[Mapping[str, Any]]) -> charts.Chart:
  """The difference that other tasks make, over the number of their labels.

  Args:
    task: the compared one.
    rows: see `label_budget.rows`.
  """
  values = [
    row
    | {
      'arm': f'{row["model"]}, with {row["with"]}',
      'panel': f'{row["main labels"]:,} labels of {task}',
    }
    for row in rows
  ]
  panels = list(dict.fromkeys(row['panel'] for row in values))
  base, color = alt.Chart(), alt.value(charts.COLORS[0])
  x = alt.X('labels:Q', title='labels of the added task').scale(
    type='log', nice=False, padding=12
  )
  tooltip = ['labels:Q', 'alone:Q', 'difference:Q', 'verdict:N']
  bars = base.mark_rule(strokeWidth=2).encode(
    x=x,
    y=alt.Y('low:Q', title=f'difference in {MAIN}'),
    y2='high:Q',
    color=color,
    tooltip=tooltip,
  )
  lines = base.mark_line().encode(x=x, y='difference:Q', color=color)
  points = base.mark_point(filled=True, size=70, opacity=1).encode(
    x=x, y='difference:Q', color=color, tooltip=tooltip
  )
  zero = base.mark_rule(strokeDash=[4, 4], color='#888888').encode(
    y=alt.datum(0)
  )
  chart = (
    alt.layer(zero, bars, lines, points, data=alt.Data(values=values))
    .properties(width=230, height=200)
    .facet(
      column=alt.Column('panel:N', title=None, sort=panels),
      row=alt.Row('arm:N', title=None),
    )
  )
  return charts.finish(
    chart,
    f'Difference in {MAIN} of {task} over the number of labels of the added '
    'task, with 95% intervals.',
  )
