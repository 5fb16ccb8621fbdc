"""A trained network as one file that does not need this package.

The network maps photos, uint8, B × H × W × 3 for any B, to a probability
per label of each task. The metadata is JSON, see `about`. docs/export.md has
programs that read such files.
"""

import contextlib
import io
import json
import logging
import zipfile
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jax
import numpy as np
from jax.interpreters import batching

from imat_jax import errors, options
from imat_jax.data import preprocess
from imat_jax.data.types import Batch
from imat_jax.models import kernels
from imat_jax.models.network import Network
from imat_jax.runtime import environment
from imat_jax.training.evaluation import logits
from imat_jax.training.trained_model import TrainedModel

# The members of a StableHLO artefact, which is a zip file.
ABOUT = 'metadata.json'
NETWORK = 'network.bin'

PLATFORMS = ('cpu', 'cuda', 'rocm', 'tpu')
INPUT = 'photos'
# The newest that onnxruntime 1.20 reads.
OPSET = 21


def stablehlo(trained: TrainedModel) -> bytes:
  """A zip file with the network, serialized by `jax.export`, and `about`.

  Deterministic.
  """
  network = jax.jit(probabilities(trained))
  with kernels.portable(), _without_traces():
    exported = jax.export.export(network, platforms=PLATFORMS)(_input(trained))
  archive = io.BytesIO()
  with zipfile.ZipFile(archive, 'w') as members:
    # Without ZipInfo, the current time would be written.
    members.writestr(zipfile.ZipInfo(ABOUT), _text(trained))
    members.writestr(zipfile.ZipInfo(NETWORK), bytes(exported.serialize()))
  return archive.getvalue()


def onnx(trained: TrainedModel) -> bytes:
  """An ONNX model with an output per task; `about` is in its metadata.

  Raises:
    UserError: jax2onnx is not installed, or a task has the input's name.
  """
  if INPUT in trained.task_set.names:
    raise errors.UserError(
      f"the task '{INPUT}' has the name of the network's input, which ONNX "
      'does not allow; --format=stablehlo does'
    )
  network = probabilities(trained)

  def in_order(image_BxHxWxC):
    return tuple(network(image_BxHxWxC).values())

  jax2onnx = converter()
  import onnx_ir
  from onnx_ir.passes import common

  with kernels.portable():
    model = jax2onnx.to_onnx(
      in_order,
      [_input(trained)],
      model_name='imat_jax',
      opset=OPSET,
      input_names=[INPUT],
      output_names=trained.task_set.names,
      return_mode='ir',
    )
  # A mirror image goes through the same weights, which are there twice.
  common.DeduplicateHashedInitializersPass()(model)
  model = onnx_ir.to_proto(model)
  model.metadata_props.add(key='metadata', value=_text(trained))
  return model.SerializeToString(deterministic=True)


def converter() -> ModuleType:
  """The package jax2onnx.

  Raises:
    UserError: it is not installed.
  """
  # It logs each shape that it does not know.
  for name in ('jax2onnx', 'onnx_ir'):
    logging.getLogger(name).setLevel(logging.ERROR)
  # jax 0.10 has no such name any more, which was None; jax2onnx 0.13 reads it.
  if not hasattr(batching, 'not_mapped'):
    batching.not_mapped = None
  try:
    import jax2onnx
  except ModuleNotFoundError as error:
    raise errors.UserError(
      f'--format=onnx needs the package {error.name}: pip install '
      "'imat_jax[onnx]'"
    ) from None
  return jax2onnx


def probabilities(
  trained: TrainedModel,
) -> Callable[[jax.Array], dict[str, jax.Array]]:
  """The network as a function of photos, uint8, B × H × W × 3.

  Returns task → the probability of each label, B × K.
  """
  task_set = trained.task_set
  network = Network(trained.run.model, task_set)

  def of_photos(image_BxHxWxC: jax.Array) -> dict[str, jax.Array]:
    batch = Batch(image_BxHxWxC, None)
    logits_BxTxK = logits(network, trained.variables, batch)
    probability_by_task = {}
    for t, task in enumerate(task_set):
      # Not [:, t], which the converter makes a gather with unused nodes, about
      # which onnxruntime warns.
      task_BxK = jax.lax.index_in_dim(logits_BxTxK, t, axis=1, keepdims=False)
      task_BxK = jax.lax.slice_in_dim(task_BxK, 0, len(task.labels), axis=1)
      probability_by_task[task.name] = jax.nn.softmax(task_BxK)
    return probability_by_task

  return of_photos


def about(trained: TrainedModel) -> dict[str, Any]:
  """The metadata of the network, JSON.

  `tasks` has the names of the labels in the order of the probabilities;
  `preprocessing` describes how the evaluation turns a photo into the input.
  """
  run, stopping = trained.run, trained.history.stopping
  height, width = run.model.trunk.shape
  stored, resampling = trained.resize
  return {
    'tasks': trained.task_set.to_json(),
    'input': {
      'name': INPUT,
      'shape': ['B', height, width, 3],
      'dtype': 'uint8',
      'channels': 'RGB',
    },
    'preprocessing': {
      'stored_side': stored,
      'filter': resampling,
      'jpeg_quality': preprocess.QUALITY,
      'image_shape': [height, width],
      'steps': [
        'turn the photo upright as its EXIF data say; RGB, transparency on '
        'white',
        f'squash it to {stored} × {stored} pixels, {resampling}, antialiased',
        f'encode it as JPEG of quality {preprocess.QUALITY} and decode it',
        f'sample it at {height} × {width} places, bilinear, not antialiased; '
        f'of n places, p lies at pixel (p + 1/2) {stored} / n - 1/2',
        'leave it uint8: the network divides by 255',
      ],
    },
    'training': {
      'epoch': stopping.best_epoch,
      'step': trained.history.best_step,
      'seed': run.seed,
      'trunk': options.to_json(run.model.trunk),
    },
    'versions': environment.describe()['versions'],
  }


def _text(trained: TrainedModel) -> str:
  return json.dumps(about(trained), indent=2, ensure_ascii=False)


def _input(trained: TrainedModel) -> jax.ShapeDtypeStruct:
  (batch_size,) = jax.export.symbolic_shape('B')
  return jax.ShapeDtypeStruct(
    (batch_size, *trained.run.model.trunk.shape, 3), np.uint8
  )


@contextlib.contextmanager
def _without_traces() -> Iterator[None]:
  """Keeps the paths of local source files out of the export."""
  name = 'jax_traceback_in_locations_limit'
  limit = getattr(jax.config, name)
  jax.config.update(name, 0)
  try:
    yield
  finally:
    jax.config.update(name, limit)
