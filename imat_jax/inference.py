"""Labels photo files with a trained run.

Photos are preprocessed as in `build` and the evaluation, so probabilities equal
those of the evaluation bit for bit.
"""

import collections
import concurrent.futures
import io
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from imat_jax import tasks
from imat_jax.data import augment, input_pipeline, preprocess, source
from imat_jax.data.types import Batch, Resize
from imat_jax.training import compiled, trained_model
from imat_jax.training.ensemble import Ensemble


class Prediction(NamedTuple):
  """A run's prediction for a photo: a probability per label, or an error."""

  path: str
  probability_TxK: np.ndarray | None  # 0 past the last label of a task
  error: str = ''

  def best(self, task_set: tasks.TaskSet, task: str, number: int = 1):
    """The likeliest labels of a task with their probabilities, best first."""
    labels = task_set[task].labels
    row = task_set.names.index(task)
    probability_K = self.probability_TxK[row, : len(labels)]
    order = np.argsort(-probability_K, kind='stable')[:number]
    return [(labels[k], float(probability_K[k])) for k in order]


class Predictor:
  """A run at its best epoch.

  Args:
    run: its workdir.
    batch_size: photos per step; there is one compiled program for it, however
      many photos there are.

  Raises:
    UserError: no run, a damaged one, or one without a finished epoch.
  """

  def __init__(self, run: str | pathlib.Path, batch_size: int = 64):
    self.trained = trained_model.load(run)
    self.task_set = self.trained.task_set
    self.shape = self.trained.run.model.trunk.shape
    self._batch_size = batch_size
    self._logits = compiled.logits(Ensemble((self.trained.run,), self.task_set))
    self._variables_R = jax.device_put(
      jax.tree.map(lambda leaf: leaf[None], self.trained.variables)
    )

  def label(self, paths: Iterable[str]) -> Iterator[Prediction]:
    """Labels photos, in their order; reads a few batches ahead."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
      read = _ahead(pool, self._read, paths, 3 * self._batch_size)
      for chunk in _chunks(read, self._batch_size):
        yield from self._label(chunk)

  def probabilities(self, image_NxHxWxC: np.ndarray) -> np.ndarray:
    """The probabilities for images of the run's size, uint8: N × T × K."""
    parts = [
      jax.nn.softmax(self.logits(image_NxHxWxC[start:][: self._batch_size]))
      for start in range(0, len(image_NxHxWxC), self._batch_size)
    ]
    return np.concatenate(parts)

  def logits(self, image_BxHxWxC: np.ndarray) -> np.ndarray:
    """The logits of at most a batch of images, B × T × K."""
    number = len(image_BxHxWxC)
    missing = self._batch_size - number
    padded = np.pad(image_BxHxWxC, ((0, missing), (0, 0), (0, 0), (0, 0)))
    label_BxT = np.zeros((self._batch_size, len(self.task_set)), np.int32)
    batch = Batch(padded, label_BxT)
    (logits_BxTxK,) = jax.device_get(self._logits(self._variables_R, batch))
    return logits_BxTxK[:number]

  def prepare(self, file: pathlib.Path | io.BytesIO) -> np.ndarray | str:
    """The image that the run sees, or why not; see `inference.prepare`."""
    return prepare(file, self.shape, self.trained.resize)

  def _read(self, path: str) -> tuple[str, np.ndarray | str]:
    return path, self.prepare(pathlib.Path(path))

  def _label(self, chunk: list[tuple[str, Any]]) -> Iterator[Prediction]:
    images = [image for _, image in chunk if not isinstance(image, str)]
    probabilities = iter(self.probabilities(np.stack(images)) if images else ())
    for path, image in chunk:
      if isinstance(image, str):
        yield Prediction(path, None, image)
      else:
        yield Prediction(path, next(probabilities))


def prepare(
  file: pathlib.Path | io.BytesIO, shape: tuple[int, int], resize: Resize
) -> np.ndarray | str:
  """The image that the network sees, or why the photo cannot be read.

  Returns:
    uint8, `shape` × 3.
  """
  # JPEG-compressed as in a data set, which changes pixels a little.
  encoded = preprocess.encoded(file, resize)
  if isinstance(encoded, str):
    return encoded
  record = source.Record(encoded.jpeg, str(file), np.empty(0))
  stored_HxWxC = input_pipeline.decode(record)
  return augment.warp(stored_HxWxC, augment.IDENTITY, shape, 'nearest')


def _ahead(
  pool: concurrent.futures.Executor,
  call: Callable[[str], Any],
  items: Iterable[str],
  number: int,
) -> Iterator[Any]:
  """`map` that is at most `number` items ahead of its consumer."""
  futures = collections.deque()
  for item in items:
    futures.append(pool.submit(call, item))
    if len(futures) >= number:
      yield futures.popleft().result()
  while futures:
    yield futures.popleft().result()


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
  chunk = []
  for item in items:
    chunk.append(item)
    if len(chunk) == size:
      yield chunk
      chunk = []
  if chunk:
    yield chunk
