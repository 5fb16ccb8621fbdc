"""What a run reads: the loader's batches, or photos that stay on the device."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax

from imat_jax import config, errors, tasks
from imat_jax.data import pipeline, resident, source
from imat_jax.models import trunk
from imat_jax.training.state import TrainState


class Data(NamedTuple):
  """The splits of a run."""

  train: Callable[[int], Iterator[Any]]  # from a step on, what a step is fed
  validation: Callable[[], Iterable[pipeline.Batch]]  # each photo once
  num_examples: int  # in train
  steps: int  # of an epoch


def open_data(run: config.Run, task_set: tasks.TaskSet) -> Data:
  """Opens the data set for a run.

  Raises:
    UserError: there is none, or it does not suit the run.
  """
  side = trunk.image_side(run.model.geometry)
  size = source.read_metadata(run.data_dir)['image_size']
  if size < side:
    raise errors.UserError(
      f'{run.data_dir}: photos are for {size} pixels, --geometry='
      f'{run.model.geometry} needs {side}: build with --image_size={side}'
    )
  examples = source.Source(run.data_dir, 'train', task_set)
  evaluation = pipeline.eval_dataset(
    source.Source(run.data_dir, 'validation', task_set),
    side,
    run.batch_size,
    seed=run.seed,
    knobs=run.augmentation if run.eval_augmented else None,
  )

  def stream(start: int) -> Iterator[pipeline.Batch]:
    dataset = pipeline.train_dataset(
      examples, side, run.batch_size, run.seed, run.augmentation
    )
    return pipeline.iterate(dataset, run.loader, start)

  def stay(start: int) -> Iterator[resident.Feed]:
    photos = resident.load(examples, run.loader.loader_threads)
    return resident.feeds(photos, run.seed, run.batch_size, start)

  def validation() -> Iterator[pipeline.Batch]:
    return pipeline.iterate(evaluation, run.loader)

  @functools.cache
  def kept() -> list[pipeline.Batch]:
    return [jax.device_put(batch) for batch in validation()]

  return Data(
    stay if run.resident else stream,
    kept if run.resident else validation,
    len(examples),
    pipeline.num_steps(len(examples), run.batch_size),
  )


def to_batch(run: config.Run, fed: Any, now: TrainState) -> pipeline.Batch:
  """The batch of a step, to be called inside of the jitted one."""
  if not run.resident:
    return fed
  side = trunk.image_side(run.model.geometry)
  return resident.batch(
    fed, now.seed, now.step, side, run.batch_size, run.augmentation
  )
