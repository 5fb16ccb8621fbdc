"""The charts of a run's page, as Vega-Lite specifications made with altair."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import vl_convert

from imat_jax.reporting.results import Result

# Distinguishable with any kind of color vision, on white and on black; all else
# has the text color of the page.
COLORS = ('#0b7fab', '#d1662a', '#5a9e3a', '#a05eb5', '#b08900')
_TEXT = {'labelColor': 'currentColor', 'titleColor': 'currentColor'}
_LOOK = {
  'background': 'transparent',
  'font': 'system-ui, sans-serif',
  'view': {'stroke': None},
  'axis': _TEXT
  | {'gridColor': '#8884', 'domainColor': '#8888', 'tickColor': '#8888'},
  'legend': _TEXT | {'orient': 'top'},
  'header': _TEXT,
  'title': {'color': 'currentColor'},
  'range': {'category': list(COLORS)},
}

_LEGEND = alt.Legend(symbolOpacity=1, symbolType='stroke', symbolStrokeWidth=3)

Chart = dict[str, Any]


def javascript() -> str:
  """Vega, Vega-Lite and Vega-Embed, to be inlined into a page."""
  return vl_convert.javascript_bundle().replace('</script', '<\\/script')


def curves(
  panels: Mapping[str, tuple[Sequence[Result], str]], score: str
) -> Chart:
  """Learning curves, train against validation: means over the seeds.

  Args:
    panels: by title, runs that differ in their seeds, and a task of theirs.
    score: `loss` or `accuracy`.
  """
  rows = [
    {'panel': title, 'split': split, 'epoch': epoch} | _spread(values)
    for title, (runs, task) in panels.items()
    for split in ('train', 'validation')
    for epoch, values in _by_epoch(runs, split, task, score).items()
  ]
  base = alt.Chart().encode(
    x=alt.X('epoch:Q', axis=_epoch_axis(rows)),
    color=alt.Color('split:N', title=None, legend=_LEGEND),
  )
  tooltip = ['split:N', 'epoch:Q', 'seeds:Q'] + [
    alt.Tooltip(f'{name}:Q', title=title, format='.4f')
    for name, title in (
      ('mean', f'mean {score}'),
      ('low', 'lowest seed'),
      ('high', 'highest seed'),
    )
  ]
  band = base.mark_area(opacity=0.2).encode(
    y=alt.Y('low:Q', title=score, scale=alt.Scale(zero=False)), y2='high:Q'
  )
  line = base.mark_line(point=alt.OverlayMarkDef(size=35)).encode(
    y='mean:Q', tooltip=tooltip
  )
  chart = (
    alt.layer(band, line, data=alt.Data(values=rows))
    .properties(width=260, height=170)
    .facet(alt.Facet('panel:N', title=None, sort=list(panels)), columns=3)
  )
  return finish(chart, f'{score} on train and validation photos per epoch.')


def affinity(pairs: Sequence[Mapping[str, Any]]) -> Chart:
  """The heat map: the cosine of each pair's gradients, epoch by epoch."""
  rows = [
    {
      'pair': ' · '.join(pair['pair'])
      + (f' ({pair["model"]})' if pair['model'] else ''),
      'learned': ' + '.join(pair['tasks']),
      'epoch': epoch,
      'cosine': round(cosine, 4),
    }
    for pair in pairs
    for epoch, cosine in zip(pair['epochs'], pair['cosine'], strict=True)
  ]
  largest = max(abs(row['cosine']) for row in rows) or 1
  several = len({(p['model'], *p['pair']) for p in pairs}) < len(pairs)
  chart = (
    alt.Chart(alt.Data(values=rows))
    .mark_rect()
    .encode(
      x=alt.X('epoch:O', axis=alt.Axis(labelAngle=0, labelOverlap=True)),
      y=alt.Y('pair:N', title=None, sort=None, axis=alt.Axis(labelLimit=400)),
      color=alt.Color('cosine:Q').scale(
        scheme='redblue', domain=[-largest, largest]
      ),
      tooltip=['pair:N', 'learned:N', 'epoch:O', 'cosine:Q'],
    )
    .properties(width=380, height=alt.Step(26))
  )
  if several:
    chart = chart.facet(row=alt.Row('learned:N', title=None)).resolve_scale(
      y='independent'
    )
  return finish(chart, 'Cosines between the gradients of pairs of tasks.')


def png(chart: Chart) -> bytes:
  """The chart as a PNG on white."""
  look = chart['config'] | {'background': 'white'}
  return vl_convert.vegalite_to_png(chart | {'config': look}, scale=2)


def _by_epoch(
  runs: Sequence[Result], split: str, task: str, score: str
) -> dict[int, list[float]]:
  """By epoch, the score of each run that reached it."""
  values = collections.defaultdict(list)
  for result in runs:
    for row in result.rows:
      if row[split][task][score] is not None:
        values[row['epoch']].append(row[split][task][score])
  return values


def _spread(values: Sequence[float]) -> dict[str, float]:
  statistics = {
    'mean': np.mean(values),
    'low': min(values),
    'high': max(values),
  }
  rounded = {name: round(float(value), 5) for name, value in statistics.items()}
  return rounded | {'seeds': len(values)}


def _epoch_axis(rows: Sequence[Mapping[str, Any]]) -> alt.Axis:
  """About five integer ticks."""
  last = max((row['epoch'] for row in rows), default=1)
  step = max(1, round(last / 4))
  ticks = sorted({1, *range(step, last + 1, step)})
  return alt.Axis(values=ticks, format='d')


def finish(chart: alt.TopLevelMixin, description: str) -> Chart:
  """The specification of a chart, in the look that all have."""
  spec = chart.to_dict(validate=False) | {'description': description}
  return spec | {'config': _LOOK, 'autosize': {'type': 'pad'}}
