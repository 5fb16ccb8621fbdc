"""What runs read: batches that a loader streams, or photos on the device."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from imat_jax import config, errors, tasks
from imat_jax.data import (
  device_dataset,
  input_pipeline,
  pixels,
  random,
  source,
)
from imat_jax.data.types import Batch
from imat_jax.models.trunks import Trunk
from imat_jax.training import losses, sharding
from imat_jax.training.state import TrainState


class StepInput(NamedTuple):
  """What a step makes its batches of; a pytree that costs little to pass."""

  shared: Any  # the batch, or all photos or their features
  order: jax.Array | None  # of the photos in an epoch, R × steps × B; or none
  class_weight_TxK: jax.Array | None = None  # of labels in the loss

  def batch(
    self,
    state: TrainState,
    shape: tuple[int, int],
    augmentation: config.Augmentation,
    task_set: tasks.TaskSet,
  ) -> Batch:
    """The batch of one run's step; to be called inside of the jitted one."""
    if isinstance(self.shared, device_dataset.Features):
      batch = device_dataset.feature_batch(
        self.shared, self.order, state.seed, state.step
      )
      return sharding.constrain_batch(batch)
    if self.order is None:
      batch = self.shared
    else:
      batch = sharding.constrain_batch(
        device_dataset.batch(
          self.shared, self.order, state.seed, state.step, shape, augmentation
        )
      )
    is_protected_T = np.isin(task_set.names, augmentation.protect)
    # In a study the tasks of other runs are in the batch, too.
    protected_T = is_protected_T & (state.weight_T > 0)
    return pixels.augment(
      batch, state.seed, state.step, augmentation, protected_T
    )


# For `vmap_runs`: each run has its order, the rest is of all.
STEP_INPUT_AXES = StepInput(None, 0, None)


class StreamedInputs:
  """Decoded and augmented by the host while the device works; of one run."""

  def __init__(
    self,
    training: config.Training,
    shape: tuple[int, int],
    task_set: tasks.TaskSet,
  ):
    self._training, self._shape = training, shape
    shard = sharding.shard()
    input_pipeline.check_shared_memory(
      training.batch_size // shard.number, shape, training.loader
    )
    self._examples = _train_examples(training, task_set)
    self.reported_split = source.reported_split(training.data_dir)
    self._held_out = {
      split: source.Source(training.data_dir, split, task_set)
      for split in dict.fromkeys(('validation', self.reported_split))
    }
    self._evaluation = {
      split: input_pipeline.eval_dataset(
        examples,
        shape,
        training.batch_size,
        augmentation=training.augmentation if training.eval_augmented else None,
        shard=shard,
      )
      for split, examples in self._held_out.items()
    }
    self.num_train = len(self._examples)
    self.num_reported = len(self._held_out[self.reported_split])
    self.steps_per_epoch = input_pipeline.num_steps(
      self.num_train, training.batch_size
    )

  @functools.cached_property
  def _end_N(self) -> np.ndarray | None:
    """For `random.resampled`, if an epoch has not each train photo once."""
    name = self._training.balanced_task
    if not name:
      return None
    names = self._examples.task_set.names
    task = names.index(tasks.resolve(name, names))
    return random.balanced_ends(self._examples.label_NxT()[:, task])

  @functools.cached_property
  def _class_weight_TxK(self) -> jax.Array | None:
    power = self._training.loss.class_weighting
    if not power:
      return None
    label_NxT = self._examples.label_NxT()
    most_labels = self._examples.task_set.most_labels
    count_TxK = np.stack(
      [
        np.bincount(column[column >= 0], minlength=most_labels)
        for column in label_NxT.T
      ]
    )
    return sharding.replicate(losses.class_weights(count_TxK, power))

  def train(self, seeds: Sequence[int], start: int) -> Iterator[StepInput]:
    """What the steps from `start` on read, without end."""
    (seed,) = seeds
    # Element `step` of the data set is the batch of that step, so a resumed run
    # begins at `start` and no state of an iterator is stored.
    dataset = input_pipeline.train_dataset(
      self._examples,
      self._shape,
      self._training.batch_size,
      int(seed),
      self._training.augmentation,
      sharding.shard(),
      self._end_N,
    )
    for batch in input_pipeline.iterate(dataset, self._training.loader, start):
      yield StepInput(sharding.shard_batch(batch), None, self._class_weight_TxK)

  def validation(self) -> Iterable[Batch]:
    """Each validation photo once; the last batch is padded."""
    return self._batches('validation')

  def reported(self) -> Iterable[Batch]:
    """The same of the photos of `reported_split`."""
    return self._batches(self.reported_split)

  def _batches(self, split: str) -> Iterable[Batch]:
    dataset = self._evaluation[split]
    batches = input_pipeline.iterate(dataset, self._training.loader)
    return map(sharding.shard_batch, batches)

  def held_out(self, number: int) -> Batch:
    """One of the batches of `validation`, in turn."""
    dataset = self._evaluation['validation']
    return sharding.shard_batch(dataset[number % len(dataset)])


def _train_examples(
  training: config.Training, task_set: tasks.TaskSet
) -> source.Source:
  """The train photos, or some of them, with all of their labels or some."""
  examples = source.Source(training.data_dir, 'train', task_set)
  if not isinstance(training, config.Run):
    return examples
  if training.train_photos:
    examples = examples.draw(training.train_photos, training.seed)
  if training.label_share:
    shares = {
      tasks.resolve(name, task_set.names): share
      for name, share in training.label_shares.items()
    }
    examples = examples.keep_labels(shares, training.seed)
  return examples


class CachedInputs(StreamedInputs):
  """The same from photos on the device, decoded once.

  Of any number of runs, unless they have --train_photos or --label_share: what
  these draw is of one seed.
  """

  def __init__(
    self,
    training: config.Training,
    shape: tuple[int, int],
    task_set: tasks.TaskSet,
  ):
    super().__init__(training, shape, task_set)
    self._loaded = {}  # split → its batches

  def train(self, seeds: Sequence[int], start: int) -> Iterator[StepInput]:
    # The order of an epoch is a function of (seed, epoch), the place within it
    # of the step: this too can begin anywhere.
    steps, batch_size = self.steps_per_epoch, self._training.batch_size
    epoch, skipped = divmod(start, steps)
    while True:
      order = device_dataset.order(seeds, epoch, steps, batch_size, self._end_N)
      step_input = StepInput(
        self._photos, sharding.replicate(order), self._class_weight_TxK
      )
      for _ in range(skipped, steps):
        yield step_input
      epoch, skipped = epoch + 1, 0

  def _batches(self, split: str) -> Sequence[Batch]:
    if split not in self._loaded:
      self._loaded[split] = self._load(split)
    return self._loaded[split]

  def _load(self, split: str) -> list[Batch]:
    return list(super()._batches(split))

  def held_out(self, number: int) -> Batch:
    batches = self._batches('validation')
    return batches[number % len(batches)]

  @functools.cached_property
  def _photos(self) -> device_dataset.Photos:
    threads = self._training.loader.loader_threads
    return sharding.replicate(device_dataset.load(self._examples, threads))


def open_inputs(
  training: config.Training, trunk: Trunk, task_set: tasks.TaskSet
) -> StreamedInputs:
  """Opens the data set; photos are decoded when they are first needed.

  Args:
    training: where it is, and how it is read.
    trunk: what sees the photos.
    task_set: whose labels are read.

  Raises:
    UserError: there is none, its photos are smaller, or too few.
  """
  side = max(trunk.shape)
  size = source.read_metadata(training.data_dir)['image_size']
  if size < side:
    raise errors.UserError(
      f'{training.data_dir}: photos are for {size} pixels, the network sees '
      f'{side}: build with --image_size={side}, or train with --image_size='
      f'{size}'
    )
  if trunk.is_frozen:
    from imat_jax.training import features  # here: most runs have none

    data = features.FeatureInputs(training, trunk, task_set)
  else:
    kind = CachedInputs if training.cache_on_device else StreamedInputs
    data = kind(training, trunk.shape, task_set)
  steps = training.epochs * data.steps_per_epoch
  if training.optimizer.accumulation > steps:
    raise errors.UserError(
      f'--accumulation={training.optimizer.accumulation}: the run has {steps} '
      'steps, so nothing would be trained'
    )
  return data
