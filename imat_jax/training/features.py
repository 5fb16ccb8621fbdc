"""A frozen trunk's features of all photos, computed once and kept.

Beside the data set, or in the user's cache where that is in a bucket or cannot
be written. The name holds what they depend on: the weights, the trunk's
options, the data set and the split. Any run and any study reads them.
"""

import functools
import hashlib
import json
import pathlib

import jax
import numpy as np

from imat_jax import config, options, tasks
from imat_jax.data import device_dataset, input_pipeline, source
from imat_jax.data.types import Batch
from imat_jax.models import network, pretrained
from imat_jax.models.trunks import PretrainedTrunk
from imat_jax.runtime import distributed, files, progress
from imat_jax.training import inputs, sharding

_BATCH_SIZE = 32


class FeatureInputs(inputs.CachedInputs):
  """A frozen trunk's features of the photos; computed once."""

  def __init__(
    self,
    training: config.Training,
    trunk: PretrainedTrunk,
    task_set: tasks.TaskSet,
  ):
    super().__init__(training, trunk.shape, task_set)
    self._trunk = trunk

  @functools.cached_property
  def _photos(self) -> device_dataset.Features:
    stored = read(self._training, self._trunk, self._examples)
    return device_dataset.Features(*sharding.replicate(stored))

  def _load(self, split: str) -> list[Batch]:
    feature_Nx1xD, label_NxT = read(
      self._training, self._trunk, self._held_out[split]
    )
    feature_NxD = feature_Nx1xD[:, 0]
    size, number = self._training.batch_size, len(label_NxT)
    padding = input_pipeline.num_steps(number, size) * size - number
    whole = Batch(
      np.pad(feature_NxD, ((0, padding), (0, 0))),
      np.pad(label_NxT, ((0, padding), (0, 0)), constant_values=tasks.MISSING),
    )
    shard = sharding.shard()
    local = size // shard.number
    batches = []
    for start in range(0, number, size):
      first = start + shard.index * local
      part = jax.tree.map(lambda x, at=first: x[at : at + local], whole)
      batches.append(sharding.shard_batch(part))
    return batches


def read(
  training: config.Training, trunk: PretrainedTrunk, examples: source.Source
) -> tuple[np.ndarray, np.ndarray]:
  """The features, N × V × D, and the labels, N × T, of a split's photos.

  The first of the V views is the photo as it is; only train photos have more.

  Raises:
    UserError: the weights cannot be had or do not fit.
  """
  views = 1 + (trunk.views if examples.split == 'train' else 0)
  path = _path(training, trunk, examples.split)
  rows, label_NxT = examples.rows, examples.label_NxT()
  examples = source.Source(training.data_dir, examples.split, examples.task_set)
  shape = len(examples), views, network.trained_input(trunk).shape[1]
  feature_NxVxD = _read(path, shape) if distributed.is_primary() else None
  if distributed.broadcast_from_primary(lambda: feature_NxVxD is None):
    feature_NxVxD = np.stack(
      [_compute(training, trunk, examples, view) for view in range(views)], 1
    )
    if distributed.is_primary():
      with files.atomic_write(path) as file:
        np.save(file, feature_NxVxD)
  else:
    feature_NxVxD = distributed.broadcast_arrays(
      feature_NxVxD, jax.ShapeDtypeStruct(shape, np.float32)
    )
  return feature_NxVxD[rows], label_NxT


def _read(path: pathlib.Path, shape: tuple[int, ...]) -> np.ndarray | None:
  """Stored features; None if there are none, or damaged ones."""
  try:
    feature_NxVxD = np.load(path)
  except (OSError, ValueError, EOFError):
    return None
  is_whole = feature_NxVxD.shape == shape and feature_NxVxD.dtype == np.float32
  return feature_NxVxD if is_whole else None


def _path(
  training: config.Training, trunk: PretrainedTrunk, split: str
) -> pathlib.Path:
  data_dir = training.data_dir
  facts = {
    'trunk': trunk.kind,
    'options': {
      name: value
      for name, value in options.fixed(trunk).items()
      if name != 'train_trunk'
    },
    'warps': trunk.views and options.fixed(training.augmentation),
    'data_set': source.read_metadata(data_dir)['fingerprint'],
  }
  key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
  folder = pathlib.Path(data_dir)
  if files.is_url(data_dir) or not files.is_writable(folder):
    folder = files.cache_folder()
  return folder / 'features' / f'{trunk.kind}-{key[:16]}-{split}.npy'


def _compute(
  training: config.Training,
  trunk: PretrainedTrunk,
  examples: source.Source,
  view: int,
) -> np.ndarray:
  """All features, in the order of the photos; of all processes together."""
  shard = sharding.shard()
  size = max(_BATCH_SIZE, jax.device_count())
  size -= size % jax.device_count()
  data = input_pipeline.eval_dataset(
    examples,
    trunk.shape,
    size,
    augmentation=training.augmentation if view else None,
    shard=shard,
    view=view,
  )
  module, params = trunk.make(), sharding.replicate(pretrained.params(trunk))

  @jax.jit
  def features_of(params, image_BxHxWxC):
    module_of = functools.partial(
      module.apply, {'params': params}, deterministic=True
    )
    feature_BxD = network.features_of(trunk, module_of, image_BxHxWxC)
    return sharding.constrain_replicated(feature_BxD)

  parts, number = [], len(examples)
  with progress.Progress(
    number, f'features {examples.split} {view}', 'photo'
  ) as bar:
    for batch in input_pipeline.iterate(data, training.loader):
      image_BxHxWxC = sharding.shard_batch(batch.image_BxHxWxC)
      parts.append(jax.device_get(features_of(params, image_BxHxWxC)))
      bar.advance(min(size, number - size * (len(parts) - 1)))
  return np.concatenate(parts)[:number]
