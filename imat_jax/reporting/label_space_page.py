"""The page of labels whose groups form themselves, `report.html`."""

import base64
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from imat_jax.data import label_groups
from imat_jax.label_space.clusters import Agreement, Grouping
from imat_jax.label_space.vectors import Labels
from imat_jax.reporting import html
from imat_jax.runtime import files
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
  html.write(
    root / 'report.html',
    'label_space.html',
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
    rows=[table_row(grouping) for grouping in groupings],
    groups=dict(zip((g.name for g in groupings), formed, strict=True)),
    embedders={grouping.name: TITLES[grouping.name] for grouping in groupings},
    pictures=pictures and shown(pictures, labels),
    trained_by=[],
  )
  files.write_json(
    root / 'groups.json',
    {
      g.name: table_row(g) | {'stabilities': g.stability, 'groups': groups}
      for g, groups in zip(groupings, formed, strict=True)
    },
  )
  paths = [root / f'groups_{grouping.name}.yaml' for grouping in groupings]
  for path, groups in zip(paths, formed, strict=True):
    files.write_text(path, label_groups.text(settings.task, groups))
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
  lines = [
    f'In as many groups as {settings.curated} has ({number}), '
    f'{_agreement(best, by_name)}'
  ]
  if 'vae' in by_name and best != 'vae':
    lines.append(
      f'The autoencoder has not earned its place: {_agreement("vae", by_name)}'
    )
  return lines


def _agreement(name: str, by_name: Mapping[str, Agreement]) -> str:
  found = by_name[name]
  return (
    f'{TITLES[name]}: adjusted Rand index {found.rand:.2f} '
    f'(random groups {found.random_rand + 0:.2f}, p = {found.p_value:.4f})'
  )


def table_row(grouping: Grouping) -> dict[str, Any]:
  """The numbers of an embedder; those at equal number are beside."""
  return {
    'embedder': TITLES[grouping.name],
    'groups': grouping.number,
    'stability': grouping.stability[grouping.number],
    'between seeds': grouping.between_seeds,
    **_columns(grouping.agreement, ''),
    **_columns(grouping.agreement_at_equal, ', equal number'),
  }


def _columns(agreement: Agreement | None, suffix: str) -> dict[str, Any]:
  if agreement is None:
    return {}
  names = 'Rand index', 'purity', 'random Rand index', 'p'
  return {
    f'{name}{suffix}': value
    for name, value in zip(names, agreement, strict=True)
  }


def shown(pictures: Pictures, labels: Labels) -> dict[str, Any]:
  """The pictures as PNG, and what is told of them."""
  log_likelihood, kl = pictures.term_Ex2[-1]
  pairs_NxHxWxC = np.concatenate(
    [pictures.original_NxHxWxC, pictures.reconstructed_NxHxWxC]
  )
  pixels = pictures.original_NxHxWxC[0].size
  return {
    'reconstructions': _grid(pairs_NxHxWxC),
    'samples': _grid(pictures.sample_NxHxWxC),
    'labels': _grid(pictures.label_KxHxWxC, labels.names),
    'epochs': len(pictures.term_Ex2),
    'log_likelihood': float(log_likelihood / pixels),
    'kl': float(kl),
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
