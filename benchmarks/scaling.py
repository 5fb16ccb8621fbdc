"""Measures whether larger data sets slow anything down.

  python -m benchmarks.scaling --data_dir=data/built --annotations=data/raw \\
    --images=data/photos [--sizes=1000,10000,100000] [--build_sizes=1000,10000]

Writes data sets of these sizes from copies of the built one's records, and
times input and step of public 3M on them, apparel and age, in turn. Then builds
data sets from so many links to the photos: seconds of the command, and of its
statistics alone, per 10,000 photos.
"""

import argparse
import itertools
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks import contestants, duel, stepping
from benchmarks.peers import workload
from imat_jax import config, tasks
from imat_jax.data import build, configs, kaggle, source, tfds_builder
from imat_jax.data import statistics as data_statistics
from imat_jax.training import inputs

VALIDATION = 128  # photos; only opened here


def main() -> None:
  parser = duel.flag_parser(__doc__)
  contestants.add_photos(parser)
  parser.add_argument('--sizes', default='1000,10000,100000')
  parser.add_argument('--build_sizes', default='1000,10000')
  parser.add_argument('--steps', type=int, default=150, help='per size')
  parser.add_argument('--rounds', type=int, default=5)
  flags = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    print(training_table(flags, folder))
    print(f'\n{build_table(flags, folder)}')
  print(f'\n{duel.about(())}.')


def numbers(text: str) -> list[int]:
  return [int(number) for number in text.split(',') if number]


def training_table(flags: argparse.Namespace, folder: pathlib.Path) -> str:
  per_round = max(flags.steps // flags.rounds, 1)
  trainings = {}
  for size in numbers(flags.sizes):
    data_dir = folder / f'built-{size}'
    written = write_copies(flags.data_dir, data_dir, size)
    trainings[size] = written, training(str(data_dir))
  rates = {size: [] for size in trainings}
  for _ in range(flags.rounds):
    for size, (_, train) in trainings.items():
      rates[size].append(train(per_round))
  body = [
    [
      f'{size:,}',
      f'{statistics.median(rates[size]):,.0f}',
      f'{written:.1f}',
    ]
    for size, (written, _) in trainings.items()
  ]
  return duel.table(('photos', 'photos/s', 'seconds to write'), body)


def write_copies(data_dir: str, target: pathlib.Path, size: int) -> float:
  """Writes a data set of `size` train photos; returns the seconds it took."""
  metadata = source.read_metadata(data_dir)
  task_set = tasks.TaskSet.from_json(metadata['tasks'])
  photos = source.Source(data_dir, 'train', task_set)
  records = [photos[number] for number in range(len(photos))]
  counts = {'train': size, 'validation': VALIDATION}

  def rows(count: int) -> Iterator[tuple[str, bytes, np.ndarray]]:
    for number, record in enumerate(
      itertools.islice(itertools.cycle(records), count)
    ):
      yield str(number), record.jpeg, record.label_T

  target.mkdir()
  start = time.perf_counter()
  tfds_builder.write(
    {name: (lambda count=n: rows(count)) for name, n in counts.items()},
    metadata['stored_side'],
    metadata | {'num_examples': counts, 'fingerprint': f'copies {size}'},
    target,
  )
  return time.perf_counter() - start


def training(data_dir: str) -> Callable[[int], float]:
  """Returns a function of a number of steps: trains; gives photos/s."""
  run = config.Run(data_dir=data_dir, workdir='', tasks=workload.EPOCH_TASKS)
  task_set = source.read_tasks(data_dir).select(run.tasks)
  data = inputs.open_inputs(run, run.model.trunk, task_set)
  step_inputs = data.train([run.seed], 0)
  trainer = stepping.Trainer(run, task_set)

  def train(steps: int) -> float:
    trainer.reset_metrics()
    seconds = stepping.seconds(
      trainer.train, itertools.islice(step_inputs, steps)
    )
    return steps * run.batch_size / seconds

  train(2)
  return train


def build_table(flags: argparse.Namespace, folder: pathlib.Path) -> str:
  body = []
  for size in numbers(flags.build_sizes):
    raw = folder / f'raw-{size}'
    link_copies(flags, raw, size)
    start = time.perf_counter()
    subprocess.run(
      [
        *(sys.executable, '-m', 'imat_jax.data.build'),
        *(f'--annotations={raw}', f'--images={raw}'),
        f'--data_dir={raw}/built',
      ],
      check=True,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    built = time.perf_counter() - start
    shares = [x / size * 10_000 for x in (built, statistics_seconds(raw))]
    body.append([f'{size:,}', f'{built:.1f}', *(f'{x:.2f}' for x in shares)])
  head = (
    'photos',
    'seconds of build',
    'build, per 10,000',
    'statistics, per 10,000',
  )
  return duel.table(head, body)


def statistics_seconds(raw: pathlib.Path) -> float:
  """Reading the annotations and counting the labels, without the photos."""
  start = time.perf_counter()
  split = kaggle.read_split(str(raw), 'train')
  labels, _ = kaggle.labels_by_image(split)
  rows = list(labels.values())
  task_set = build.all_tasks({'train': rows}, configs.Build.min_label_share)
  data_statistics.describe(task_set, rows)
  return time.perf_counter() - start


def link_copies(
  flags: argparse.Namespace, raw: pathlib.Path, size: int
) -> None:
  """Kaggle files and photos with `size` train photos under new ids."""
  for path in pathlib.Path(flags.annotations).glob('fgvc4_iMat.*_map.json'):
    raw.mkdir(exist_ok=True)
    shutil.copy(path, raw)
  for split, count in (('train', size), ('validation', VALIDATION)):
    link_split(flags, raw, split, count)


def link_split(
  flags: argparse.Namespace, raw: pathlib.Path, split: str, count: int
) -> None:
  content = workload.read(flags.annotations, f'{split}.data')
  photos = pathlib.Path(flags.images) / split
  by_image: dict[str, list[dict]] = {}
  for row in content['annotations']:
    by_image.setdefault(row['imageId'], []).append(row)
  there = [key for key in by_image if (photos / f'{key}.jpg').exists()]
  (raw / split).mkdir()
  images, rows = [], []
  chosen = itertools.islice(itertools.cycle(there), count)
  for number, key in enumerate(map(str, chosen), 1):
    link(photos / f'{key}.jpg', raw / split / f'{number}.jpg')
    images.append({'imageId': str(number), 'url': ['http://localhost/']})
    rows += [row | {'imageId': str(number)} for row in by_image[key]]
  path = raw / f'fgvc4_iMat.{split}.data.json'
  path.write_text(json.dumps(content | {'images': images, 'annotations': rows}))


def link(photo: pathlib.Path, target: pathlib.Path) -> None:
  try:
    os.link(photo, target)
  except OSError:  # another disk, or too many links
    shutil.copy(photo, target)


if __name__ == '__main__':
  main()
