"""What all contestants work on: the photos' labels, and the step's batch.

Needs numpy alone, so that every environment can import it.
"""

import collections
import json
import os
import typing

import numpy as np

SIDES = {'report': 128, 'original': 256}
EPOCH_TASKS = ('apparel', 'age')
# Labels of apparel, color, material, gender and age in the report's data.
LABEL_COUNTS = {
  'apparel': 4,
  'color': 33,
  'material': 34,
  'gender': 5,
  'age': 6,
}
PARAMETERS = 3_354_428  # of public 3M with apparel alone
_SHARE_LABELLED = 0.3


class TrunkWork(typing.NamedTuple):
  """What is timed of a trunk: a training step or a forward pass."""

  trunk: str
  is_step: bool
  photos: int
  side: int


TRUNKS = {
  'resnet_step': TrunkWork('resnet', True, 64, 64),
  'resnet_forward': TrunkWork('resnet', False, 64, 64),
  'lite0_step': TrunkWork('lite0', True, 32, 160),
  'lite0_forward': TrunkWork('lite0', False, 32, 160),
  'lite0_features': TrunkWork('lite0', False, 32, 224),
}
TRUNK_LABELS = 4


class Layer(typing.NamedTuple):
  """A convolution of `resnet`; photos × height × width × channels."""

  side: int
  channels: int
  filters: int
  stride: int = 1

  @property
  def inputs(self):
    return 64, self.side, self.side, self.channels

  @property
  def outputs(self):
    side = self.side // self.stride
    return 64, side, side, self.filters

  @property
  def is_first(self):
    """Nobody asks for the gradient of photos."""
    return self.channels == 3

  @property
  def is_pooled(self):
    return self.filters == 2 * self.channels


RESNET_LAYERS = (
  *(Layer(64, 3, 16, 2), Layer(32, 16, 32), Layer(16, 32, 32)),
  *(Layer(16, 32, 64), Layer(8, 64, 64), Layer(8, 64, 128)),
  Layer(4, 128, 128),
)
LAYER_REPETITIONS = 31


def layer_row(layer, milliseconds):
  """A line: the layer, and of each part its time, and its speed."""
  million = 2e-6 * 9 * layer.channels * float(np.prod(layer.outputs))
  cells = [
    f'{part} {time:.2f}'
    + (f' ({million / time:.0f})' if part.startswith(('for', 'of')) else '')
    for part, time in milliseconds.items()
  ]
  name = f'{layer.side} x {layer.side}, {layer.channels} to {layer.filters}'
  return f'{name:20} {", ".join(cells)}'


def trunk_batch(work):
  """Pictures of noise, uint8, and a label number of each."""
  rng = np.random.default_rng(0)
  shape = work.photos, work.side, work.side, 3
  photos = rng.integers(0, 256, shape, np.uint8)
  return photos, rng.integers(0, TRUNK_LABELS, work.photos).astype(np.int32)


def step_tasks(number):
  """{task: its number of labels} of the first tasks."""
  return dict(list(LABEL_COUNTS.items())[:number])


def step_batch(geometry, tasks, batch_size):
  """One fixed batch: uint8 pictures, and the label numbers, B × T.

  Every photo has a class; three in ten have each other label, -1 else.
  """
  rng = np.random.default_rng(0)
  side = SIDES[geometry]
  photos = rng.integers(0, 256, (batch_size, side, side, 3), np.uint8)
  columns = [rng.integers(0, n, batch_size) for n in tasks.values()]
  labels = np.stack(columns, axis=1).astype(np.int32)
  labels[rng.uniform(size=labels.shape) > _SHARE_LABELLED] = -1
  labels[:, 0] = columns[0]
  return photos, labels


def task_weights(number):
  """The report's weights of the tasks' losses."""
  return [0.95**k for k in range(number)]


def train_photos(annotations, images, tasks=EPOCH_TASKS):
  """The train photos that exist: paths, {task: labels' names}, numbers."""
  labels_by_id = read_labels(annotations, 'train')
  paths = {
    key: os.path.join(images, 'train', f'{key}.jpg') for key in labels_by_id
  }
  there = [key for key in labels_by_id if os.path.exists(paths[key])]
  rows = [labels_by_id[key] for key in there]
  names = {task: vocabulary(rows, task) for task in tasks}
  return [paths[key] for key in there], names, encode(rows, names)


def read(folder, name):
  path = os.path.join(folder, f'fgvc4_iMat.{name}.json')
  with open(path, encoding='utf-8') as file:
    return json.load(file)


def read_names(folder, kind):
  """The names of all tasks or labels by their id."""
  rows = read(folder, f'{kind}_map')[f'{kind}Info']
  return {row[f'{kind}Id']: row[f'{kind}Name'] for row in rows}


def commonest(names):
  """The most frequent name; the first of them where they tie."""
  return collections.Counter(names).most_common(1)[0][0]


def one_garment(rows):
  """{task: label} of a photo from its [(apparel, attribute, label)]."""
  apparel = commonest(kind for kind, _, _ in rows)
  labels = collections.defaultdict(list)
  for kind, attribute, label in rows:
    if kind == apparel:
      labels[attribute].append(label)
  return {'apparel': apparel} | {k: commonest(v) for k, v in labels.items()}


def read_labels(folder, split):
  """Returns {image id: {task: label name}}; apparel is one of the tasks."""
  tasks, labels = read_names(folder, 'task'), read_names(folder, 'label')
  rows_by_id = collections.defaultdict(list)
  for row in read(folder, f'{split}.data')['annotations']:
    apparel, attribute = tasks[row['taskId']].split(':', 1)
    rows_by_id[row['imageId']].append(
      (apparel, attribute, labels[row['labelId']])
    )
  return {image_id: one_garment(rows) for image_id, rows in rows_by_id.items()}


def vocabulary(labels, task):
  """The task's labels; those on under 1% of its photos are 'other'."""
  counts = collections.Counter(row[task] for row in labels if task in row)
  if not counts:
    raise SystemExit(f'--tasks: no train photo has a label for {task!r}')
  names = [n for n in counts if counts[n] >= 0.01 * counts.total()]
  rare = len(names) < len(counts)
  return sorted(names) + ['other'] * (rare and 'other' not in names)


def encode(labels, names):
  """{task: the photos' class numbers, -1 where there is no label}."""
  columns = {}
  for task, known in names.items():
    numbers = {name: i for i, name in enumerate(known)}
    other = numbers.get('other', -1)
    column = [numbers.get(r[task], other) if task in r else -1 for r in labels]
    columns[task] = np.array(column, np.int32)
  return columns
