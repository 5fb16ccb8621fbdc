"""The public 3M model of the 2022 report, as a user of Keras 3 writes it.

A peer to compare imat_jax with: the same photos, tasks, network, augmentation
and optimizer, and nothing of the package. It has its own environment:

  python3 -m venv keras_venv
  keras_venv/bin/pip install -r requirements-keras.txt
  keras_venv/bin/python keras_public_3m.py --annotations=DIR --images=DIR \
    --tasks=apparel,color --seeds=0,1,2 --epochs=20 --output=keras.json

Prints a JSON line per seed, then one with the mean and standard deviation;
epochs go to stderr. `train_seconds` is all of `fit`, with validation in it,
and `images_per_second` counts the train photos alone. Of an image's classes,
and of its labels for one task, the most frequent counts.
"""

import argparse
import json
import os
import statistics
import sys
import time

os.environ['KERAS_BACKEND'] = 'tensorflow'
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from workload import (
  PARAMETERS,
  SIDES,
  encode,
  read_labels,
  vocabulary,
)

SIZE = SIDES['report']
SCORES = ('val_loss', 'accuracy', 'macro_f1')


def read_split(annotations, images, split):
  """The photos that exist, float32 in 0..255, and their labels by name."""
  photos, labels = [], []
  for image_id, image in read_labels(annotations, split).items():
    path = os.path.join(images, split, f'{image_id}.jpg')
    if os.path.exists(path):
      photo = keras.utils.load_img(
        path, target_size=(SIZE, SIZE), interpolation='bilinear'
      )
      photos.append(np.asarray(photo, np.uint8))
      labels.append(image)
  return np.asarray(photos, np.float32), labels


class Batches(keras.utils.PyDataset):
  """The generator's batches, with a dict of labels for a dict of outputs."""

  def __init__(self, flow, tasks):
    super().__init__()
    self.flow, self.tasks = flow, tasks

  def __len__(self):
    return len(self.flow)

  def __getitem__(self, i):
    photos, labels = self.flow[i]
    return photos, dict(zip(self.tasks, labels.T, strict=True))

  def on_epoch_end(self):
    self.flow.on_epoch_end()


def photo_generator():
  """The report's augmentation, and pixels to [0, 1]."""
  return ImageDataGenerator(
    rotation_range=45,
    width_shift_range=0.25,
    height_shift_range=0.25,
    horizontal_flip=True,
    zoom_range=0.2,
    fill_mode='nearest',
    rescale=1 / 255,
  )


def augmented(photos, labels, batch_size):
  generator = photo_generator()
  columns = np.stack(list(labels.values()), axis=1)
  return Batches(generator.flow(photos, columns, batch_size), list(labels))


def masked_cross_entropy(labels, probabilities):
  """The mean over the labelled examples; 0 where a batch has none."""
  labels = tf.reshape(tf.cast(labels, tf.int32), [-1])
  labelled = tf.cast(labels != -1, tf.float32)
  losses = keras.losses.sparse_categorical_crossentropy(
    tf.maximum(labels, 0), probabilities
  )
  return tf.math.divide_no_nan(
    tf.reduce_sum(losses * labelled), tf.reduce_sum(labelled)
  )


def build_model(counts, geometry='report', jit_compile='auto'):
  """Public 3M; `counts` has the number of labels of each task."""
  inputs = x = layers.Input((SIDES[geometry], SIDES[geometry], 3))
  for number, filters in enumerate((8, 16, 32)):
    x = layers.Conv2D(filters, 4, padding='same', activation='relu')(x)
    if geometry == 'report':
      x = layers.MaxPooling2D(4, strides=2, padding='same')(x)
    elif number < 2:
      x = layers.MaxPooling2D(4, strides=4, padding='valid')(x)
  x = layers.Dropout(0.5)(layers.Flatten()(x))
  x = layers.Dense(384, activation='relu')(x)
  x = layers.Dense(384, activation='relu')(x)
  outputs = {}
  for task, count in counts.items():
    hidden = layers.Dense(128, activation='tanh')(x)
    outputs[task] = layers.Dense(count, activation='softmax')(hidden)
  model = keras.Model(inputs, outputs)
  if counts == {'apparel': 4}:
    assert model.count_params() == PARAMETERS
  model.compile(
    keras.optimizers.Adam(1e-3, epsilon=1e-7),
    loss=dict.fromkeys(counts, masked_cross_entropy),
    loss_weights={task: 0.95**k for k, task in enumerate(counts)},
    jit_compile=jit_compile,
  )
  return model


def print_epoch(epoch, logs):
  losses = ' '.join(f'{name} {value:.4f}' for name, value in logs.items())
  print(f'epoch {epoch + 1} {losses}', file=sys.stderr, flush=True)


def fit(model, train, validation, epochs, batch_size):
  """Trains; returns (epochs, best epoch, seconds).

  Keras restores the best weights at the end of an uninterrupted run, too.
  """
  stopping = keras.callbacks.EarlyStopping(
    monitor='val_loss',
    min_delta=0.001,
    patience=int(max(6, 1 + epochs**0.5)),
    restore_best_weights=True,
  )
  start = time.perf_counter()
  history = model.fit(
    augmented(*train, batch_size),
    validation_data=validation,
    validation_batch_size=batch_size,
    epochs=epochs,
    verbose=0,
    callbacks=[stopping, keras.callbacks.LambdaCallback(None, print_epoch)],
  )
  seconds = time.perf_counter() - start
  return len(history.epoch), stopping.best_epoch + 1, seconds


def macro_f1(labels, predicted, classes):
  counts = np.zeros((classes, classes))
  np.add.at(counts, (labels, predicted), 1)
  either = counts.sum(axis=0) + counts.sum(axis=1)
  return float(np.mean(2 * np.diag(counts) / np.maximum(either, 1)))


def score(labels, probabilities):
  """The scores of one task in one split, over the labelled photos."""
  labels, probabilities = labels[labels >= 0], probabilities[labels >= 0]
  chosen = np.take_along_axis(probabilities, labels[:, None], axis=1)
  predicted = probabilities.argmax(axis=1)
  return {
    'val_loss': float(-np.log(np.maximum(chosen, 1e-7)).mean()),
    'accuracy': float((predicted == labels).mean()),
    'macro_f1': macro_f1(labels, predicted, probabilities.shape[1]),
  }


def run(seed, names, train, validation, flags):
  keras.utils.clear_session()
  keras.utils.set_random_seed(seed)
  model = build_model({task: len(known) for task, known in names.items()})
  epochs, best, seconds = fit(
    model, train, validation, flags.epochs, flags.batch_size
  )
  photos, labels = validation
  predicted = model.predict(photos, flags.batch_size, verbose=0)
  return {
    'seed': seed,
    'tasks': list(names),
    'epochs': epochs,
    'best_epoch': best,
    'train_seconds': seconds,
    'images_per_second': epochs * len(train[0]) / seconds,
    **score(labels['apparel'], predicted['apparel']),
    'parameters': model.count_params(),
  }


def summarise(runs):
  """The mean of each score and, of two runs and more, its deviation."""
  columns = {name: [row[name] for row in runs] for name in SCORES}
  summary = {'mean': {k: statistics.fmean(v) for k, v in columns.items()}}
  if len(runs) > 1:
    deviations = {k: statistics.stdev(v) for k, v in columns.items()}
    summary['standard_deviation'] = deviations
  return summary


def parse_flags():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--annotations', required=True, help='Kaggle files')
  parser.add_argument('--images', required=True, help='has SPLIT/ID.jpg')
  parser.add_argument('--tasks', default='apparel', help='apparel[,age|,color]')
  parser.add_argument('--seeds', default='0,1,2')
  parser.add_argument('--epochs', type=int, default=20)
  parser.add_argument('--batch_size', type=int, default=128)
  parser.add_argument('--output', help='JSON file with all that is printed')
  flags = parser.parse_args()
  if 'apparel' not in flags.tasks.split(','):
    parser.error('--tasks: apparel must be one of them')
  return flags


def main():
  flags = parse_flags()
  photos, rows = read_split(flags.annotations, flags.images, 'train')
  names = {task: vocabulary(rows, task) for task in flags.tasks.split(',')}
  train = photos, encode(rows, names)
  photos, rows = read_split(flags.annotations, flags.images, 'validation')
  validation = photos / 255, encode(rows, names)
  runs = []
  for seed in map(int, flags.seeds.split(',')):
    runs.append(run(seed, names, train, validation, flags))
    print(json.dumps(runs[-1]), flush=True)
  summary = summarise(runs)
  print(json.dumps(summary))
  if flags.output:
    with open(flags.output, 'w', encoding='utf-8') as file:
      json.dump({'runs': runs, **summary}, file, indent=2)


if __name__ == '__main__':
  main()
