"""Lets labels form groups: embeds them, groups them, and writes the page."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from imat_jax import errors, options, tasks
from imat_jax.data import device_dataset, label_groups, source
from imat_jax.data.types import VALIDATION
from imat_jax.label_space import (
  clusters,
  embedders,
  vae,
  vae_training,
  vectors,
)
from imat_jax.label_space.vectors import Labels
from imat_jax.reporting import label_space_page
from imat_jax.reporting.label_space_page import Pictures
from imat_jax.runtime import files, outputs
from imat_jax.study.label_space_config import LabelSpace
from imat_jax.training import trained_model

_THREADS = 4
_PICTURES = 8  # photos that the page has with their reconstructions
_ACTIVE = 0.01  # nats, from which a latent dimension tells something


class _Photos(NamedTuple):
  """The train photos, of which M have one of the K labels."""

  image_NxHxWxC: np.ndarray
  labelled: source.Source  # the M
  label_M: np.ndarray  # 0 … K - 1

  @property
  def image_MxHxWxC(self) -> np.ndarray:
    return self.image_NxHxWxC[self.labelled.rows]


def run_label_space(settings: LabelSpace) -> None:
  """Forms the groups of each embedder, and reports."""
  root = pathlib.Path(settings.workdir)
  group_of = _curated(settings)
  trained = trained_model.load(settings.run) if settings.run else None
  for name in settings.embedders:  # which may have been edited since
    outputs.check(root / f'groups_{name}.yaml')
  files.write_json(root / 'label_space.json', options.to_json(settings))
  photos, labels = _read(settings, group_of)
  groupings, pictures = [], None
  for name in settings.embedders:
    if name == 'head':
      points = _dimensions(
        embedders.head(trained, settings.task, labels.names), settings.draws
      )
    else:
      if name == 'lab':
        features = [embedders.centre_lab(photos.image_MxHxWxC)]
      elif name == 'trunk':
        features = [embedders.trunk(photos.labelled, trained)]
      else:
        autoencoders = _autoencoders(settings, photos)
        features = [a.encode(photos.image_MxHxWxC)[0] for a in autoencoders]
        pictures = _pictures(
          settings, autoencoders[0], features[0], photos.label_M
        )
      points = _points(features, photos.label_M, settings.draws)
    groupings.append(clusters.form(name, *points, labels.reference_K))
  print(label_space_page.write(settings, labels, groupings, pictures))


def _curated(settings: LabelSpace) -> Mapping[str, str] | None:
  """Label → group by hand.

  Raises:
    UserError: the file has no groups of the task.
  """
  if not settings.curated:
    return None
  for grouping in label_groups.read(settings.curated):
    if grouping.task == settings.task:
      return grouping.group_of
  raise errors.UserError(
    f'--curated={settings.curated}: has no groups of {settings.task}; '
    '--curated= compares with none'
  )


def _read(
  settings: LabelSpace, group_of: Mapping[str, str] | None
) -> tuple[_Photos, Labels]:
  """The photos, and the labels with enough of them.

  Raises:
    UserError: there are fewer than three such labels.
  """
  task_set = source.read_tasks(settings.data_dir).select([settings.task])
  examples = source.Source(settings.data_dir, 'train', task_set)
  image_NxHxWxC, label_Nx1 = device_dataset.decode(
    examples, _THREADS, settings.vae.vae_side
  )
  (task,) = task_set
  count_L = np.bincount(label_Nx1[label_Nx1 >= 0], minlength=len(task.labels))
  label_K = [
    label
    for label, name in enumerate(task.labels)
    if count_L[label] >= settings.min_photos and name != tasks.OTHER
  ]
  if len(label_K) < 3:
    raise errors.UserError(
      f'--min_photos={settings.min_photos}: {len(label_K)} labels of '
      f'{task.name} have so many train photos; groups need three'
    )
  row_M, label_M = np.nonzero(label_Nx1 == np.array(label_K)[None])
  labelled = source.Source(settings.data_dir, 'train', task_set, row_M)
  color_MxC = embedders.centre(image_NxHxWxC[row_M]).mean((1, 2))
  names = tuple(task.labels[label] for label in label_K)
  labels = Labels(
    names,
    count_L[label_K],
    vectors.of_labels(color_MxC, label_M).mean_AxKxD,
    # A label in no group is one of its own.
    group_of and tuple(group_of.get(name, name) for name in names),
  )
  return _Photos(image_NxHxWxC, labelled, label_M), labels


def _points(
  features: Sequence[np.ndarray], label_M: np.ndarray, draws: int
) -> tuple[np.ndarray, np.ndarray]:
  """Points of S embeddings, S × K × D; draws spread over them, A × K × D."""
  point_SxKxD = [
    vectors.of_labels(one, label_M).point_AxKxD() for one in features
  ]
  drawn = [
    vectors.drawn(one, label_M, -(-draws // len(features)), seed).point_AxKxD()
    for seed, one in enumerate(features)
  ]
  return np.stack(point_SxKxD), np.concatenate(drawn)


def _dimensions(
  point_KxD: np.ndarray, draws: int
) -> tuple[np.ndarray, np.ndarray]:
  """The same of points without photos: draws of their dimensions.

  As Suzuki and Shimodaira, "Pvclust" (2006), draw them.
  """
  rng = np.random.default_rng(0)
  number = point_KxD.shape[1]
  drawn_AxKxD = point_KxD[:, rng.integers(0, number, (draws, number))]
  return point_KxD[None], np.moveaxis(drawn_AxKxD, 1, 0)


def _autoencoders(
  settings: LabelSpace, photos: _Photos
) -> list[vae_training.Trained]:
  return [
    vae_training.train(
      settings.vae,
      photos.image_NxHxWxC,
      seed,
      pathlib.Path(settings.workdir) / 'autoencoders',
      source.read_metadata(settings.data_dir)['fingerprint'],
    )
    for seed in range(settings.vae_seeds)
  ]


def _pictures(
  settings: LabelSpace,
  trained: vae_training.Trained,
  latent_MxZ: np.ndarray,
  label_M: np.ndarray,
) -> Pictures:
  """What an autoencoder makes of validation photos, of noise and of labels."""
  task_set = source.read_tasks(settings.data_dir).select([settings.task])
  rows = np.arange(_PICTURES)
  examples = source.Source(settings.data_dir, VALIDATION, task_set, rows)
  original_NxHxWxC, _ = device_dataset.decode(
    examples, _THREADS, settings.vae.vae_side
  )
  latent = trained.encode(original_NxHxWxC)
  noise_NxZ = np.random.default_rng(0).normal(size=latent[0].shape)
  label_KxZ = vectors.of_labels(latent_MxZ, label_M).mean_AxKxD
  kl_NxZ = vae.kl_divergence(*latent)
  return Pictures(
    original_NxHxWxC,
    trained.decode(latent[0]),
    trained.decode(noise_NxZ),
    trained.decode(label_KxZ),
    trained.term_Ex2,
    int((np.asarray(kl_NxZ).mean(0) > _ACTIVE).sum()),
  )
