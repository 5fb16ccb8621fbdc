"""Builds the TFDS data set from photos and sparse labels.

Keeps the photos that exist and decode, merges the attributes of the classes,
folds rare labels into one label 'other', and writes square JPEGs with a label
number per task, -1 where missing. A test split is that of the annotations, if
they have labels of it, or a part of the validation photos (--test_share):
training chooses its epoch on validation, and what is reported is of the test.

  python -m imat_jax.data.build \\
    --annotations=data/annotations --images=data/images --data_dir=data/built

writes to DATA_DIR

  imaterialist/         the data set
  statistics.json       counts of photos and labels, and of dropped photos
  lost_photos.csv       each dropped photo, with the reason
  near_duplicates.csv   photos with an earlier near-duplicate

and prints a table. All tasks are built; a run selects some. A task whose rare
labels cover many of its photos keeps all its labels. For a million photos, an
Apache Beam pipeline decodes on many machines:

  --images=gs://bucket/photos \\
    --beam='--runner=DataflowRunner --project=P --region=R
      --temp_location=gs://bucket/temp --sdk_container_image=IMAGE'
"""

import collections
import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from imat_jax import errors, tasks
from imat_jax.data import (
  build_files,
  configs,
  description,
  image_validation,
  kaggle,
  label_groups,
  label_notes,
  lost_photos,
  near_duplicates,
  selection,
  source,
  statistics,
  tfds_builder,
)
from imat_jax.data.selection import Labels, Photos
from imat_jax.data.types import TEST, TRAIN, VALIDATION, Resize
from imat_jax.runtime import files, outputs, progress, scratch, storage


def main(config: configs.Build) -> None:
  """Builds the data set and prints its table."""
  if files.is_url(config.data_dir):
    _build_and_upload(config, storage.RemoteDir(config.data_dir))
  else:
    _build(config, pathlib.Path(config.data_dir))


def _build_and_upload(config: configs.Build, remote: storage.RemoteDir) -> None:
  """Builds on this machine, then uploads the complete data set."""
  remote.check()
  cache = files.cache_folder()
  cache.mkdir(parents=True, exist_ok=True)
  with scratch.folder(cache, 'build-') as build_dir:
    prefix = f'{tfds_builder.FOLDER}/'
    listing = remote.list([prefix])
    if config.overwrite:
      tfds_builder.check_names(
        f'{remote.url}/{tfds_builder.FOLDER}',
        [path.removeprefix(prefix) for path in listing],
      )
    # The existing data set, and the record of this command's other files.
    paths = [f'{tfds_builder.FOLDER}/{tfds_builder.MARKER}', outputs.RECORD]
    paths += build_files.NAMES
    remote.get(remote.list(paths), build_dir)
    try:
      is_new = _build(config, build_dir)
    except errors.UserError as error:  # the user knows the folder by its URL
      raise errors.UserError(
        str(error).replace(str(build_dir), remote.url)
      ) from None
    # The record first, as on a disk: it must list every file.
    remote.write(outputs.RECORD, (build_dir / outputs.RECORD).read_bytes())
    sizes = {
      path.relative_to(build_dir).as_posix(): path.stat().st_size
      for path in build_dir.rglob('*')
      if path.is_file()
    }
    stale_paths = [
      path
      for path in listing
      if is_new
      and path not in sizes
      and tfds_builder.is_dataset_file(path.removeprefix(prefix))
    ]
    megabytes = sum(sizes.values()) // 10**6
    with progress.Progress(megabytes, f'copy to {remote.url}', 'MB') as bar:
      remote.update(
        build_dir, list(sizes), stale_paths, [tfds_builder.MARKER], bar
      )


def _build(config: configs.Build, data_dir: pathlib.Path) -> bool:
  """Builds in a local folder; False if the same data set already existed."""
  build_files.check(config, data_dir)
  selected = selection.select(config)
  names = kaggle.task_names(config.annotations)
  groupings = label_groups.read_all(config.groups, names)
  selected = [photos.with_groups(groupings) for photos in selected]
  described = description.read(config.description, names)
  data_dir.mkdir(parents=True, exist_ok=True)
  with scratch.folder(data_dir, '.build-') as work_dir:
    splits = {
      photos.split.name: selection.decode(photos, config, work_dir)
      for photos in selected
    }
    duplicates = near_duplicates.find(
      {
        name: {key: stored.hash_4 for key, stored in photos.stored.items()}
        for name, photos in splits.items()
      }
    )
    num_photos = sum(len(photos.stored) for photos in splits.values())
    if config.drop_duplicates:
      for name in splits.keys() - {TRAIN}:
        splits[name] = selection.without_twins(
          splits[name], near_duplicates.across(duplicates.twins, name)
        )
    if config.test_share:
      splits[VALIDATION], splits[TEST] = selection.draw_test(
        splits[VALIDATION], config.test_share, duplicates.groups
      )
      duplicates = near_duplicates.moved(duplicates, splits[TEST].stored)
    labels = {name: list(p.labels.values()) for name, p in splits.items()}
    task_set = all_tasks(labels, config.min_label_share)
    paths = [
      kaggle.split_path(config.annotations, p.split.name) for p in selected
    ]
    metadata = _metadata(config, paths, splits, task_set, groupings) | described
    is_new = _write(splits, task_set, metadata, work_dir, config, data_dir)
  figures = _statistics(metadata, splits, task_set, duplicates.twins)
  reasons = {name: photos.dropped for name, photos in splits.items()}
  outputs.write_text(
    data_dir / build_files.LOST_PHOTOS,
    lost_photos.as_csv(
      config.images, [p.split for p in splits.values()], reasons
    ),
  )
  outputs.write_text(
    data_dir / build_files.NEAR_DUPLICATES,
    near_duplicates.as_csv(duplicates.twins),
  )
  outputs.write_json(data_dir / build_files.STATISTICS, figures)
  notes = near_duplicates.lines(duplicates, num_photos, config.drop_duplicates)
  counts = label_notes.train_counts(labels)
  notes += label_notes.lines(
    counts, task_set, figures['splits'], config.min_label_share
  )
  notes += label_groups.lines(groupings, counts)
  dropped_lines = lost_photos.lines(
    config.images, reasons, f'{config.data_dir}/{build_files.LOST_PHOTOS}'
  )
  print('\n'.join([statistics.table(figures), '', *dropped_lines, *notes]))
  return is_new


def all_tasks(
  labels: Mapping[str, Collection[Labels]], min_share: float
) -> tasks.TaskSet:
  """Every task with a label in train, apparel first, rare labels folded.

  If all photos are of one class, there is neither a task of the class nor a
  task of that class alone.

  Args:
    labels: split → the labels of each of its photos.
    min_share: see `tasks.fold_rare` and `tasks.share_to_fold`; counted on
      `train` alone.
  """
  counts = label_notes.train_counts(labels)
  names = [name for name in counts if counts[name].total()]
  if len(counts[tasks.APPAREL]) == 1:  # nothing to tell apart
    names = [n for n in names if n != tasks.APPAREL and ':' not in n]
  names.sort(key=lambda name: (name != tasks.APPAREL, ':' in name, name))
  return tasks.TaskSet(
    tuple(
      tasks.fold_rare(n, counts[n], tasks.share_to_fold(counts[n], min_share))
      for n in names
    )
  )


def _metadata(
  config: configs.Build,
  paths: list[pathlib.Path],
  splits: Mapping[str, Photos],
  task_set: tasks.TaskSet,
  groupings: Collection[label_groups.Grouping],
) -> dict[str, Any]:
  """What the data set is made of, and a digest of all of it.

  Args:
    config: of the build.
    paths: of the annotations.
    splits: the photos.
    task_set: the tasks.
    groupings: of labels, see `label_groups`.
  """
  paths += kaggle.map_paths(config.annotations)
  resize = Resize.of(config.image_size, config.exact_size)
  metadata = {
    'image_size': config.image_size,
    'stored_side': resize.side,
    'min_label_share': config.min_label_share,
    'require_any_of': list(config.require_any_of),
    'drop_duplicates': config.drop_duplicates,
    'tasks': task_set.to_json(),
    'num_examples': {name: len(p.stored) for name, p in splits.items()},
    'sources': {p.name: image_validation.digest(p.read_bytes()) for p in paths},
  }
  # A data set without these keeps the fingerprint that it had.
  if groupings:
    metadata['groups'] = {g.name: g.to_json() for g in groupings}
  if config.exact_size:
    metadata['exact_size'] = True
  if config.test_share:
    metadata['test_share'] = config.test_share
  digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
  stored = [pair for p in splits.values() for pair in p.stored.items()]
  for image_id, photo in progress.each(stored, 'fingerprint', 'photo'):
    digest.update(
      f'{image_id} {image_validation.digest(photo.read())}'.encode()
    )
  return metadata | {'fingerprint': digest.hexdigest()}


def _write(
  splits: Mapping[str, Photos],
  task_set: tasks.TaskSet,
  metadata: dict[str, Any],
  work_dir: pathlib.Path,
  config: configs.Build,
  data_dir: pathlib.Path,
) -> bool:
  """Writes the data set to `work_dir`, then renames it into place.

  Returns:
    False if the same data set was already there.
  """
  dataset_dir = tfds_builder.directory(data_dir)
  display_path = f'{config.data_dir}/{tfds_builder.FOLDER}'
  if dataset_dir.exists() and not config.overwrite:
    old = source.read_metadata(data_dir)
    if old['fingerprint'] == metadata['fingerprint']:
      print(f'{display_path}: this data set already exists, unchanged\n')
      if description.of(old) != description.of(metadata):
        files.write_json(dataset_dir / tfds_builder.MARKER, metadata)
      return False
    raise errors.UserError(
      f'{display_path}: a different data set exists; choose another '
      '--data_dir, or replace it with --overwrite'
    )
  tfds_builder.write(
    {
      name: functools.partial(_rows, photos, task_set)
      for name, photos in splits.items()
    },
    metadata['stored_side'],
    metadata,
    work_dir,
  )
  dataset_dir.parent.mkdir(exist_ok=True)
  old_dir = work_dir / 'replaced'
  if dataset_dir.exists():
    dataset_dir.rename(old_dir)
  tfds_builder.directory(work_dir).rename(dataset_dir)
  if old_dir.is_dir():  # keep files of file managers
    for path in old_dir.iterdir():
      if files.is_foreign(path.name):
        path.rename(dataset_dir / path.name)
  return True


def _rows(
  photos: Photos, task_set: tasks.TaskSet
) -> Iterator[tuple[str, bytes, np.ndarray]]:
  """Image id, JPEG and the T label numbers of each photo."""
  for image_id, photo in progress.each(
    photos.stored.items(), f'write {photos.split.name}', 'photo'
  ):
    labels = photos.labels[image_id]
    numbers = [task.index(labels.get(task.name)) for task in task_set]
    yield image_id, photo.read(), np.array(numbers, np.int32)


def _statistics(
  metadata: dict[str, Any],
  splits: Mapping[str, Photos],
  task_set: tasks.TaskSet,
  twins: Collection[near_duplicates.NearDuplicate],
) -> dict[str, Any]:
  """The content of `statistics.json`."""
  of_split = {
    name: {
      'listed': len(photos.split.images),
      'kept': len(photos.stored),
      'lost': dict(collections.Counter(photos.dropped.values())),
      'irregular': dataclasses.asdict(photos.irregular),
      'near_duplicates': {
        'of_its_own': sum(t.split == t.twin_split == name for t in twins),
        'of_train': sum(
          t.split == name != TRAIN == t.twin_split for t in twins
        ),
      },
      'tasks': statistics.describe(task_set, list(photos.labels.values())),
    }
    for name, photos in splits.items()
  }
  return {'metadata': metadata, 'splits': of_split}


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, configs.Build)
