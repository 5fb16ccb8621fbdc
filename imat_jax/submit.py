"""Writes a submission file for the Kaggle competition.

  python -m imat_jax.data.download --annotations=data/raw \\
    --images=data/photos --splits=test
  python -m imat_jax.submit --run=runs/all --annotations=data/raw \\
    --images=data/photos --output=submission.csv

The file has a row per image of fgvc4_iMat.test.image.json and task of the task
map: IMAGEID_TASKID, and the id of the likeliest label. Use a run of all tasks
(experiments.all_tasks). If the photo or the run's task is missing, the row has
the task's commonest train label; a summary at the end counts these.
"""

import collections
import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np

from imat_jax import config, errors, options, tasks, validators
from imat_jax.data import kaggle
from imat_jax.runtime import files, outputs, progress, run_folders

_SPLIT = 'test'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submit(options.Config):
  """Options of `imat_jax.submit`."""

  run: str = config.place('workdir of a trained run, preferably of all tasks')
  annotations: str = config.folder('folder with the fgvc4_iMat.*.json files')
  images: str = config.folder(
    'folder with test/ID.jpg, as written by the download'
  )
  output: str = config.file('FILE.csv to write')
  batch_size: int = options.option(
    'photos per step', 64, validators.at_least(1)
  )


def main(command: Submit) -> None:
  """Writes the submission and prints a summary."""
  run_folders.check(command.run)
  outputs.check(command.output)
  images = kaggle.read_split(command.annotations, _SPLIT).images
  maps = kaggle.read_maps(command.annotations)
  train = kaggle.read_split(command.annotations, 'train')
  labels, _ = kaggle.labels_by_image(train)
  defaults = commonest(maps, _pairs(labels.values()))
  # Imported late, so that --help and path errors are fast.
  from imat_jax import inference

  predictor = inference.Predictor(command.run, command.batch_size)
  columns = _known(maps, predictor.task_set)
  paths = (_path(command.images, image.image_id) for image in images)
  num_missing = 0
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(['id', 'predicted'])
  with progress.Progress(len(images), 'label', 'photo') as bar:
    for image, prediction in zip(images, predictor.label(paths), strict=True):
      predicted = dict(defaults)
      if not prediction.error:
        predicted |= _likeliest(prediction.probability_TxK, columns)
      num_missing += bool(prediction.error)
      writer.writerows(
        (f'{image.image_id}_{task_id}', label_id)
        for task_id, label_id in predicted.items()
      )
      bar.advance()
  outputs.write_text(command.output, text.getvalue())
  print(
    f'{command.output}: {len(images):,} images × {len(defaults)} tasks = '
    f'{len(images) * len(defaults):,} rows; {num_missing:,} images without a '
    f'photo and {len(defaults) - len(columns)} tasks that are not in the run '
    'have the commonest train label'
  )


def commonest(
  maps: kaggle.Maps, pairs: Iterable[tuple[str, str]]
) -> dict[str, str]:
  """Task id → the id of its commonest label.

  A task without labels has the commonest of its attribute in other classes, or
  of all tasks.

  Args:
    maps: the names of ids.
    pairs: task name and label name of each label of each photo.

  Raises:
    UserError: no labels.
  """
  counts = collections.defaultdict(collections.Counter)
  for name, label in pairs:
    for group in _groups(name):
      counts[group][label] += 1
  if not counts:
    raise errors.UserError('no train photo has a label: check --annotations')
  label_ids = {name: key for key, name in maps.labels.items()}
  commonest_ids = {}
  for task_id, name in maps.tasks.items():
    group = next(group for group in _groups(name) if group in counts)
    ((label, _),) = counts[group].most_common(1)
    commonest_ids[task_id] = label_ids[label]
  return commonest_ids


def _groups(name: str) -> tuple[str, str, str]:
  """The task, its attribute, and all tasks."""
  return name, name.partition(':')[2], ''


def _pairs(labels: Iterable[Mapping[str, str]]):
  """Task and label of each photo's labels in the tasks of its class."""
  for photo_labels in labels:
    yield from ((n, label) for n, label in photo_labels.items() if ':' in n)


class _Column:
  """The positions of one task's labels among the probabilities.

  Excludes labels that Kaggle does not have, such as `other`.
  """

  def __init__(self, row: int, task: tasks.Task, label_ids: Mapping[str, str]):
    self.row = row
    self.places = [k for k, name in enumerate(task.labels) if name in label_ids]
    self.ids = [label_ids[task.labels[k]] for k in self.places]


def _known(maps: kaggle.Maps, task_set: tasks.TaskSet) -> dict[str, _Column]:
  """Task id → column, of the tasks in the map and in the run."""
  label_ids = {name: key for key, name in maps.labels.items()}
  columns = {
    task_id: _Column(task_set.names.index(name), task_set[name], label_ids)
    for task_id, name in maps.tasks.items()
    if name in task_set.names
  }
  return {key: column for key, column in columns.items() if column.ids}


def _likeliest(
  probability_TxK: np.ndarray, columns: Mapping[str, _Column]
) -> dict[str, str]:
  return {
    task_id: column.ids[probability_TxK[column.row, column.places].argmax()]
    for task_id, column in columns.items()
  }


def _path(images: str, image_id: str) -> str:
  # An unsafe id has no file, and must not lead to another folder.
  name = f'{image_id}.jpg' if files.is_safe_name(image_id) else ''
  return str(pathlib.Path(images, _SPLIT, name))


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, Submit)
