"""The charts of a search's page, as Vega-Lite specifications."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from imat_jax import options
from imat_jax.reporting import charts
from imat_jax.study.search_config import Trial
from imat_jax.study.search_space import Dimension, Range

# Values, of which an option with no more has an axis of names.
_FEW = 4


def slices(
  trials: Sequence[Trial], dimensions: Sequence[Dimension], objective: str
) -> list[charts.Chart]:
  """The score of each trial against each of its options."""
  return [_slice(trials, dimension, objective) for dimension in dimensions]


def _slice(
  trials: Sequence[Trial], dimension: Dimension, objective: str
) -> charts.Chart:
  name = dimension.name
  rows = [
    {
      'trial': trial.number,
      name: trial.values[name],
      objective: trial.score,
    }
    for trial in trials
    if name in trial.values and trial.score is not None
  ]
  is_number = (
    all(
      isinstance(row[name], int | float) and not isinstance(row[name], bool)
      for row in rows
    )
    and len({row[name] for row in rows}) > _FEW
  )
  for row in rows:
    row[name] = row[name] if is_number else options.text(row[name])
  is_log = is_number and isinstance(dimension, Range) and dimension.is_log
  axis = alt.X(
    f'{name}:{"Q" if is_number else "N"}',
    scale=alt.Scale(type='log', nice=False) if is_log else alt.Undefined,
    axis=alt.Axis(labelAngle=0, tickCount=4) if is_number else alt.Axis(),
  )
  if is_number and not is_log:
    axis = axis.scale(zero=False)
  chart = (
    alt.Chart(alt.Data(values=rows))
    .mark_circle(size=55, opacity=0.7, color=charts.BLUE)
    .encode(
      x=axis,
      y=alt.Y(f'{objective}:Q', scale=alt.Scale(zero=False)),
      tooltip=[
        'trial:Q',
        f'{name}:{"Q" if is_number else "N"}',
        f'{objective}:Q',
      ],
    )
    .properties(width=230, height=160)
  )
  return charts.finish(chart, f'{objective} of each trial against {name}.')


def importance(importances: Mapping[str, float]) -> list[charts.Chart]:
  """How much of the trials' differences each option explains."""
  rows = [{'option': n, 'share': round(x, 4)} for n, x in importances.items()]
  chart = (
    alt.Chart(alt.Data(values=rows))
    .mark_bar(color=charts.BLUE)
    .encode(
      x=alt.X('share:Q', title='importance', axis=alt.Axis(format='%')),
      y=alt.Y('option:N', sort=None, title=None),
      tooltip=['option:N', alt.Tooltip('share:Q', format='.1%')],
    )
    .properties(width=380, height=alt.Step(24))
  )
  return [charts.finish(chart, 'Importance of the options.')]


def front(trials: Sequence[Trial], objective: str) -> list[charts.Chart]:
  """Score against epochs; the front is what no trial beats in both."""
  sign = 1 if objective == 'loss' else -1
  finished = [trial for trial in trials if trial.score is not None]
  rows = [
    {
      'trial': one.number,
      'epochs': one.epochs,
      objective: one.score,
      'kind': 'beaten in both'
      if any(_beats(other, one, sign) for other in finished)
      else 'on the front',
    }
    for one in finished
  ]
  chart = (
    alt.Chart(alt.Data(values=rows))
    .mark_point(filled=True, size=60)
    .encode(
      x=alt.X('epochs:Q', title='epochs until the best one'),
      y=alt.Y(f'{objective}:Q', scale=alt.Scale(zero=False)),
      color=alt.Color('kind:N', title=None, sort=['on the front']).scale(
        range=[charts.BLUE, charts.GREY]
      ),
      shape=alt.Shape('kind:N', sort=['on the front'], legend=None),
      tooltip=['trial:Q', 'epochs:Q', f'{objective}:Q'],
    )
    .properties(width=420, height=240)
  )
  return [charts.finish(chart, f'{objective} against epochs.')]


def _beats(other: Trial, one: Trial, sign: int) -> bool:
  first = sign * other.score, other.epochs
  second = sign * one.score, one.epochs
  return first != second and all(
    a <= b for a, b in zip(first, second, strict=True)
  )


def finalists(
  rows: Sequence[Mapping[str, Any]], objective: str
) -> list[charts.Chart]:
  """The seeds of each finalist as points, with their mean."""
  points = [
    {'name': row['name'], objective: score}
    for row in rows
    for score in row['scores']
  ]
  means = [{'name': row['name'], objective: row['mean']} for row in rows]
  x = alt.X(
    f'{objective}:Q',
    scale=alt.Scale(zero=False),
    axis=alt.Axis(tickCount=6),
  )
  y = alt.Y('name:N', sort=None, title=None)
  chart = alt.layer(
    alt.Chart(alt.Data(values=points))
    .mark_circle(size=50, opacity=0.6, color=charts.BLUE)
    .encode(x=x, y=y, tooltip=['name:N', f'{objective}:Q']),
    alt.Chart(alt.Data(values=means))
    .mark_tick(thickness=3, size=20, color=charts.ORANGE)
    .encode(x=x, y=y, tooltip=['name:N', f'{objective}:Q']),
  ).properties(width=420, height=alt.Step(30))
  description = f'{objective} of the finalists, seed by seed.'
  return [charts.finish(chart, description)]
