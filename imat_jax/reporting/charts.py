"""The charts of a run's page, as Vega-Lite specifications made with altair.

A figure is a list of them, side by side where there is room. The pages hold
them as SVG, so they show without JavaScript, printed, and on a phone.
"""

import collections
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

import altair as alt
import markupsafe
import numpy as np
import vl_convert

from imat_jax import errors
from imat_jax.reporting.results import Result

# Distinguishable with any kind of color vision, on white and on black; all else
# has the text color of the page.
BLUE, ORANGE, GREY = '#0b7fab', '#d1662a', '#888888'
_TEXT = {'labelColor': 'currentColor', 'titleColor': 'currentColor'}
_SIZES = {'labelFontSize': 12, 'titleFontSize': 12, 'titleFontWeight': 'normal'}
_LOOK = {
  'background': 'transparent',
  'font': 'system-ui, sans-serif',
  'view': {'stroke': None},
  # Room for letters that are wider in the browser than in this layout.
  'padding': {'left': 24, 'right': 24, 'top': 5, 'bottom': 5},
  'axis': _TEXT
  | {'gridColor': '#8884', 'domainColor': '#8888', 'tickColor': '#8888'}
  | _SIZES
  | {'titlePadding': 8},
  'legend': _TEXT
  | _SIZES
  | {'orient': 'top', 'labelLimit': 300, 'columns': 2, 'columnPadding': 28},
  'header': _TEXT,
  'title': {'color': 'currentColor', 'anchor': 'start', 'limit': 300},
}
_SVG = 'http://www.w3.org/2000/svg'

Chart = dict[str, Any]


class Panel(NamedTuple):
  """What one chart of learning curves shows."""

  task: str
  # By name, runs that differ in their seeds; of two the first is the baseline.
  arms: Mapping[str, Sequence[Result]]


def curves(panels: Mapping[str, Panel], score: str) -> list[Chart]:
  """Learning curves, train against validation: means over the seeds.

  Args:
    panels: by title; all have the same range.
    score: `loss` or `accuracy`.
  """
  rows_by_title = {
    title: [
      row
      for arm, runs in panel.arms.items()
      for row in _curve(arm, runs, panel.task, score)
    ]
    for title, panel in panels.items()
  }
  everything = [row for rows in rows_by_title.values() for row in rows]
  values = [row[part] for row in everything for part in ('low', 'high')]
  range_ = [min(values, default=0), max(values, default=1)]
  return [
    _curve_chart(title, list(panels[title].arms), rows, score, range_)
    for title, rows in rows_by_title.items()
  ]


def _curve(
  arm: str, runs: Sequence[Result], task: str, score: str
) -> list[dict[str, Any]]:
  """A row per split and epoch."""
  return [
    {'arm': arm, 'split': split, 'epoch': epoch}
    | _spread(values)
    | {
      'text': f'epoch {epoch}, {split}{f", {arm}" if arm else ""}: '
      f'mean {score} {np.mean(values):.4f}, {min(values):.4f} to '
      f'{max(values):.4f} ({len(values)} seed{"" if len(values) == 1 else "s"})'
    }
    for split in ('validation', 'train')
    for epoch, values in _by_epoch(runs, split, task, score).items()
  ]


def _curve_chart(
  title: str,
  arms: Sequence[str],
  rows: Sequence[Mapping[str, Any]],
  score: str,
  range_: Sequence[float],
) -> Chart:
  is_pair = len(arms) > 1
  colors = [GREY, BLUE] if is_pair else [BLUE]
  legend = alt.Legend(symbolOpacity=1, symbolType='stroke', symbolStrokeWidth=3)
  base = alt.Chart().encode(
    x=alt.X('epoch:Q', axis=_epoch_axis(rows)),
    color=alt.Color(
      'arm:N', title=None, legend=legend if is_pair else None
    ).scale(domain=list(arms), range=colors),
  )
  on_validation = base.transform_filter('datum.split == "validation"')
  band = on_validation.mark_area(opacity=0.2, aria=False).encode(
    y=alt.Y('low:Q', title=score).scale(domain=list(range_), nice=True),
    y2='high:Q',
  )
  line = base.mark_line(aria=False).encode(
    y='mean:Q',
    strokeDash=alt.StrokeDash(
      'split:N', title=None, legend=None if is_pair else legend
    ).scale(domain=['validation', 'train'], range=[[1, 0], [5, 3]]),
  )
  point = base.mark_point(filled=True, size=30, opacity=1).encode(
    y='mean:Q', description='text:N'
  )
  chart = alt.layer(band, line, point, data=alt.Data(values=list(rows)))
  return finish(
    chart.properties(width=260, height=170, title=title),
    f'{title}: {score} on train and validation photos per epoch.',
  )


def affinity(pairs: Sequence[Mapping[str, Any]]) -> list[Chart]:
  """Heat maps: the cosine of each pair's gradients, epoch by epoch."""
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
  by_set = collections.defaultdict(list)
  # A pair that several task sets have has a chart of each.
  several = len({(p['model'], *p['pair']) for p in pairs}) < len(pairs)
  for row in rows:
    by_set[f'learned: {row["learned"]}' if several else ''].append(row)
  return [_affinity_chart(*item, largest) for item in by_set.items()]


def _affinity_chart(
  title: str, rows: Sequence[Mapping[str, Any]], largest: float
) -> Chart:
  chart = (
    alt.Chart(alt.Data(values=list(rows)))
    .mark_rect()
    .encode(
      x=alt.X('epoch:O', axis=alt.Axis(labelAngle=0, labelOverlap=True)),
      y=alt.Y('pair:N', title=None, sort=None, axis=alt.Axis(labelLimit=400)),
      color=alt.Color('cosine:Q').scale(
        scheme='redblue', domain=[-largest, largest]
      ),
    )
    .properties(width=380, height=alt.Step(26), title=title)
  )
  return finish(chart, 'Cosines between the gradients of pairs of tasks.')


def svg(chart: Chart) -> markupsafe.Markup:
  """The chart as an SVG element, whose marks show their numbers when hovered.

  Colors follow the page's, so that it is readable in a dark one.
  """
  ElementTree.register_namespace('', _SVG)
  root = ElementTree.fromstring(vl_convert.vegalite_to_svg(chart))
  for parent in root.iter():
    for element in list(parent):
      if element.get('display') == 'none' or element.get('d') == '':
        parent.remove(element)
    for name in ('aria-roledescription', 'pointer-events', 'aria-hidden'):
      parent.attrib.pop(name, None)
    if parent.get('role') == 'graphics-symbol' and not len(parent):
      title = ElementTree.SubElement(parent, f'{{{_SVG}}}title')
      title.text = parent.attrib.pop('aria-label', '')
  root.set('role', 'group')
  root.set('aria-label', chart['description'])
  return markupsafe.Markup(ElementTree.tostring(root, 'unicode'))


def png(*figure: Chart) -> bytes:
  """A figure as a PNG on white."""
  look = _LOOK | {'background': 'white'}
  own = ('config', 'autosize', '$schema')
  parts = [{k: v for k, v in c.items() if k not in own} for c in figure]
  spec = parts[0] if len(parts) == 1 else {'concat': parts, 'columns': 3}
  spec |= {'$schema': figure[0]['$schema'], 'config': look}
  return vl_convert.vegalite_to_png(spec, scale=2)


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
  return {name: round(float(value), 5) for name, value in statistics.items()}


def _epoch_axis(rows: Sequence[Mapping[str, Any]]) -> alt.Axis:
  """About five integer ticks."""
  last = max((row['epoch'] for row in rows), default=1)
  step = max(1, round(last / 4))
  ticks = sorted({1, *range(step, last + 1, step)})
  return alt.Axis(values=ticks, format='d')


def finish(chart: alt.TopLevelMixin, description: str) -> Chart:
  """The specification of a chart, in the look that all have."""
  spec = chart.to_dict(validate=False) | {'description': description}
  return _printable(spec) | {'config': _LOOK, 'autosize': {'type': 'pad'}}


def _printable(value: Any) -> Any:
  """Names without control characters, which end vl_convert's process."""
  if isinstance(value, str):
    return errors.printable(value)
  if isinstance(value, Mapping):
    return {name: _printable(part) for name, part in value.items()}
  if isinstance(value, Sequence):
    return [_printable(part) for part in value]
  return value
