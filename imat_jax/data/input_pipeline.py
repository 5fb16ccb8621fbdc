"""Batches as a pure function of (seed, step), made by grain.

An epoch visits each photo once, in an order drawn from (seed, epoch), and is
padded to full batches with unlabelled black images, which no loss and no metric
counts. In training the shuffle spreads the padding, so no step sees only a few
photos; in evaluation it comes last.

Images stay uint8 until the step scales them to [0, 1].
"""

import functools
import gc
import math
import pathlib
import shutil
import signal
from collections.abc import Callable, Iterator

import cv2
import grain
import numpy as np

from imat_jax import config, errors, tasks
from imat_jax.data import augment, random, source
from imat_jax.data.types import ALL, Batch, Shard

# cv2 would start a thread per core within each of grain's.
cv2.setNumThreads(0)

_PADDING_JPEG = b''
_SHARED_MEMORY = pathlib.Path('/dev/shm')
# Per loader process; measured with grain 0.2.
_BATCHES_IN_FLIGHT = 4


def num_steps(num_examples: int, batch_size: int) -> int:
  """Steps of an epoch."""
  return math.ceil(num_examples / batch_size)


def train_dataset(
  examples: source.Source,
  shape: tuple[int, int],
  batch_size: int,
  seed: int,
  augmentation: config.Augmentation,
  shard: Shard = ALL,
  end_N: np.ndarray | None = None,
) -> grain.MapDataset:
  """Endless shuffled, augmented batches; `[s]` is the batch of step s.

  With `end_N` not each photo once in an epoch: see `random.resampled`.
  """

  padded = _Padded(examples, batch_size)

  def augmented(number: int) -> Batch:
    epoch, place = divmod(number, len(padded))
    place = random.permutation(seed, epoch, len(padded))[place]
    if end_N is not None:
      place = random.resampled(seed, epoch, place, end_N)
    record = padded[place]
    matrix = _matrix(seed, 'augment', number, batch_size, augmentation)
    return _example(record, matrix, shape, augmentation.fill)

  return _batches(len(padded), batch_size, shard, augmented, epochs=None)


def eval_dataset(
  examples: source.Source,
  shape: tuple[int, int],
  batch_size: int,
  augmentation: config.Augmentation | None = None,
  shard: Shard = ALL,
  view: int = 0,
) -> grain.MapDataset:
  """Each photo once, in order; with `augmentation`, warped as in the report.

  The warps are the same for every run's seed, so that runs can be compared;
  each `view` has others.
  """

  padded = _Padded(examples, batch_size)

  def example(number: int) -> Batch:
    record = padded[number]
    if augmentation is None:
      return _example(record, augment.IDENTITY, shape, 'nearest')
    matrix = _matrix(view, 'evaluate', number, batch_size, augmentation)
    return _example(record, matrix, shape, augmentation.fill)

  return _batches(len(padded), batch_size, shard, example, epochs=1)


def _batches(
  length: int,
  batch_size: int,
  shard: Shard,
  example: Callable[[int], Batch],
  epochs: int | None,
) -> grain.MapDataset:
  """One shard of the batches of examples 0, 1, …; `length` per epoch."""
  local_batch_size = batch_size // shard.number

  def shard_example(index: int, _) -> Batch:
    step, place = divmod(index, local_batch_size)
    return example(step * batch_size + shard.index * local_batch_size + place)

  return (
    grain.MapDataset.range(length // shard.number)
    .repeat(epochs)
    .map_with_index(shard_example)
    .batch(local_batch_size, batch_fn=_stack)
  )


def iterate(
  dataset: grain.MapDataset, loader: config.Loader, start: int = 0
) -> Iterator[Batch]:
  """The batches from step `start` on, prefetched by threads or processes."""
  options = grain.ReadOptions(
    num_threads=loader.loader_threads, prefetch_buffer_size=4
  )
  ahead = dataset[start:].to_iter_dataset(options)
  if not loader.loader_processes:
    return iter(ahead)
  ahead = ahead.mp_prefetch(
    grain.MultiprocessingOptions(num_workers=loader.loader_processes),
    worker_init_fn=_ignore_interrupts,
  )
  return _with_loader_errors(ahead, loader.loader_processes)


def check_shared_memory(
  batch_size: int, shape: tuple[int, int], loader: config.Loader
) -> None:
  """Raises if loader processes would fill the shared memory.

  Batches pass through /dev/shm, which in a container has 64 MB by default. Each
  process holds several, for training and for validation.

  Args:
    batch_size: photos per step on this machine.
    shape: height and width of a batch in pixels.
    loader: number of processes.
  """
  number = loader.loader_processes
  if not number or not _SHARED_MEMORY.is_dir():
    return
  needed = 2 * _BATCHES_IN_FLIGHT * number * batch_size * math.prod(shape) * 3
  free = shutil.disk_usage(_SHARED_MEMORY).free
  if free < needed:
    raise errors.UserError(
      f'--loader_processes={number}: needs about {needed // 10**6:,} MB of '
      f'shared memory, {_SHARED_MEMORY} has {free // 10**6:,} MB free; enlarge '
      'it (docker run --shm-size=2g or --ipc=host) or use fewer processes'
    )


def _with_loader_errors(
  batches: grain.IterDataset, number: int
) -> Iterator[Batch]:
  """The batches; a dead loader process raises a one-line error."""
  ahead = iter(batches)
  try:
    yield from ahead
  except (RuntimeError, OSError) as error:
    raise errors.UserError(
      f'--loader_processes={number}: a loader process died '
      f'({errors.first_line(error)}); memory or {_SHARED_MEMORY} may be full: '
      'use fewer processes, or a larger container (docker run --shm-size=2g)'
    ) from error
  finally:
    # Frees the shared memory of batches that were not consumed, and of the last
    # one, which grain's thread holds in a cycle with the error that ended it.
    ahead.close()
    gc.collect()


def _ignore_interrupts(worker: int, workers: int) -> None:
  # Ctrl-C reaches every process of the terminal; the loop still needs batches.
  del worker, workers
  signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Padded:
  """A source padded to full batches, behind its last example."""

  def __init__(self, examples: source.Source, batch_size: int):
    self._examples = examples
    self._length = num_steps(len(examples), batch_size) * batch_size
    missing_T = np.full(len(examples.task_set), tasks.MISSING, np.int32)
    # Not None: grain skips that.
    self._padding = source.Record(_PADDING_JPEG, '', missing_T)

  def __len__(self) -> int:
    return self._length

  def __getitem__(self, index: int) -> source.Record:
    inside = index < len(self._examples)
    return self._examples[index] if inside else self._padding


def _example(
  record: source.Record,
  matrix: np.ndarray,
  shape: tuple[int, int],
  fill: str,
) -> Batch:
  if record.jpeg == _PADDING_JPEG:
    return Batch(np.zeros((*shape, 3), np.uint8), record.label_T)
  image_HxWxC = decode(record)
  return Batch(augment.warp(image_HxWxC, matrix, shape, fill), record.label_T)


def decode(record: source.Record) -> np.ndarray:
  """The stored photo, uint8, H × W × 3.

  Raises:
    UserError: its bytes are not a JPEG.
  """
  encoded = np.frombuffer(record.jpeg, np.uint8)
  image_HxWxC = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
  if image_HxWxC is None:
    raise errors.UserError(
      f'photo {record.image_id} of the data set is damaged; rebuild the data '
      'set with --overwrite'
    )
  return image_HxWxC


def _stack(examples: list[Batch]) -> Batch:
  return Batch(*map(np.stack, zip(*examples, strict=True)))


def _matrix(
  seed: int,
  name: str,
  number: int,
  batch_size: int,
  augmentation: config.Augmentation,
) -> np.ndarray:
  step, place = divmod(number, batch_size)
  return _matrices(seed, name, step, batch_size, augmentation)[place]


@functools.lru_cache(maxsize=16)
def _matrices(
  seed: int,
  name: str,
  step: int,
  batch_size: int,
  augmentation: config.Augmentation,
) -> np.ndarray:
  """The warps of a batch; one numpy call, as one per photo is slow."""
  first = np.uint32(step * batch_size % 2**32)
  number_B = first + np.arange(batch_size, dtype=np.uint32)
  return augment.random_warps(np.uint32(seed), name, number_B, augmentation)
