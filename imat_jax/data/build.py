"""Builds the TFDS data set from photos and sparse labels.

Keeps the photos that exist and decode, merges the attributes of the classes,
folds rare labels into one label 'other', and writes square JPEGs with a label
number per task, -1 where missing.

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
import hashlib
import json
import pathlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from imat_jax import errors, tasks
from imat_jax.data import (
  beam,
  build_files,
  configs,
  image_validation,
  kaggle,
  label_notes,
  lost_photos,
  manifest,
  near_duplicates,
  preprocess,
  source,
  statistics,
  tfds_builder,
)
from imat_jax.runtime import files, outputs, progress, scratch, storage

_SPLITS = build_files.SPLITS

Labels = Mapping[str, str]  # task name → label name


@dataclasses.dataclass(frozen=True)
class Selected:
  """The selected photos of a split, and why others are dropped."""

  split: kaggle.Split
  labels: Mapping[str, Labels]  # of all photos
  chosen: list[str]  # image ids
  dropped: lost_photos.Reasons
  irregular: kaggle.Irregularities


@dataclasses.dataclass(frozen=True)
class Kept:
  """The kept photos of a split, and why the others are dropped."""

  listed: int
  stored: Mapping[str, preprocess.Stored]
  labels: Mapping[str, Labels]
  dropped: lost_photos.Reasons
  irregular: kaggle.Irregularities


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
    listing = remote.list([f'{tfds_builder.FOLDER}/'])
    if config.overwrite:
      tfds_builder.check_names(
        f'{remote.url}/{tfds_builder.FOLDER}', _names(listing)
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
    stale_names = [
      name
      for name in listing
      if is_new
      and name not in sizes
      and tfds_builder.is_dataset_file(_name(name))
    ]
    megabytes = sum(sizes.values()) // 10**6
    with progress.Progress(megabytes, f'copy to {remote.url}', 'MB') as bar:
      remote.update(
        build_dir, list(sizes), stale_names, [tfds_builder.MARKER], bar
      )


def _names(listing: storage.Listing) -> list[str]:
  return list(map(_name, listing))


def _name(path: str) -> str:
  return path.removeprefix(f'{tfds_builder.FOLDER}/')


def _build(config: configs.Build, data_dir: pathlib.Path) -> bool:
  """Builds in a local folder; False if the same data set already existed."""
  build_files.check(config, data_dir)
  splits = [kaggle.read_split(config.annotations, s) for s in _SPLITS]
  _check_selection(config)
  selections = [_select(split, config) for split in splits]
  data_dir.mkdir(parents=True, exist_ok=True)
  with scratch.folder(data_dir, '.build-') as work_dir:
    kept_splits = {
      selection.split.name: _keep(selection, config, work_dir)
      for selection in selections
    }
    twins = near_duplicates.find(
      {
        name: {key: stored.hash_4 for key, stored in k.stored.items()}
        for name, k in kept_splits.items()
      }
    )
    if config.drop_duplicates:
      kept_splits['validation'] = _without_train(
        kept_splits['validation'], twins
      )
    labels = {name: list(k.labels.values()) for name, k in kept_splits.items()}
    task_set = all_tasks(labels, config.min_label_share)
    metadata = _metadata(config, kept_splits, task_set)
    is_new = _write(kept_splits, task_set, metadata, work_dir, config, data_dir)
  figures = _statistics(metadata, kept_splits, task_set, twins)
  reasons = {name: k.dropped for name, k in kept_splits.items()}
  outputs.write_text(
    data_dir / build_files.LOST_PHOTOS,
    lost_photos.as_csv(config.images, splits, reasons),
  )
  outputs.write_text(
    data_dir / build_files.NEAR_DUPLICATES, near_duplicates.as_csv(twins)
  )
  outputs.write_json(data_dir / build_files.STATISTICS, figures)
  notes = label_notes.lines(
    label_notes.train_counts(labels),
    task_set,
    figures['splits'],
    config.min_label_share,
  )
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


def _folder(config: configs.Build, split: str) -> str:
  return f'{config.images}/{split}'


def _select(split: kaggle.Split, config: configs.Build) -> Selected:
  """The photos to decode; raises early for a split without any."""
  path = kaggle.split_path(config.annotations, split.name)
  if not split.images:
    raise errors.UserError(
      f'{path}: no {split.name} photos; a data set needs train and validation '
      'photos (imat_jax.data.own draws a validation split if the table has '
      'none)'
    )
  labels, irregular = kaggle.labels_by_image(split)
  reasons = {
    image_id: 'without annotations'
    for image_id, by_task in labels.items()
    if not by_task
  }
  labelled = [image_id for image_id, by_task in labels.items() if by_task]
  if not labelled:
    raise errors.UserError(
      f'{path}: none of the {len(labels):,} listed photos has a label'
    )
  chosen = [
    image_id for image_id in labelled if _selected(labels[image_id], config)
  ]
  if not chosen:
    raise errors.UserError(
      f'--require_any_of={",".join(config.require_any_of)}: no {split.name} '
      'photo has a label of these tasks; name other tasks, or none'
    )
  reasons |= dict.fromkeys(
    (
      image_id
      for image_id in labelled
      if not _selected(labels[image_id], config)
    ),
    'no label of the selection',
  )
  folder = _folder(config, split.name)
  if '://' not in folder and not pathlib.Path(folder).is_dir():
    question = lost_photos.question(split, chosen)
    raise errors.UserError(f'{folder}: no such folder of photos{question}')
  return Selected(split, labels, chosen, reasons, irregular)


def _keep(
  selected: Selected, config: configs.Build, work_dir: pathlib.Path
) -> Kept:
  name = selected.split.name
  folder = _folder(config, name)
  target = work_dir / name
  target.mkdir()
  chosen, side = selected.chosen, preprocess.stored_side(config.image_size)
  if config.beam:
    stored, failed = beam.store(chosen, folder, target, side, config.beam)
  else:
    stored, failed = preprocess.store(
      chosen, pathlib.Path(folder), target, side
    )
  entries = manifest.read(manifest.path(config.images, name))
  reasons = dict(selected.dropped)
  for image_id, reason in failed.items():
    entry = entries.get(image_id)
    download_error = entry and entry.error and f'download: {entry.error}'
    reasons[image_id] = download_error or lost_photos.reason(
      folder, image_id, reason
    )
  if not stored:
    missing = [
      image_id
      for image_id, reason in reasons.items()
      if reason == preprocess.NO_FILE
    ]
    raise errors.UserError(
      f'{folder}: none of the {len(selected.labels):,} listed photos can be '
      f'used: {lost_photos.summary(folder, reasons)}'
      f'{lost_photos.question(selected.split, missing)}'
    )
  labels = {image_id: selected.labels[image_id] for image_id in stored}
  return Kept(len(selected.labels), stored, labels, reasons, selected.irregular)


def _without_train(
  validation: Kept, twins: Collection[near_duplicates.NearDuplicate]
) -> Kept:
  """The validation split without near-duplicates of train photos."""
  duplicate_ids = _in_both(twins)
  stored = {
    image_id: photo
    for image_id, photo in validation.stored.items()
    if image_id not in duplicate_ids
  }
  if not stored:
    raise errors.UserError(
      '--drop_duplicates: every validation photo has a near-duplicate in train'
    )
  return dataclasses.replace(
    validation,
    stored=stored,
    labels={image_id: validation.labels[image_id] for image_id in stored},
    dropped={
      **validation.dropped,
      **dict.fromkeys(duplicate_ids, 'stands in train'),
    },
  )


def _in_both(twins: Collection[near_duplicates.NearDuplicate]) -> set[str]:
  """The validation photos with a near-duplicate in train."""
  return {twin.image_id for twin in twins if twin.split != twin.twin_split}


def _selected(labels: Labels, config: configs.Build) -> bool:
  required = set(map(tasks.spelling, config.require_any_of))
  return not required or bool(required & set(map(tasks.spelling, labels)))


def _check_selection(config: configs.Build) -> None:
  task_names = kaggle.task_names(config.annotations)
  for name in config.require_any_of:
    if tasks.resolve(name, task_names) not in task_names:
      raise errors.UserError(
        f"--require_any_of: no task '{name}'; available: "
        f'{", ".join(sorted(task_names))}'
      )


def _metadata(
  config: configs.Build,
  kept_splits: Mapping[str, Kept],
  task_set: tasks.TaskSet,
) -> dict[str, Any]:
  paths = [kaggle.split_path(config.annotations, s) for s in _SPLITS]
  paths += kaggle.map_paths(config.annotations)
  metadata = {
    'image_size': config.image_size,
    'stored_side': preprocess.stored_side(config.image_size),
    'min_label_share': config.min_label_share,
    'require_any_of': list(config.require_any_of),
    'drop_duplicates': config.drop_duplicates,
    'tasks': task_set.to_json(),
    'num_examples': {name: len(k.stored) for name, k in kept_splits.items()},
    'sources': {p.name: image_validation.digest(p.read_bytes()) for p in paths},
  }
  return metadata | {'fingerprint': _fingerprint(metadata, kept_splits)}


def _fingerprint(
  metadata: dict[str, Any], kept_splits: Mapping[str, Kept]
) -> str:
  digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
  stored = [
    pair for split in kept_splits.values() for pair in split.stored.items()
  ]
  for image_id, (path, _) in progress.each(stored, 'fingerprint', 'photo'):
    digest.update(
      f'{image_id} {image_validation.digest(path.read_bytes())}'.encode()
    )
  return digest.hexdigest()


def _write(
  kept_splits: Mapping[str, Kept],
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
    old_fingerprint = source.read_metadata(data_dir)['fingerprint']
    if old_fingerprint == metadata['fingerprint']:
      print(f'{display_path}: this data set already exists, unchanged\n')
      return False
    raise errors.UserError(
      f'{display_path}: a different data set exists; choose another '
      '--data_dir, or replace it with --overwrite'
    )

  def rows(name: str) -> Iterator[tuple[str, bytes, np.ndarray]]:
    photos = kept_splits[name].stored.items()
    for image_id, (path, _) in progress.each(photos, f'write {name}', 'photo'):
      label_T = _numbers(kept_splits[name].labels[image_id], task_set)
      yield image_id, path.read_bytes(), label_T

  tfds_builder.write(
    {name: (lambda name=name: rows(name)) for name in kept_splits},
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


def _numbers(labels: Labels, task_set: tasks.TaskSet) -> np.ndarray:
  return np.array([t.index(labels.get(t.name)) for t in task_set], np.int32)


def _statistics(
  metadata: dict[str, Any],
  kept_splits: Mapping[str, Kept],
  task_set: tasks.TaskSet,
  twins: Collection[near_duplicates.NearDuplicate],
) -> dict[str, Any]:
  splits = {
    name: {
      'listed': k.listed,
      'kept': len(k.stored),
      'lost': dict(collections.Counter(k.dropped.values())),
      'irregular': dataclasses.asdict(k.irregular),
      'near_duplicates': {
        'of_its_own': sum(t.split == t.twin_split == name for t in twins),
        'of_train': len(_in_both(twins)) if name != 'train' else 0,
      },
      'tasks': statistics.describe(task_set, list(k.labels.values())),
    }
    for name, k in kept_splits.items()
  }
  return {'metadata': metadata, 'splits': splits}


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, configs.Build)
