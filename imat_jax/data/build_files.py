"""The files of a build in DATA_DIR; refuses to replace any others."""

import json
import pathlib

from imat_jax import errors
from imat_jax.data import configs, kaggle, near_duplicates, tfds_builder
from imat_jax.runtime import outputs

SPLITS = ('train', 'validation', 'test')
LOST_PHOTOS = 'lost_photos.csv'
NEAR_DUPLICATES = 'near_duplicates.csv'
STATISTICS = 'statistics.json'
NAMES = (LOST_PHOTOS, NEAR_DUPLICATES, STATISTICS)  # beside the data set


def check(command: configs.Build, data_dir: pathlib.Path) -> None:
  """Raises if a build would overwrite its input, or a file of the user.

  Args:
    command: has the folders.
    data_dir: the local output folder.

  Raises:
    UserError: names the file or the flags.
  """
  target = {'--data_dir': f'{command.data_dir}/{tfds_builder.NAME}'}
  for split in SPLITS:
    outputs.check_apart(
      target,
      {
        '--images': f'{command.images}/{split}',
        '--annotations': kaggle.split_path(command.annotations, split),
      },
    )
  outputs.adopt(data_dir / STATISTICS, _is_statistics_json)
  outputs.adopt(data_dir / NEAR_DUPLICATES, _is_near_duplicates_csv)
  for name in NAMES:
    outputs.check(data_dir / name)
  dataset_dir = tfds_builder.directory(data_dir)
  if command.overwrite and dataset_dir.is_dir():
    tfds_builder.check_names(
      dataset_dir, [path.name for path in dataset_dir.iterdir()]
    )
  elif (
    dataset_dir.exists() and not (dataset_dir / tfds_builder.MARKER).is_file()
  ):
    raise errors.UserError(
      f'{dataset_dir}: incomplete data set; replace it with --overwrite, or '
      'choose another --data_dir'
    )


def _is_statistics_json(content: bytes) -> bool:
  """Whether a file is a `statistics.json` of a version without a record."""
  try:
    return 'fingerprint' in json.loads(content)['metadata']
  except (ValueError, TypeError, KeyError, RecursionError):
    return False


def _is_near_duplicates_csv(content: bytes) -> bool:
  """The same of `near_duplicates.csv`."""
  return content.startswith(
    ','.join(near_duplicates.NearDuplicate._fields).encode()
  )
