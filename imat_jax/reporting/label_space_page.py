"""The page of labels whose groups form themselves, `report.html`."""

import base64
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from imat_jax.data import label_groups
from imat_jax.label_space import clusters
from imat_jax.label_space.clusters import Agreement, Grouping
from imat_jax.label_space.vectors import Labels
from imat_jax.reporting import html
from imat_jax.reporting.intervals import ALPHA
from imat_jax.runtime import files, outputs
from imat_jax.study.label_space_config import LabelSpace
from imat_jax.writers import plots

TITLES = {
  'lab': 'color of the centre',
  'trunk': 'features of a trunk',
  'head': 'columns of a head',
  'vae': 'autoencoder',
}


class Pictures(NamedTuple):
  """What an autoencoder shows, images uint8.

  Attributes:
    original_NxHxWxC: validation photos.
    reconstructed_NxHxWxC: the same, encoded and decoded.
    sample_NxHxWxC: decoded noise.
    label_KxHxWxC: the decoded mean of each label.
    term_Ex2: each epoch's log likelihood and KL divergence, in nats per photo.
    active: the number of latent dimensions that tell something of a photo.
  """

  original_NxHxWxC: np.ndarray
  reconstructed_NxHxWxC: np.ndarray
  sample_NxHxWxC: np.ndarray
  label_KxHxWxC: np.ndarray
  term_Ex2: np.ndarray
  active: int


def members(grouping: Grouping, labels: Labels) -> dict[str, list[str]]:
  """Group → its labels; it is called after the one with most photos."""
  groups = {}
  for number in range(grouping.number):
    label_M = np.flatnonzero(grouping.group_K == number)
    label_M = label_M[np.argsort(-labels.count_K[label_M], kind='stable')]
    groups[labels.names[label_M[0]]] = [labels.names[k] for k in label_M]
  return groups


def write(
  settings: LabelSpace,
  labels: Labels,
  groupings: Sequence[Grouping],
  pictures: Pictures | None,
) -> str:
  """Writes the page, the groups and `groups.json`; returns what to print.

  Args:
    settings: the config.
    labels: that are grouped.
    groupings: of each embedder.
    pictures: of the autoencoder, if there is one.
  """
  from imat_jax.reporting import label_space_charts  # altair: a second

  root = pathlib.Path(settings.workdir)
  lines = verdict(settings, labels, groupings)
  formed = [members(grouping, labels) for grouping in groupings]
  stable, equal = [stable_row(grouping) for grouping in groupings], []
  if labels.reference:
    number = len({*labels.reference})
    equal = [equal_row(grouping, number) for grouping in groupings]
  html.write(
    root / 'report.html',
    'label_space.html',
    settings.data_dir,
    settings,
    [settings.task],
    {
      g.name: [
        label_space_charts.dendrogram(g, labels),
        label_space_charts.label_map(g, labels),
        label_space_charts.stability(g),
      ]
      for g in groupings
    },
    title=f'Which labels of {settings.task} belong together?',
    notes=[
      f'{len(labels.names)} labels with at least {settings.min_photos} train '
      'photos',
      f'{settings.draws} draws',
    ],
    warnings=[],
    lines=lines,
    stable=stable,
    equal=equal,
    between=between(groupings),
    groups=dict(zip((g.name for g in groupings), formed, strict=True)),
    embedders={grouping.name: TITLES[grouping.name] for grouping in groupings},
    pictures=pictures and shown(pictures, labels),
    trained_by=[],
  )
  files.write_json(
    root / 'groups.json',
    {
      g.name: {
        'stable': stable[n],
        'equal': equal[n] if equal else None,
        'stabilities': g.stability,
        'groups': formed[n],
      }
      for n, g in enumerate(groupings)
    },
  )
  paths = [root / f'groups_{grouping.name}.yaml' for grouping in groupings]
  for path, groups in zip(paths, formed, strict=True):
    outputs.write_text(path, label_groups.text(settings.task, groups))
  return html.summary(lines, [root / 'report.html', *paths])


def verdict(
  settings: LabelSpace, labels: Labels, groupings: Sequence[Grouping]
) -> list[str]:
  """Which embedder agrees best with the groups by hand, at their number."""
  if labels.reference is None:
    return []
  number = len({*labels.reference})
  by_name = {g.name: g.agreement_at_equal for g in groupings}
  best = max(by_name, key=lambda name: by_name[name].rand)
  in_groups = f'in {number} groups, as many as {settings.curated} has'
  if by_name[best].p_value > ALPHA:
    return [
      'No groups agree with those by hand more than random ones do: '
      f'{in_groups}, the adjusted Rand index is at most '
      f'{by_name[best].rand:.2f}'
    ]
  lines = [
    f'The {TITLES[best]} agrees best with the groups by hand: {in_groups}, '
    f'{_agreement(by_name[best])}'
  ]
  if 'vae' in by_name and by_name['vae'].rand < by_name[best].rand:
    lines.append(
      f'The {TITLES["vae"]} has not earned its place: '
      f'{_agreement(by_name["vae"])}'
    )
  return lines


def _agreement(found: Agreement) -> str:
  return f'adjusted Rand index {found.rand:.2f} (p = {found.p_value:.4f})'


def stable_row(grouping: Grouping) -> dict[str, Any]:
  """An embedder's groups, in their most stable number."""
  return {
    'embedder': TITLES[grouping.name],
    'groups': grouping.number,
    'stability': grouping.stability[grouping.number],
    'between seeds': grouping.between_seeds,
    **_columns(grouping.agreement),
  }


def equal_row(grouping: Grouping, number: int) -> dict[str, Any]:
  """The same in as many groups as there are by hand."""
  return {
    'embedder': TITLES[grouping.name],
    'groups': number,
    'stability': grouping.stability.get(number),
    **_columns(grouping.agreement_at_equal),
  }


def between(groupings: Sequence[Grouping]) -> list[dict[str, Any]]:
  """The adjusted Rand index of each pair of embedders, most stable numbers."""
  group_ExK = np.stack([grouping.group_K for grouping in groupings])
  rand_ExE = clusters.adjusted_rand(group_ExK, group_ExK)
  titles = [TITLES[grouping.name] for grouping in groupings]
  return [
    {'embedder': title, **dict(zip(titles, map(float, rand_E), strict=True))}
    for title, rand_E in zip(titles, rand_ExE, strict=True)
  ]


def _columns(agreement: Agreement | None) -> dict[str, Any]:
  if agreement is None:
    return {}
  names = 'Rand index', 'purity', 'random, 95%', 'p'
  return dict(zip(names, agreement, strict=True))


def shown(pictures: Pictures, labels: Labels) -> dict[str, Any]:
  """The pictures as PNG, and what is told of them."""
  log_likelihood, kl = map(float, pictures.term_Ex2[-1])
  pairs_NxHxWxC = np.concatenate(
    [pictures.original_NxHxWxC, pictures.reconstructed_NxHxWxC]
  )
  pixels = pictures.original_NxHxWxC[0].size
  return {
    'reconstructions': _grid(pairs_NxHxWxC),
    'samples': _grid(pictures.sample_NxHxWxC),
    'labels': _grid(pictures.label_KxHxWxC, labels.names),
    'epochs': len(pictures.term_Ex2),
    'log_likelihood': log_likelihood / pixels,
    'kl': kl,
    'active': pictures.active,
  }


def _grid(image_NxHxWxC: np.ndarray, names: Sequence[str] = ()) -> str:
  """Images twice as large, with their names."""
  images = [
    Image.fromarray(image).resize(
      (2 * image.shape[1], 2 * image.shape[0]), Image.Resampling.BICUBIC
    )
    for image in image_NxHxWxC
  ]
  captions = [[plots.Caption(name)] for name in names]
  grid = plots.png(plots.image_grid(images, captions))
  return base64.b64encode(grid).decode()
