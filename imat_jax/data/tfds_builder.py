"""Features and writer of the TFDS data set `imaterialist`.

Each example has the photo as a square JPEG, its id, and a label number per task
in the order of the metadata's `tasks`, -1 where missing. Any tool that reads
TFDS or ArrayRecord can open it.
"""

import contextlib
import io
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from imat_jax import errors
from imat_jax.runtime import files

NAME = 'imaterialist'
VERSION = '1.0.0'

# A row is (image id, JPEG bytes, label_T).
Rows = Callable[[], Iterable[tuple[str, bytes, np.ndarray]]]


# The data set in a data directory, and the file that marks it as complete.
FOLDER = f'{NAME}/{VERSION}'
MARKER = 'metadata.json'
_DATASET_FILE = re.compile(
  r'(metadata|dataset_info|features)\.json|'
  rf'{NAME}-\w+\.array_record-\d{{5}}-of-\d{{5}}'
)


def directory(data_dir: str | pathlib.Path) -> pathlib.Path:
  """The data set in a local data directory."""
  return pathlib.Path(data_dir, FOLDER)


def is_dataset_file(name: str) -> bool:
  """Whether `write` writes files of this name to `directory`."""
  return bool(_DATASET_FILE.fullmatch(name))


def check_names(place: str | pathlib.Path, names: Iterable[str]) -> None:
  """Raises if a data set's folder has other files, so must not be replaced.

  Args:
    place: its folder, for the message.
    names: of all files in it; those of file managers are ignored.

  Raises:
    UserError: names a file that `write` does not write.
  """
  for name in sorted(names):
    if not is_dataset_file(name) and not files.is_foreign(name):
      raise errors.UserError(
        f'{place}/{name}: not part of a data set of this command, so '
        '--overwrite does not replace it; move it away, or choose another '
        '--data_dir'
      )


def features(side: int, num_tasks: int) -> tfds.features.FeaturesDict:
  """The features of an example."""
  return tfds.features.FeaturesDict(
    {
      'image': tfds.features.Image(
        shape=(side, side, 3), encoding_format='jpeg'
      ),
      'image_id': tfds.features.Text(),
      'labels': tfds.features.Tensor(shape=(num_tasks,), dtype=np.int32),
    }
  )


class _Info(tfds.core.DatasetInfo):
  """Metadata of a data set that only its builder knows."""

  def initialize_from_bucket(self) -> None:
    """Asks no server; tfds's does, and leaves an empty temporary folder."""


class Imaterialist(tfds.core.GeneratorBasedBuilder):
  """Photos with a label per task, -1 where it is missing."""

  VERSION = tfds.core.Version(VERSION)

  def __init__(
    self,
    *,
    splits: Mapping[str, Rows],
    side: int,
    metadata: dict[str, Any],
    **kwargs,
  ):
    self._splits, self._side, self._metadata = splits, side, metadata
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    return _Info(
      builder=self,
      features=features(self._side, len(self._metadata['tasks'])),
      metadata=tfds.core.MetadataDict(self._metadata),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    return {name: self._generate_examples(name) for name in self._splits}

  def _generate_examples(self, split: str):
    for number, (image_id, jpeg, label_T) in enumerate(self._splits[split]()):
      yield (
        number,
        {'image': jpeg, 'image_id': image_id, 'labels': label_T},
      )


def write(
  splits: Mapping[str, Rows],
  side: int,
  metadata: dict[str, Any],
  data_dir: pathlib.Path,
) -> None:
  """Writes the data set as array_record under `data_dir`.

  Args:
    splits: split name → a function that returns the split's rows.
    side: width and height of the photos in pixels.
    metadata: JSON-like; `tasks` maps task names to label names.
    data_dir: a folder without a data set.
  """
  tfds.disable_progress_bar()
  builder = Imaterialist(
    splits=splits,
    side=side,
    metadata=metadata,
    data_dir=data_dir,
    file_format='array_record',
  )
  with contextlib.redirect_stdout(io.StringIO()):
    builder.download_and_prepare(download_dir=data_dir / 'downloads')
