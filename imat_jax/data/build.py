"""Turns downloaded photos and sparse labels into the TFDS data set.

Keeps the photos that exist and decode, joins the attributes of the classes,
makes rare labels one label 'other', and writes square JPEGs with a number per
task, -1 where a label is missing.

  python -m imat_jax.data.build \\
    --annotations=data/annotations --images=data/images --data_dir=data/built

leaves in DATA_DIR

  imaterialist/         the data set
  statistics.json       what it holds, and how many photos were lost, and why
  lost_photos.csv       each photo that was lost, with the reason
  near_duplicates.csv   the photos that are nearly the same as one before them

and prints a table. All tasks of the maps are built; a run picks its own. A task
whose rare labels are on many of its photos is kept whole.
A million photos are decoded by the machines of an Apache Beam pipeline:

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

from imat_jax import config as config_lib
from imat_jax import errors, tasks
from imat_jax.data import (
  beam,
  build_files,
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
  """The photos of a split that are wanted, and why others are not."""

  split: kaggle.Split
  labels: Mapping[str, Labels]  # of all photos
  chosen: list[str]
  lost: Mapping[str, str]  # image id → why
  irregular: kaggle.Irregularities


@dataclasses.dataclass(frozen=True)
class Kept:
  """The photos of a split that stay, and what became of the others."""

  listed: int
  stored: Mapping[str, preprocess.Stored]
  labels: Mapping[str, Labels]
  lost: Mapping[str, str]  # image id → why
  irregular: kaggle.Irregularities


def main(config: config_lib.Build) -> None:
  """Builds the data set and prints its table."""
  if storage.is_url(config.data_dir):
    _build_and_upload(config, storage.RemoteDir(config.data_dir))
  else:
    _build(config, pathlib.Path(config.data_dir))


def _build_and_upload(
  config: config_lib.Build, there: storage.RemoteDir
) -> None:
  """Builds on this machine first: a data set comes whole."""
  there.check()
  cache = files.cache_folder()
  cache.mkdir(parents=True, exist_ok=True)
  with scratch.folder(cache, 'build-') as here:
    before = there.list([f'{tfds_builder.FOLDER}/'])
    if config.overwrite:
      tfds_builder.check_names(
        f'{there.url}/{tfds_builder.FOLDER}', _names(before)
      )
    # What says which data set is there, and whose the files beside it are.
    wanted = [f'{tfds_builder.FOLDER}/{tfds_builder.MARK}', outputs.RECORD]
    wanted += build_files.NAMES
    there.get(there.list(wanted), here)
    try:
      is_new = _build(config, here)
    except errors.UserError as error:  # the user knows it by its URL
      raise errors.UserError(str(error).replace(str(here), there.url)) from None
    # First, as on a disk: what comes without it is nobody's.
    there.write(outputs.RECORD, (here / outputs.RECORD).read_bytes())
    sizes = {
      path.relative_to(here).as_posix(): path.stat().st_size
      for path in here.rglob('*')
      if path.is_file()
    }
    gone = [
      name
      for name in before
      if is_new and name not in sizes and tfds_builder.is_ours(_name(name))
    ]
    megabytes = sum(sizes.values()) // 10**6
    with progress.Progress(megabytes, f'copy to {there.url}', 'MB') as bar:
      there.update(here, list(sizes), gone, [tfds_builder.MARK], bar)


def _names(listing: storage.Listing) -> list[str]:
  return list(map(_name, listing))


def _name(path: str) -> str:
  return path.removeprefix(f'{tfds_builder.FOLDER}/')


def _build(config: config_lib.Build, data_dir: pathlib.Path) -> bool:
  """Builds in a folder of this machine; False if the data set was there."""
  build_files.check(config, data_dir)
  splits = [kaggle.read_split(config.annotations, s) for s in _SPLITS]
  _check_selection(config)
  selected = [_select(split, config) for split in splits]
  data_dir.mkdir(parents=True, exist_ok=True)
  with scratch.folder(data_dir, '.build-') as work:
    kept = {one.split.name: _keep(one, config, work) for one in selected}
    twins = near_duplicates.find(
      {
        name: {key: stored.hash_4 for key, stored in k.stored.items()}
        for name, k in kept.items()
      }
    )
    if config.drop_duplicates:
      kept['validation'] = _without_train(kept['validation'], twins)
    labels = {name: list(k.labels.values()) for name, k in kept.items()}
    task_set = all_tasks(labels, config.min_label_share)
    metadata = _metadata(config, kept, task_set)
    is_new = _write(kept, task_set, metadata, work, config, data_dir)
  report = _statistics(metadata, kept, task_set, twins)
  lost = {name: k.lost for name, k in kept.items()}
  outputs.write_text(
    data_dir / build_files.LOST, lost_photos.as_csv(config.images, splits, lost)
  )
  outputs.write_text(
    data_dir / build_files.TWINS, near_duplicates.as_csv(twins)
  )
  outputs.write_json(data_dir / build_files.STATISTICS, report)
  notes = label_notes.lines(
    label_notes.train_counts(labels),
    task_set,
    report['splits'],
    config.min_label_share,
  )
  losses = lost_photos.lines(
    config.images, lost, f'{config.data_dir}/{build_files.LOST}'
  )
  print('\n'.join([statistics.table(report), '', *losses, *notes]))
  return is_new


def all_tasks(
  labels: Mapping[str, Collection[Labels]], min_share: float
) -> tasks.TaskSet:
  """Every task with a label in train, apparel first, rare labels folded.

  Where all photos are of one class there is no task of the class, and none of
  that class alone.

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


def _folder(config: config_lib.Build, split: str) -> str:
  return f'{config.images}/{split}'


def _select(split: kaggle.Split, config: config_lib.Build) -> Selected:
  """The photos to decode; a split without any is refused before the work."""
  path = kaggle.split_path(config.annotations, split.name)
  if not split.images:
    raise errors.UserError(
      f'{path}: lists no {split.name} photo; a data set has train and '
      'validation photos: list some there (imat_jax.data.own draws a share of '
      'them for validation where no column split says it)'
    )
  labels, irregular = kaggle.labels_by_image(split)
  lost = {
    key: 'without annotations' for key, found in labels.items() if not found
  }
  labelled = [key for key, found in labels.items() if found]
  if not labelled:
    raise errors.UserError(
      f'{path}: none of the {len(labels):,} listed photos has a label'
    )
  chosen = [key for key in labelled if _selected(labels[key], config)]
  if not chosen:
    raise errors.UserError(
      f'--require_any_of={",".join(config.require_any_of)}: no {split.name} '
      'photo has a label of such a task; name other tasks, or none'
    )
  lost |= dict.fromkeys(
    (key for key in labelled if not _selected(labels[key], config)),
    'no label of the selection',
  )
  folder = _folder(config, split.name)
  if '://' not in folder and not pathlib.Path(folder).is_dir():
    question = lost_photos.question(split, chosen)
    raise errors.UserError(
      f'{folder}: there is no such folder of photos{question}'
    )
  return Selected(split, labels, chosen, lost, irregular)


def _keep(
  selected: Selected, config: config_lib.Build, work: pathlib.Path
) -> Kept:
  name = selected.split.name
  folder = _folder(config, name)
  target = work / name
  target.mkdir()
  chosen, side = selected.chosen, preprocess.stored_side(config.image_size)
  if config.beam:
    stored, failed = beam.store(chosen, folder, target, side, config.beam)
  else:
    stored, failed = preprocess.store(
      chosen, pathlib.Path(folder), target, side
    )
  lines = manifest.read(manifest.path(config.images, name))
  lost = dict(selected.lost)
  for image_id, why in failed.items():
    line = lines.get(image_id)
    downloaded = line and line.error and f'download: {line.error}'
    lost[image_id] = downloaded or lost_photos.reason(folder, image_id, why)
  if not stored:
    missing = [key for key, why in lost.items() if why == preprocess.NO_FILE]
    raise errors.UserError(
      f'{folder}: none of the {len(selected.labels):,} listed photos can be '
      f'used: {lost_photos.summary(folder, lost)}'
      f'{lost_photos.question(selected.split, missing)}'
    )
  labels = {key: selected.labels[key] for key in stored}
  return Kept(len(selected.labels), stored, labels, lost, selected.irregular)


def _without_train(
  validation: Kept, twins: Collection[near_duplicates.NearDuplicate]
) -> Kept:
  """Without the photos that stand in train too."""
  twice = _in_both(twins)
  stored = {k: v for k, v in validation.stored.items() if k not in twice}
  if not stored:
    raise errors.UserError(
      '--drop_duplicates: every validation photo stands in train'
    )
  return dataclasses.replace(
    validation,
    stored=stored,
    labels={key: validation.labels[key] for key in stored},
    lost={**validation.lost, **dict.fromkeys(twice, 'stands in train')},
  )


def _in_both(twins: Collection[near_duplicates.NearDuplicate]) -> set[str]:
  """The validation photos that stand in train, which comes before them."""
  return {twin.image_id for twin in twins if twin.split != twin.twin_split}


def _selected(labels: Labels, config: config_lib.Build) -> bool:
  wanted = set(map(tasks.spelling, config.require_any_of))
  return not wanted or bool(wanted & set(map(tasks.spelling, labels)))


def _check_selection(config: config_lib.Build) -> None:
  known = kaggle.task_names(config.annotations)
  for name in config.require_any_of:
    if tasks.resolve(name, known) not in known:
      raise errors.UserError(
        f"--require_any_of: there is no task '{name}'; there are: "
        f'{", ".join(sorted(known))}'
      )


def _metadata(
  config: config_lib.Build, kept: Mapping[str, Kept], task_set: tasks.TaskSet
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
    'num_examples': {name: len(k.stored) for name, k in kept.items()},
    'sources': {p.name: image_validation.digest(p.read_bytes()) for p in paths},
  }
  return metadata | {'fingerprint': _fingerprint(metadata, kept)}


def _fingerprint(metadata: dict[str, Any], kept: Mapping[str, Kept]) -> str:
  digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
  stored = [pair for split in kept.values() for pair in split.stored.items()]
  for image_id, (path, _) in progress.each(stored, 'fingerprint', 'photo'):
    digest.update(
      f'{image_id} {image_validation.digest(path.read_bytes())}'.encode()
    )
  return digest.hexdigest()


def _write(
  kept: Mapping[str, Kept],
  task_set: tasks.TaskSet,
  metadata: dict[str, Any],
  work: pathlib.Path,
  config: config_lib.Build,
  data_dir: pathlib.Path,
) -> bool:
  """Writes the data set beside its place, then puts it there in one move.

  Returns:
    False if this very data set was there.
  """
  home = tfds_builder.directory(data_dir)
  shown = f'{config.data_dir}/{tfds_builder.FOLDER}'
  if home.exists() and not config.overwrite:
    there = source.read_metadata(data_dir)['fingerprint']
    if there == metadata['fingerprint']:
      print(f'{shown}: this very data set is already there\n')
      return False
    raise errors.UserError(
      f'{shown}: another data set is there; give another --data_dir, or '
      '--overwrite to replace it'
    )

  def rows(name: str) -> Iterator[tuple[str, bytes, np.ndarray]]:
    photos_of = kept[name].stored.items()
    for image_id, (path, _) in progress.each(
      photos_of, f'write {name}', 'photo'
    ):
      label_T = _numbers(kept[name].labels[image_id], task_set)
      yield image_id, path.read_bytes(), label_T

  tfds_builder.write(
    {name: (lambda name=name: rows(name)) for name in kept},
    metadata['stored_side'],
    metadata,
    work,
  )
  home.parent.mkdir(exist_ok=True)
  replaced = work / 'replaced'
  if home.exists():
    home.rename(replaced)
  tfds_builder.directory(work).rename(home)
  if replaced.is_dir():  # what a file manager left there is not ours to remove
    for path in replaced.iterdir():
      if files.is_foreign(path.name):
        path.rename(home / path.name)
  return True


def _numbers(labels: Labels, task_set: tasks.TaskSet) -> np.ndarray:
  return np.array([t.index(labels.get(t.name)) for t in task_set], np.int32)


def _statistics(
  metadata: dict[str, Any],
  kept: Mapping[str, Kept],
  task_set: tasks.TaskSet,
  twins: Collection[near_duplicates.NearDuplicate],
) -> dict[str, Any]:
  splits = {
    name: {
      'listed': k.listed,
      'kept': len(k.stored),
      'lost': dict(collections.Counter(k.lost.values())),
      'irregular': dataclasses.asdict(k.irregular),
      'near_duplicates': {
        'of_its_own': sum(t.split == t.twin_split == name for t in twins),
        'of_train': len(_in_both(twins)) if name != 'train' else 0,
      },
      'tasks': statistics.describe(task_set, list(k.labels.values())),
    }
    for name, k in kept.items()
  }
  return {'metadata': metadata, 'splits': splits}


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, config_lib.Build)
