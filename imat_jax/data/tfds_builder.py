"""The TFDS data set `imaterialist`: its features, and how it is written.

Each example has the photo as a square JPEG, its id, and one label number per
task in the order of the metadata's `tasks`, -1 where nobody gave one. Any tool
that reads TFDS or ArrayRecord can open it.
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


# Where the data set stands in a data directory, and what says that it is whole.
FOLDER = f'{NAME}/{VERSION}'
MARK = 'metadata.json'
_OURS = re.compile(
  r'(metadata|dataset_info|features)\.json|'
  rf'{NAME}-\w+\.array_record-\d{{5}}-of-\d{{5}}'
)


def directory(data_dir: str | pathlib.Path) -> pathlib.Path:
  """Where the data set stands in a data directory of this machine."""
  return pathlib.Path(data_dir, FOLDER)


def is_ours(name: str) -> bool:
  """Whether a file in `directory` is named like one that `write` writes."""
  return bool(_OURS.fullmatch(name))


def check_names(place: str | pathlib.Path, names: Iterable[str]) -> None:
  """Raises where a data set cannot be replaced, as other files are with it.

  Args:
    place: its folder, for the message.
    names: of all that is there.

  Raises:
    UserError: names a file that `write` does not write. What file managers
      leave in folders is passed over.
  """
  for name in sorted(names):
    if not is_ours(name) and not files.is_foreign(name):
      raise errors.UserError(
        f'{place}/{name}: is not of a data set of this command, so '
        '--overwrite does not replace it; move it away, or give another '
        '--data_dir'
      )


def features(side: int, num_tasks: int) -> tfds.features.FeaturesDict:
  """What an example is made of."""
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
  """Facts of a data set that only its builder knows."""

  def initialize_from_bucket(self) -> None:
    """Asks no server; tfds would, and leave an empty temporary folder."""


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
    self._splits, self._side, self._described = splits, side, metadata
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    return _Info(
      builder=self,
      features=features(self._side, len(self._described['tasks'])),
      metadata=tfds.core.MetadataDict(self._described),
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
    splits: split name → a function that gives the split's rows.
    side: width and height of the photos in pixels.
    metadata: JSON-like facts; `tasks` maps task names to label names.
    data_dir: a folder that holds no data set yet.
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
