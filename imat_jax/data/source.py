"""Reads a built data set: records by number, tasks by name."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from google.protobuf import json_format
from tensorflow_datasets.core import naming

from imat_jax import errors, tasks
from imat_jax.data import random, tfds_builder
from imat_jax.data.types import TEST, VALIDATION
from imat_jax.runtime import files

_NO_EPOCH = 2**32 - 1  # apart from the orders of epochs
_KINDS = {
  'fingerprint': str,
  'image_size': int,
  'num_examples': dict,
  'stored_side': int,
  'tasks': dict,
}


@dataclasses.dataclass(frozen=True)
class Record:
  """One stored example: JPEG bytes, the photo's id, a label per task."""

  jpeg: bytes
  image_id: str
  label_T: np.ndarray


class Source:
  """The examples of one split with the labels of chosen tasks.

  A random-access sequence: `source[i]` is a `Record` whose `label_T` follows
  `task_set`. Labels that `task_set` lacks become its `other`, or -1 if it has
  none, so a run can be scored on another data set. With `rows` it has only
  those examples of the split, with `label_NxT` these labels of them.

  Raises:
    UserError: no such data set, split or task.
  """

  def __init__(
    self,
    data_dir: str | pathlib.Path,
    split: str,
    task_set: tasks.TaskSet,
    rows: np.ndarray | None = None,
    label_NxT: np.ndarray | None = None,
  ):
    metadata = check_split(data_dir, split)
    built = tasks.TaskSet.from_json(metadata['tasks'])
    self.stored_side = metadata['stored_side']
    self.data_dir = data_dir
    self.split = split
    self.task_set = task_set
    self._columns = _columns(built, task_set)
    self._directory = tfds_builder.directory(folder(data_dir))
    _check_description(self._directory, self.stored_side, len(built))
    self._records = _open(self._directory, split)
    self.rows = np.arange(len(self._records)) if rows is None else rows
    self._label_NxT = label_NxT

  def __len__(self) -> int:
    return len(self.rows)

  def __getitem__(self, index: int) -> Record:
    row = self._records[int(self.rows[index])]
    stored_T = row['labels']
    if stored_T is None:  # tfds's result for a truncated record
      raise _damaged(self._directory, f'record {index} of {self.split}')
    if self._label_NxT is None:
      label_T = [table[stored_T[column]] for column, table in self._columns]
    else:
      label_T = self._label_NxT[index]
    return Record(
      jpeg=row['image'],
      image_id=row['image_id'].decode(),
      label_T=np.array(label_T, np.int32),
    )

  def draw(self, number: int, seed: int) -> 'Source':
    """The same with so many of the examples, drawn without replacement."""
    drawn = random.permutation(seed, _NO_EPOCH, len(self))[:number]
    rows = np.sort(self.rows[drawn])
    return Source(self.data_dir, self.split, self.task_set, rows)

  def keep_labels(self, shares: Mapping[str, float], seed: int) -> 'Source':
    """The same with a share of the labels of some tasks, the others missing.

    The labels kept of a small share are among those of a larger one with the
    same seed; whether one is kept hangs on the seed, the task and the photo
    alone.

    Args:
      shares: by task; of a share above 0 at least one label is kept.
      seed: of the draw.
    """
    label_NxT = self.label_NxT()
    for name, share in shares.items():
      (task,) = (t for t, n in enumerate(self.task_set.names) if n == name)
      labelled_M = np.flatnonzero(label_NxT[:, task] != tasks.MISSING)
      number = max(round(share * len(labelled_M)), share > 0)
      row_M = self.rows[labelled_M].astype(np.uint32)
      drawn_M, _ = random.uniform(
        np.uint32(seed), f'labels of {name}', row_M, 2
      ).T
      dropped = np.argsort(drawn_M, kind='stable')[number:]
      label_NxT[labelled_M[dropped], task] = tasks.MISSING
    return Source(
      self.data_dir, self.split, self.task_set, self.rows, label_NxT
    )

  def label_NxT(self) -> np.ndarray:
    """The labels of all examples, int32."""
    return np.stack([self[index].label_T for index in range(len(self))])


def folder(data_dir: str | pathlib.Path) -> pathlib.Path:
  """The local data directory; that of a bucket is downloaded to the cache.

  Raises:
    UserError: the bucket cannot be read.
  """
  if not files.is_url(data_dir):
    return pathlib.Path(data_dir)
  from imat_jax.runtime import storage  # only a bucket needs it

  parts = f'{tfds_builder.FOLDER}/', 'statistics.json'
  return storage.cached_download(data_dir, parts, _if_complete)


def _if_complete(listing: Mapping[str, Any]) -> Mapping[str, Any]:
  """The listing, empty unless the data set is complete."""
  return (
    listing if f'{tfds_builder.FOLDER}/{tfds_builder.MARKER}' in listing else {}
  )


def read_metadata(data_dir: str | pathlib.Path) -> dict[str, Any]:
  """The data set's metadata, see `build`.

  Raises:
    UserError: no data set, or its metadata is damaged.
  """
  path = tfds_builder.directory(folder(data_dir)) / tfds_builder.MARKER
  if not path.is_file():
    raise errors.UserError(
      f'{data_dir}: no data set in this folder; build one with '
      'python -m imat_jax.data.build'
    )
  try:
    metadata = json.loads(path.read_text())
    tasks.TaskSet.from_json(metadata['tasks'])
    well_formed = _KINDS.keys() <= metadata.keys() and all(
      isinstance(metadata[name], kind) for name, kind in _KINDS.items()
    )
  except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
    well_formed = False
  if not well_formed:
    raise _damaged(path)
  return metadata


def identity(data_dir: str | pathlib.Path) -> dict[str, Any]:
  """What the `config.json` of a training holds of its data set."""
  metadata = read_metadata(data_dir)
  return {
    'data_set': metadata['fingerprint'],
    'image_size': metadata['image_size'],
    'exact_size': metadata.get('exact_size', False),
  }


def read_statistics(data_dir: str | pathlib.Path) -> dict[str, Any]:
  """The `statistics.json` of a data set.

  Raises:
    UserError: it is missing or damaged.
  """
  path = folder(data_dir) / 'statistics.json'
  match statistics := files.read_json(path):
    case {'splits': {'train': {'tasks': {}}, 'validation': {'tasks': {}}}}:
      return statistics
  raise errors.UserError(f'{path}: damaged; build the data set again')


def read_tasks(data_dir: str | pathlib.Path) -> tasks.TaskSet:
  """The tasks of the data set."""
  return tasks.TaskSet.from_json(read_metadata(data_dir)['tasks'])


def check_split(data_dir: str | pathlib.Path, split: str) -> dict[str, Any]:
  """The metadata of a data set, once it is known to have a split.

  Raises:
    UserError: no such data set or split.
  """
  metadata = read_metadata(data_dir)
  splits = metadata['num_examples']
  if split not in splits:
    raise errors.UserError(
      f"{data_dir}: no split '{split}'; available: {', '.join(splits)}"
    )
  return metadata


def reported_split(data_dir: str | pathlib.Path) -> str:
  """The split that scores are reported on: test, or validation without one.

  Training sees neither; but it chooses its epoch on validation, so that scores
  there are a little too good.
  """
  has_test = TEST in read_metadata(data_dir)['num_examples']
  return TEST if has_test else VALIDATION


def _check_description(directory: pathlib.Path, side: int, number: int) -> None:
  """Raises unless the tfds metadata is as `tfds_builder` writes it.

  tfds imports any module that `features.json` names and reads any file that
  `dataset_info.json` names.
  """
  expected = json_format.MessageToDict(
    tfds_builder.features(side, number).to_proto()
  )
  try:
    info = files.read_json(directory / 'dataset_info.json')
    as_written = (
      files.read_json(directory / 'features.json') == expected
      and info['fileFormat'] == 'array_record'
      and all(
        split['filepathTemplate'] == naming.DEFAULT_FILENAME_TEMPLATE
        for split in info['splits']
      )
    )
  except (errors.UserError, KeyError, TypeError):
    as_written = False
  if not as_written:
    raise _damaged(directory, 'unexpected features.json or dataset_info.json')


def _open(directory: pathlib.Path, split: str):
  try:
    opened = tfds.builder_from_directory(directory)
    skip = {'image': tfds.decode.SkipDecoding()}
    records = opened.as_data_source(split, decoders=skip)
    records[0]  # array_record opens its files with the first one
    return records
  except Exception as error:  # protobuf, array_record and tfds raise their own
    raise _damaged(directory, errors.first_line(error)) from None


def _damaged(path: pathlib.Path, what: str = '') -> errors.UserError:
  return errors.UserError(
    f'{path}: damaged{what and ": "}{what}; rebuild with --overwrite'
  )


def _columns(built: tasks.TaskSet, task_set: tasks.TaskSet):
  """For each task: its stored column, and a table stored → own label number.

  The table's last entry, at index -1, is -1: missing stays missing.
  """
  columns = []
  for task in task_set:
    stored = built.select([task.name])[task.name]
    table = [task.index(label) for label in stored.labels]
    columns.append((built.names.index(task.name), [*table, tasks.MISSING]))
  return columns
