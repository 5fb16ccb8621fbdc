import io
import itertools
import shutil

import numpy as np
import pytest
from PIL import Image

from imat_jax import config, errors, tasks
from imat_jax.data import input_pipeline, source
from imat_jax.data.types import ALL, Batch, Shard

SHAPE = 12, 10
STILL = config.Augmentation(rotation=0.0, shift=0.0, zoom=0.0, flip=0.0)
WARP = config.Augmentation()


class Photos:
  """A data set in memory: photo i has the label i; odd ones lack the other.

  Its pictures are noise, so that two warps of a photo differ.
  """

  task_set = tasks.TaskSet((tasks.Task('number', ()), tasks.Task('age', ())))

  def __init__(self, number: int):
    self._number = number

  def __len__(self):
    return self._number

  def __getitem__(self, index: int) -> source.Record:
    rng = np.random.default_rng(index)
    picture = rng.integers(0, 256, (15, 15, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, 'JPEG')
    label_T = np.array([index, -1 if index % 2 else 0], np.int32)
    return source.Record(file.getvalue(), str(index), label_T)


def train(number=10, batch_size=4, seed=0, augmentation=WARP):
  return input_pipeline.train_dataset(
    Photos(number), SHAPE, batch_size, seed, augmentation
  )


def evaluation(number=10, batch_size=4, **options):
  return input_pipeline.eval_dataset(
    Photos(number), SHAPE, batch_size, **options
  )


def epoch(dataset, number, steps=3):
  """The batches of an epoch, as one."""
  batches = [dataset[number * steps + step] for step in range(steps)]
  return Batch(*map(np.concatenate, zip(*batches, strict=True)))


def order(dataset, number):
  return epoch(dataset, number).label_BxT[:, 0].tolist()


def by_number(batch):
  """Photo number → image; without the padding."""
  numbers = batch.label_BxT[:, 0]
  return {
    n: image
    for n, image in zip(numbers, batch.image_BxHxWxC, strict=True)
    if n != -1
  }


def assert_same(result, expected):
  np.testing.assert_array_equal(result.image_BxHxWxC, expected.image_BxHxWxC)
  np.testing.assert_array_equal(result.label_BxT, expected.label_BxT)


@pytest.mark.parametrize(
  'number, batch_size, steps',
  [(1, 1, 1), (1, 4, 1), (4, 4, 1), (5, 4, 2), (8, 4, 2), (42029, 128, 329)],
)
def test_num_steps(number, batch_size, steps):
  assert input_pipeline.num_steps(number, batch_size) == steps


def test_batches_are_uint8_and_full():
  for dataset in (train(), evaluation(), evaluation(augmentation=WARP)):
    for step in range(3):
      batch = dataset[step]
      assert batch.image_BxHxWxC.shape == (4, *SHAPE, 3)
      assert batch.image_BxHxWxC.dtype == np.uint8
      assert batch.label_BxT.shape == (4, 2)
      assert batch.label_BxT.dtype == np.int32


def test_a_batch_is_a_function_of_seed_and_step():
  steps = (7, 0, 100, 1)
  there = {step: train(seed=3)[step] for step in steps}
  dataset = train(seed=3)
  for step in sorted(steps):
    assert_same(dataset[step], there[step])


@pytest.mark.parametrize('start', [0, 2, 5])
def test_iterate_gives_the_batches_from_a_step_on(start):
  dataset = train()
  batches = input_pipeline.iterate(dataset, config.Loader(), start)
  for step, batch in enumerate(itertools.islice(batches, 5), start):
    assert_same(batch, dataset[step])


@pytest.mark.parametrize('threads', [1, 7])
def test_threads_change_no_batch(threads):
  dataset = train()
  loader = config.Loader(loader_threads=threads)
  batches = itertools.islice(input_pipeline.iterate(dataset, loader), 4)
  for step, batch in enumerate(batches):
    assert_same(batch, dataset[step])


def test_processes_change_no_batch(built):
  """With the real data set, which has to reach the processes."""
  task_set = source.read_tasks(built).select(['apparel', 'age'])
  examples = source.Source(built, 'train', task_set)
  dataset = input_pipeline.train_dataset(examples, SHAPE, 16, 0, WARP)
  start = 2
  loader = config.Loader(loader_processes=2)
  batches = input_pipeline.iterate(dataset, loader, start)
  for step in range(start, start + 5):
    batch = next(batches)
    assert isinstance(batch, Batch)
    assert_same(batch, dataset[step])


def test_every_epoch_has_each_photo_once_and_padding():
  dataset = train()
  for number in range(5):
    assert sorted(order(dataset, number)) == [-1, -1, *range(10)]


def test_a_photo_keeps_its_labels():
  label_BxT = epoch(train(), 2).label_BxT
  for number, age in label_BxT:
    assert age == (0 if number % 2 == 0 else -1)


def test_padding_is_black_and_without_labels():
  for dataset in (train(), evaluation(), evaluation(augmentation=WARP)):
    batch = epoch(dataset, 0)
    is_padding_B = batch.label_BxT[:, 0] == -1
    assert is_padding_B.sum() == 2
    assert (batch.label_BxT[is_padding_B] == -1).all()
    assert (batch.image_BxHxWxC[is_padding_B] == 0).all()
    means_B = batch.image_BxHxWxC[~is_padding_B].mean((1, 2, 3))
    assert (means_B > 50).all()


def test_the_shuffle_spreads_the_padding():
  dataset = train()
  ends = [order(dataset, number)[8:].count(-1) for number in range(8)]
  assert 0 in ends


def test_no_padding_where_batches_come_out_even():
  dataset = train(number=12)
  for number in range(3):
    assert sorted(order(dataset, number)) == list(range(12))
  assert -1 not in epoch(evaluation(number=12), 0).label_BxT[:, 0]


def test_each_epoch_and_each_seed_has_another_order():
  orders = [
    tuple(order(train(seed=seed), number))
    for seed in range(4)
    for number in range(4)
  ]
  # Seeds s and s + 1 do not share orders one epoch apart, either.
  assert len(set(orders)) == 16


def test_each_epoch_and_each_seed_warps_a_photo_differently():
  pictures = {
    by_number(epoch(train(seed=seed), number))[6].tobytes()
    for seed in range(3)
    for number in range(3)
  }
  assert len(pictures) == 9


def test_each_photo_of_a_batch_has_another_warp():
  """Seen on copies of one photo."""

  class Copies(Photos):
    def __getitem__(self, index):
      return super().__getitem__(0)

  dataset = input_pipeline.train_dataset(Copies(8), SHAPE, 8, 0, WARP)
  pictures = {image.tobytes() for image in dataset[0].image_BxHxWxC}
  assert len(pictures) == 8


def test_without_augmentation_training_images_equal_evaluation_images():
  expected = by_number(epoch(evaluation(), 0))
  images = by_number(epoch(train(augmentation=STILL), 3))
  assert images.keys() == expected.keys() == set(range(10))
  for number, image in images.items():
    np.testing.assert_array_equal(image, expected[number])


def test_evaluation_is_in_order_with_the_padding_last():
  dataset = evaluation()
  assert len(dataset) == 3
  assert order(dataset, 0) == [*range(10), -1, -1]
  batches = list(input_pipeline.iterate(dataset, config.Loader()))
  assert len(batches) == 3
  for step, batch in enumerate(batches):
    assert_same(batch, dataset[step])


def test_evaluation_can_be_augmented_and_is_the_same_each_time():
  plain, again = evaluation(), evaluation(augmentation=WARP)
  warped = evaluation(augmentation=WARP)
  assert len(warped) == 3
  assert order(warped, 0) == order(plain, 0)
  assert_same(epoch(warped, 0), epoch(again, 0))
  images, usual = by_number(epoch(warped, 0)), by_number(epoch(plain, 0))
  for number in range(10):
    assert (images[number] != usual[number]).any()


def test_evaluation_does_not_warp_as_training_does():
  trained = by_number(epoch(train(), 0))
  evaluated = by_number(epoch(evaluation(augmentation=WARP), 0))
  for number in range(10):
    assert (trained[number] != evaluated[number]).any()


def test_a_batch_may_be_larger_than_the_data_set():
  batch = evaluation(number=3, batch_size=8)[0]
  assert batch.label_BxT[:, 0].tolist() == [0, 1, 2, *[-1] * 5]
  dataset = train(number=3, batch_size=8)
  for step in range(3):
    numbers = dataset[step].label_BxT[:, 0].tolist()
    assert sorted(numbers) == [*[-1] * 5, 0, 1, 2]


def test_images_have_the_orientation_and_the_colors_of_the_photo():
  """Red above blue, in RGB."""

  class Flag(Photos):
    def __getitem__(self, index):
      picture = np.zeros((15, 15, 3), np.uint8)
      picture[:7, :, 0] = picture[8:, :, 2] = 255
      file = io.BytesIO()
      Image.fromarray(picture).save(file, 'JPEG')
      return source.Record(file.getvalue(), '0', np.zeros(2, np.int32))

  dataset = input_pipeline.eval_dataset(Flag(1), SHAPE, 1)
  image = dataset[0].image_BxHxWxC[0].astype(int)
  np.testing.assert_allclose(image[1, 6], (255, 0, 0), atol=16)
  np.testing.assert_allclose(image[-2, 6], (0, 0, 255), atol=16)


def test_a_damaged_photo_is_an_error_that_names_it():
  class Damaged(Photos):
    def __getitem__(self, index):
      return source.Record(b'no photo', 'shoe 7', np.zeros(2, np.int32))

  dataset = input_pipeline.eval_dataset(Damaged(1), SHAPE, 1)
  with pytest.raises(errors.UserError, match='shoe 7'):
    list(input_pipeline.iterate(dataset, config.Loader()))


def test_a_built_data_set_gives_batches(built):
  task_set = source.read_tasks(built).select(['apparel', 'color'])
  examples = source.Source(built, 'validation', task_set)
  dataset = input_pipeline.eval_dataset(examples, (32, 32), 8)
  label_BxT = epoch(dataset, 0).label_BxT
  expected = [examples[i].label_T for i in range(21)] + [[-1, -1]] * 3
  np.testing.assert_array_equal(label_BxT, expected)


@pytest.mark.parametrize('number', [1, 2, 4])
def test_shares_together_are_the_batch(built, number):
  examples = source.Source(built, 'train', source.read_tasks(built))
  augmentation = config.Augmentation()

  def both(shard: Shard) -> list[Batch]:
    train = input_pipeline.train_dataset(
      examples, (128, 128), 16, 3, augmentation, shard
    )
    evaluation = input_pipeline.eval_dataset(
      examples, (128, 128), 16, augmentation, shard
    )
    assert len(evaluation) == input_pipeline.num_steps(len(examples), 16)
    return [train[5], train[1], evaluation[3]]

  parts = [both(Shard(index, number)) for index in range(number)]
  for whole, *shares in zip(both(ALL), *parts, strict=True):
    for all_B, *own in zip(whole, *shares, strict=True):
      np.testing.assert_array_equal(np.concatenate(own), all_B)


def test_too_little_shared_memory_is_reported_before_the_first_step(
  monkeypatch,
):
  usage = shutil.disk_usage('/')._replace(free=64 * 2**20)
  monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
  input_pipeline.check_shared_memory(128, (128, 128), config.Loader())
  with pytest.raises(errors.UserError, match='shm-size=2g'):
    input_pipeline.check_shared_memory(
      128, (128, 128), config.Loader(loader_processes=2)
    )
