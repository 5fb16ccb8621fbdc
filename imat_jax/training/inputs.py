"""What runs read: the loader's batches, or photos that stay on the device."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax

from imat_jax import config, errors, tasks
from imat_jax.data import device_dataset, input_pipeline, source
from imat_jax.models import trunk
from imat_jax.training import sharding
from imat_jax.training.state import TrainState


class Feed(NamedTuple):
  """What a step makes its batches of; a pytree that costs little to pass."""

  shared: Any  # the batch, or all photos
  own: jax.Array | None  # the orders of the runs, R × steps × B; or none


class Data(NamedTuple):
  """The splits, for runs of any seeds."""

  train: Callable[[Sequence[int], int], Iterator[Feed]]  # from a step on
  validation: Callable[[], Iterable[input_pipeline.Batch]]  # each photo once
  num_train: int
  num_validation: int
  steps: int  # of an epoch


def open_data(
  training: config.Training, geometry: str, task_set: tasks.TaskSet
) -> Data:
  """Opens the data set.

  Photos that stay on the device are decoded when they are first needed, and
  once.

  Raises:
    UserError: there is none, or it does not suit the geometry.
  """
  side = trunk.image_side(geometry)
  size = source.read_metadata(training.data_dir)['image_size']
  if size < side:
    raise errors.UserError(
      f'{training.data_dir}: photos are for {size} pixels, --geometry='
      f'{geometry} needs {side}: build with --image_size={side}'
    )
  batch_size, loader = training.batch_size, training.loader
  own = batch_size // sharding.shard().number
  input_pipeline.check_shared_memory(own, side, loader)
  examples = source.Source(training.data_dir, 'train', task_set)
  held_out = source.Source(training.data_dir, 'validation', task_set)
  evaluation = input_pipeline.eval_dataset(
    held_out,
    side,
    batch_size,
    knobs=training.augmentation if training.eval_augmented else None,
    share=sharding.shard(),
  )
  steps = input_pipeline.num_steps(len(examples), batch_size)

  def stream(seeds: Sequence[int], start: int) -> Iterator[Feed]:
    (seed,) = seeds
    dataset = input_pipeline.train_dataset(
      examples,
      side,
      batch_size,
      int(seed),
      training.augmentation,
      sharding.shard(),
    )
    for batch in input_pipeline.iterate(dataset, loader, start):
      yield Feed(sharding.shard_batch(batch), None)

  @functools.cache
  def photos() -> device_dataset.Photos:
    return sharding.replicate(
      device_dataset.load(examples, loader.loader_threads)
    )

  def stay(seeds: Sequence[int], start: int) -> Iterator[Feed]:
    epoch, skipped = divmod(start, steps)
    while True:
      order = sharding.replicate(
        device_dataset.order(seeds, epoch, steps, batch_size)
      )
      for _ in range(skipped, steps):
        yield Feed(photos(), order)
      epoch, skipped = epoch + 1, 0

  def validation() -> Iterator[input_pipeline.Batch]:
    return map(sharding.shard_batch, input_pipeline.iterate(evaluation, loader))

  @functools.cache
  def kept() -> list[input_pipeline.Batch]:
    return list(validation())

  return Data(
    stay if training.cache_on_device else stream,
    kept if training.cache_on_device else validation,
    len(examples),
    len(held_out),
    steps,
  )


def to_batch(
  shared: Any,
  own: jax.Array | None,
  now: TrainState,
  side: int,
  knobs: config.Augmentation,
) -> input_pipeline.Batch:
  """The batch of a run's step, to be called inside of the jitted one."""
  if own is None:
    return shared
  made = device_dataset.batch(shared, own, now.seed, now.step, side, knobs)
  return sharding.constrain_batch(made)
