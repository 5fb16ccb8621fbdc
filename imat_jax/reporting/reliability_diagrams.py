"""The diagrams of `imat_jax.evaluate --reliability`."""

from collections.abc import Mapping
from typing import Any

import altair as alt

from imat_jax.reporting import charts


def reliability(
  panels: Mapping[str, Mapping[str, Any]], columns: int
) -> charts.Chart:
  """Reliability diagrams: a network's accuracy by its confidence.

  A grey bar spans the points of 95% of calibrated networks.

  Args:
    panels: by title, what `assessment.calibrated` returned.
    columns: panels per row.
  """
  rows = [
    {
      'panel': title,
      'confidence': b['confidence'],
      'accuracy': b['accuracy'],
      'low': b['by_chance'][0],
      'high': b['by_chance'][1],
      'photos': b['count'],
    }
    for title, calibration in panels.items()
    for b in calibration['bins']
  ]
  base = alt.Chart().encode(
    x=alt.X('confidence:Q', title='confidence').scale(domain=[0, 1]),
  )
  diagonal = alt.Chart(alt.Data(values=[{'at': 0}, {'at': 1}])).mark_line(
    strokeDash=[4, 4], strokeWidth=1, color='#888888'
  )
  diagonal = diagonal.encode(x='at:Q', y='at:Q')
  chance = base.mark_rule(strokeWidth=7, color='#8886').encode(
    y=alt.Y('low:Q', title='accuracy').scale(domain=[0, 1]), y2='high:Q'
  )
  points = base.mark_point(filled=True, opacity=1, color=charts.BLUE).encode(
    y='accuracy:Q',
    size=alt.Size('photos:Q').scale(type='sqrt', range=[15, 250]),
  )
  chart = (
    alt.layer(diagonal, chance, points, data=alt.Data(values=rows))
    .properties(width=210, height=210)
    .facet(alt.Facet('panel:N', title=None, sort=list(panels)), columns=columns)
  )
  return charts.finish(
    chart, 'How often a network is right, by how sure it is.'
  )
