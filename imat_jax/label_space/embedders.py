"""Features of photos, N × D; and what a head has learned of labels, K × D."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from imat_jax import config, errors
from imat_jax.data import input_pipeline, source
from imat_jax.label_space import lab
from imat_jax.models import network
from imat_jax.models.presets import imagenet
from imat_jax.runtime import progress
from imat_jax.training import features
from imat_jax.training.trained_model import TrainedModel

_BATCH_SIZE = 32


def centre(image_NxHxWxC: np.ndarray) -> np.ndarray:
  """The middle third of the rows and columns."""
  _, height, width, _ = image_NxHxWxC.shape
  rows = slice(height // 3, height - height // 3)
  columns = slice(width // 3, width - width // 3)
  return image_NxHxWxC[:, rows, columns]


def centre_lab(image_NxHxWxC: np.ndarray) -> np.ndarray:
  """The mean L*a*b* of the centre of each photo, N × 3."""
  return lab.from_srgb(centre(image_NxHxWxC)).mean((1, 2))


def trunk(examples: source.Source, trained: TrainedModel | None) -> np.ndarray:
  """Features as the heads see them, of a run or, without one, of ImageNet."""
  data_dir = str(examples.data_dir)
  model = trained.run.model if trained else _imagenet(data_dir)
  if model.trunk.is_frozen:
    settings = config.Training(data_dir=data_dir, workdir=data_dir)
    feature_NxVxD, _ = features.read(settings, model.trunk, examples)
    feature_NxD = feature_NxVxD[:, 0]
  else:
    feature_NxD = _trunk(examples, trained)
  return np.asarray(network.seen_by_heads(model, feature_NxD))


def _imagenet(data_dir: str) -> config.Model:
  """Its own photos' size, or that of the data set's where they are smaller."""
  model = imagenet.LINEAR_PROBE
  side = min(model.trunk.height, source.read_metadata(data_dir)['image_size'])
  trunk = dataclasses.replace(model.trunk, image_size=side)
  return dataclasses.replace(model, trunk=trunk)


def _trunk(examples: source.Source, trained: TrainedModel) -> np.ndarray:
  model = trained.run.model
  module = network.Network(model, trained.task_set)

  @jax.jit
  def features_of(variables, image_BxHxWxC):
    return module.apply(variables, image_BxHxWxC, True, method='features')

  data = input_pipeline.eval_dataset(examples, model.trunk.shape, _BATCH_SIZE)
  parts = [
    jax.device_get(features_of(trained.variables, batch.image_BxHxWxC))
    for batch in progress.each(data, 'trunk', 'batch')
  ]
  return np.concatenate(parts)[: len(examples)]


def head(
  trained: TrainedModel, task_name: str, labels: Sequence[str]
) -> np.ndarray:
  """The columns of the last kernel of a task's head, one per label.

  Raises:
    UserError: the run has not learned the task, or a label of it.
  """
  task_set = trained.task_set
  known = task_set[task_name].labels if task_name in task_set.names else ()
  if unknown := [label for label in labels if label not in known]:
    raise errors.UserError(
      f'the run has no head for {task_name} with {", ".join(unknown)}'
    )
  column = task_set.names.index(task_name)
  kernel_DxTxK = trained.variables['params']['heads']['logits']['kernel']
  kernel_KxD = np.asarray(kernel_DxTxK[:, column]).T
  return kernel_KxD[[known.index(label) for label in labels]]
