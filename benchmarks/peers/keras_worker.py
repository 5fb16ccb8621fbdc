"""Public 3M in Keras, a contestant of `benchmarks/duel.py` (see `worker`).

  keras-env/bin/python benchmarks/peers/keras_worker.py --what=step --tasks=2

`--what=step` is a training step on a fixed batch in memory; `input` a pass over
the train photos, from JPEG files to augmented float batches in [0, 1]; `epoch`
a training epoch on them, from the files or, with `--source=memory`, from the
photos decoded beforehand. The network is that of `keras_public_3m`.
"""

import functools

import keras
import keras_public_3m as public_3m
import numpy as np
import tensorflow as tf
import worker
import workload
from keras import layers
from keras.src.trainers.data_adapters import py_dataset_adapter

SIDE = workload.SIDES['report']
# Who makes the batches: ImageDataGenerator in this many threads (its processes
# are forks of TensorFlow's threads and at times stand still for ever), or
# tf.data with Keras's preprocessing layers, or with one warp by hand.
INPUTS = ('threads_1', 'threads_2', 'tf_data', 'tf_warp')


def make_model(counts, flags, geometry='report'):
  keras.utils.set_random_seed(0)
  return public_3m.build_model(counts, geometry, jit_compile=flags.jit)


def step_of_fit(model, photos, labels):
  """The program that fit runs for each batch, without its callbacks."""
  endless = tf.data.Dataset.from_tensors((photos, labels)).repeat()
  batches = iter(endless)
  model.train_on_batch(photos, labels)  # builds the metrics and the optimizer
  model.make_train_function()
  return lambda: model.train_function(batches)['loss']


def prepare_step(flags):
  tasks = workload.step_tasks(flags.tasks)
  photos, labels = workload.step_batch(flags.geometry, tasks, flags.batch_size)
  photos = tf.constant(photos.astype(np.float32) / 255)
  columns = zip(tasks, labels.T, strict=True)
  labels = {task: tf.constant(column) for task, column in columns}
  model = make_model(tasks, flags, flags.geometry)
  step = step_of_fit(model, photos, labels)
  print('losses of the first steps:', [np.array(step()) for _ in range(3)])

  def repeat():
    np.array(step())
    return flags.batch_size

  return repeat


class Photos(keras.utils.PyDataset):
  """Shuffled batches, each photo as ImageDataGenerator's flows make it."""

  def __init__(self, photos, labels, batch_size, **workers):
    super().__init__(**workers)
    self.photos, self.labels, self.batch_size = photos, labels, batch_size
    self.generator = public_3m.photo_generator()
    self.on_epoch_end()

  def __len__(self):
    return -(-len(self.photos) // self.batch_size)

  def on_epoch_end(self):
    self.order = np.random.permutation(len(self.photos))

  def __getitem__(self, i):
    chosen = self.order[i * self.batch_size :][: self.batch_size]
    photos = np.stack([self.augmented(self.photos[k]) for k in chosen])
    return photos, {
      task: column[chosen] for task, column in self.labels.items()
    }

  def augmented(self, photo):
    if isinstance(photo, str):
      photo = decoded(photo)
    photo = self.generator.random_transform(photo.astype(np.float32))
    return self.generator.standardize(photo)


def decoded(path):
  photo = keras.utils.load_img(
    path, target_size=(SIDE, SIDE), interpolation='bilinear'
  )
  return np.asarray(photo, np.uint8)


def augmentation_layers():
  return keras.Sequential(
    [
      layers.RandomFlip('horizontal'),
      layers.RandomRotation(45 / 360, fill_mode='nearest'),
      layers.RandomTranslation(0.25, 0.25, fill_mode='nearest'),
      layers.RandomZoom((-0.2, 0.2), (-0.2, 0.2), fill_mode='nearest'),
    ]
  )


def random_warp(photos):
  """All of the augmentation with one sampling, by TensorFlow's own warp."""
  size = tf.shape(photos)[:1]
  angle = tf.random.uniform(size, -np.pi / 4, np.pi / 4)
  shift_x = tf.random.uniform(size, -0.25, 0.25) * SIDE
  shift_y = tf.random.uniform(size, -0.25, 0.25) * SIDE
  zoom_x = tf.random.uniform(size, 0.8, 1.2)
  zoom_x *= tf.sign(tf.random.uniform(size, -1, 1))
  zoom_y = tf.random.uniform(size, 0.8, 1.2)
  cos, sin, middle = tf.cos(angle), tf.sin(angle), (SIDE - 1) / 2
  a, b = zoom_x * cos, -zoom_y * sin
  c, d = zoom_x * sin, zoom_y * cos
  left = middle + shift_x - (a + b) * middle
  top = middle + shift_y - (c + d) * middle
  none = tf.zeros_like(angle)
  return tf.raw_ops.ImageProjectiveTransformV3(
    images=photos,
    transforms=tf.stack([a, b, left, c, d, top, none, none], axis=1),
    output_shape=(SIDE, SIDE),
    interpolation='BILINEAR',
    fill_mode='NEAREST',
    fill_value=0.0,
  )


def tf_data(photos, labels, flags):
  """The same batches by tf.data."""
  if flags.input == 'tf_warp':
    augment = random_warp
  else:
    augment = functools.partial(augmentation_layers(), training=True)

  def load(photo, labels):
    if photo.dtype == tf.string:
      photo = tf.io.decode_jpeg(tf.io.read_file(photo), channels=3)
      photo = tf.image.resize(photo, (SIDE, SIDE))
    return tf.cast(photo, tf.float32), labels

  def augmented(photos, labels):
    return augment(photos) / 255, labels

  return (
    tf.data.Dataset.from_tensor_slices((photos, labels))
    .shuffle(len(photos))
    .map(load, tf.data.AUTOTUNE)
    .batch(flags.batch_size)
    .map(augmented, tf.data.AUTOTUNE)
    .prefetch(tf.data.AUTOTUNE)
  )


def make_batches(flags):
  """Returns what fit takes as its data, the number of photos, the names."""
  photos, names, labels = workload.train_photos(flags.annotations, flags.images)
  if flags.source == 'memory':
    photos = np.stack([decoded(path) for path in photos])
  if flags.input.startswith('tf_'):
    return tf_data(photos, labels, flags), len(photos), names
  workers = int(flags.input.removeprefix('threads_'))
  batches = Photos(photos, labels, flags.batch_size, workers=workers)
  return batches, len(photos), names


def prepare_input(flags):
  batches, _, _ = make_batches(flags)

  def repeat():
    if isinstance(batches, tf.data.Dataset):
      return sum(len(photos) for photos, _ in batches)
    adapter = py_dataset_adapter.PyDatasetAdapter(batches, None, shuffle=False)
    adapter.on_epoch_begin()
    count = sum(len(batch[0]) for batch in adapter.get_tf_dataset())
    adapter.on_epoch_end()
    return count

  repeat()
  return repeat


def prepare_epoch(flags):
  batches, count, names = make_batches(flags)
  model = make_model({task: len(known) for task, known in names.items()}, flags)

  def repeat():
    history = model.fit(batches, epochs=1, verbose=0)
    print('loss of the epoch:', history.history['loss'])
    return count

  repeat()
  return repeat


def prepare(flags):
  kinds = {'step': prepare_step, 'input': prepare_input, 'epoch': prepare_epoch}
  versions = {'keras': keras.__version__, 'tensorflow': tf.__version__}
  return versions, kinds[flags.what](flags)


def main():
  parser = worker.peer_arguments(__doc__)
  parser.add_argument('--jit', action='store_true', help='XLA')
  parser.add_argument('--input', choices=INPUTS, default='tf_data')
  flags = parser.parse_args()
  worker.serve(lambda: prepare(flags))


if __name__ == '__main__':
  main()
