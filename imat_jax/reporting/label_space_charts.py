"""The charts of labels as points: their tree, a map, and how many groups."""

import altair as alt
import numpy as np
from scipy.cluster import hierarchy

from imat_jax.label_space.clusters import Grouping
from imat_jax.label_space.vectors import Labels
from imat_jax.reporting import charts


def dendrogram(grouping: Grouping, labels: Labels) -> charts.Chart:
  """The tree; what is joined within a group is blue."""
  drawn = hierarchy.dendrogram(grouping.linkage, no_plot=True)
  highest = grouping.linkage[len(labels.names) - grouping.number - 1, 2]
  joints = [
    {
      'joint': joint,
      'corner': corner,
      'place': y,
      'distance': x,
      'color': color,
    }
    for joint, (ys, xs) in enumerate(
      zip(drawn['icoord'], drawn['dcoord'], strict=True)
    )
    for color in [charts.BLUE if max(xs) <= highest else charts.GREY]
    for corner, (y, x) in enumerate(zip(ys, xs, strict=True))
  ]
  # Where scipy puts the leaves.
  leaves = [
    {'label': labels.names[k], 'place': 10 * n + 5, 'color': _hex(labels)[k]}
    for n, k in enumerate(drawn['leaves'])
  ]
  y = alt.Y('place:Q', axis=None).scale(zero=False)
  color = alt.Color('color:N', scale=None)
  lines = (
    alt.Chart(alt.Data(values=joints))
    .mark_line(strokeWidth=2, aria=False)
    .encode(
      x=alt.X('distance:Q', axis=alt.Axis(tickCount=5)),
      y=y,
      color=color,
      detail='joint:N',
      order='corner:Q',
    )
  )
  of_leaf = alt.Chart(alt.Data(values=leaves)).encode(x=alt.datum(0), y=y)
  chart = alt.layer(
    lines,
    _dot(of_leaf).encode(color=color, description='label:N'),
    _text(of_leaf, align='right', dx=-10),
  ).properties(width=240, height=18 * len(labels.names))
  return charts.finish(chart, f'{grouping.name}: the tree of the labels.')


def label_map(grouping: Grouping, labels: Labels) -> charts.Chart:
  """The two principal components; lines go to the middle of a label's group."""
  centred_KxD = grouping.point_KxD - grouping.point_KxD.mean(0)
  left_KxK, size_K, _ = np.linalg.svd(centred_KxD, full_matrices=False)
  place_Kx2 = (left_KxK * size_K)[:, :2]
  share_2 = (size_K**2 / (size_K**2).sum())[:2]
  middles = [
    place_Kx2[grouping.group_K == group].mean(0) for group in grouping.group_K
  ]
  rows = [
    {
      'label': name,
      **{'x': float(x), 'y': float(y)},
      **{'middle_x': float(middle[0]), 'middle_y': float(middle[1])},
      'color': color,
    }
    for name, (x, y), middle, color in zip(
      labels.names, place_Kx2, middles, _hex(labels), strict=True
    )
  ]
  titles = [f'{100 * share:.0f}% of the variance' for share in share_2]
  base = alt.Chart(alt.Data(values=rows)).encode(
    x=alt.X('x:Q', title=titles[0]), y=alt.Y('y:Q', title=titles[1])
  )
  chart = alt.layer(
    base.mark_rule(color=charts.BLUE, aria=False).encode(
      x2='middle_x:Q', y2='middle_y:Q'
    ),
    _dot(base).encode(
      color=alt.Color('color:N', scale=None), description='label:N'
    ),
    _text(base, align='left', dx=8),
  ).properties(width=300, height=260)
  return charts.finish(chart, f'{grouping.name}: a map of the labels.')


def stability(grouping: Grouping) -> charts.Chart:
  """How alike the groups of draws are, by their number."""
  rows = [
    {
      'groups': number,
      'stability': round(value, 4),
      'color': charts.ORANGE if number == grouping.number else charts.BLUE,
      'text': f'{number} groups: {value:.3f}',
    }
    for number, value in grouping.stability.items()
  ]
  base = alt.Chart(alt.Data(values=rows)).encode(
    x=alt.X('groups:Q', axis=alt.Axis(tickMinStep=1)),
    y=alt.Y('stability:Q').scale(domain=[0, 1]),
  )
  chart = alt.layer(
    base.mark_line(color=charts.BLUE, aria=False),
    base.mark_point(filled=True, size=60, opacity=1).encode(
      color=alt.Color('color:N', scale=None), description='text:N'
    ),
  ).properties(width=190, height=170)
  return charts.finish(chart, f'{grouping.name}: stability.')


def _dot(base: alt.Chart) -> alt.Chart:
  return base.mark_point(
    filled=True, size=110, opacity=1, stroke='#888', strokeWidth=1
  )


def _text(base: alt.Chart, **place) -> alt.Chart:
  return base.mark_text(color='currentColor', aria=False, **place).encode(
    text='label:N'
  )


def _hex(labels: Labels) -> list[str]:
  color_KxC = np.rint(labels.color_KxC).astype(int)
  return ['#{:02x}{:02x}{:02x}'.format(*color_C) for color_C in color_KxC]
