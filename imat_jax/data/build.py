"""Turns downloaded photos and sparse labels into the TFDS data set.

Keeps the photos that exist and decode, joins the attributes of the classes,
makes rare labels one label 'other', and writes square JPEGs with a number per
task, -1 where a label is missing.

  python -m imat_jax.data.build \\
    --annotations=data/annotations --images=data/images --data_dir=data/built

leaves the data set in DATA_DIR/imaterialist, DATA_DIR/statistics.json and
DATA_DIR/near_duplicates.csv, the photos that are nearly the same as one before
them, and prints a table. All tasks of the maps are built; a run picks its own.
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
import tempfile
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from imat_jax import config as config_lib
from imat_jax import errors, files, progress, remote, tasks
from imat_jax.data import (
  annotations,
  builder,
  duplicates,
  fleet,
  manifest,
  photos,
  picture,
  source,
  statistics,
)

_SPLITS = ('train', 'validation')

Labels = Mapping[str, str]  # task name → label name


@dataclasses.dataclass(frozen=True)
class Kept:
  """The photos of a split that stay, and what became of the others."""

  listed: int
  stored: Mapping[str, photos.Stored]
  labels: Mapping[str, Labels]
  lost: Mapping[str, int]
  irregular: annotations.Irregularities


def main(config: config_lib.Build) -> None:
  """Builds the data set and prints its table."""
  if remote.is_url(config.data_dir):
    _build_and_upload(config, remote.Folder(config.data_dir))
  else:
    _build(config, pathlib.Path(config.data_dir))


def _build_and_upload(config: config_lib.Build, there: remote.Folder) -> None:
  """Builds on this machine first: a data set comes whole."""
  there.check()
  cache = files.cache_folder()
  cache.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=cache, prefix='build-') as here:
    here = pathlib.Path(here)
    before = there.list([f'{builder.FOLDER}/'])
    mark = f'{builder.FOLDER}/{builder.MARK}'
    if mark in before:  # says which one is there
      there.get({mark: before[mark]}, here)
    is_new = _build(config, here)
    sizes = {
      path.relative_to(here).as_posix(): path.stat().st_size
      for path in here.rglob('*')
      if path.is_file()
    }
    gone = [name for name in before if is_new and name not in sizes]
    megabytes = sum(sizes.values()) // 10**6
    with progress.Progress(megabytes, f'copy to {there.url}', 'MB') as bar:
      there.update(here, list(sizes), gone, [builder.MARK], bar)


def _build(config: config_lib.Build, data_dir: pathlib.Path) -> bool:
  """Builds in a folder of this machine; False if the data set was there."""
  splits = [annotations.read_split(config.annotations, s) for s in _SPLITS]
  _check_selection(config)
  data_dir.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=data_dir, prefix='.build-') as scratch:
    scratch = pathlib.Path(scratch)
    kept = {split.name: _keep(split, config, scratch) for split in splits}
    twins = duplicates.find(
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
    is_new = _write(kept, task_set, metadata, scratch, config, data_dir)
  report = _statistics(metadata, kept, task_set, twins)
  duplicates.write(data_dir / 'near_duplicates.csv', twins)
  files.write_json(data_dir / 'statistics.json', report)
  print(statistics.table(report))
  return is_new


def all_tasks(
  labels: Mapping[str, Collection[Labels]], min_share: float
) -> tasks.TaskSet:
  """Every task with a label in train, apparel first, rare labels folded.

  Where all photos are of one class there is no task of the class, and none of
  that class alone.

  Args:
    labels: split → the labels of each of its photos.
    min_share: see `tasks.fold_rare`; counted on `train` alone.
  """
  counts = collections.defaultdict(collections.Counter)
  for split, rows in labels.items():
    for name, label in (pair for row in rows for pair in row.items()):
      # 0 for a label that only validation has.
      counts[name][label] += split == 'train'
  names = [name for name in counts if counts[name].total()]
  if len(counts[tasks.APPAREL]) == 1:  # nothing to tell apart
    names = [n for n in names if n != tasks.APPAREL and ':' not in n]
  names.sort(key=lambda name: (name != tasks.APPAREL, ':' in name, name))
  return tasks.TaskSet(
    tuple(tasks.fold_rare(n, counts[n], min_share) for n in names)
  )


def _keep(
  split: annotations.Split, config: config_lib.Build, scratch: pathlib.Path
) -> Kept:
  labels, irregular = annotations.labels_by_image(split)
  lost = collections.Counter()
  lost['without annotations'] = sum(not found for found in labels.values())
  wanted = [key for key, found in labels.items() if found]
  chosen = [key for key in wanted if _selected(labels[key], config)]
  lost['no label of the selection'] = len(wanted) - len(chosen)
  folder = f'{config.images}/{split.name}'
  if '://' not in folder and not pathlib.Path(folder).is_dir():
    raise errors.UserError(f'{folder}: there is no such folder of photos')
  target = scratch / split.name
  target.mkdir()
  side = photos.stored_side(config.image_size)
  if config.beam:
    stored, failed = fleet.store(chosen, folder, target, side, config.beam)
  else:
    stored, failed = photos.store(chosen, pathlib.Path(folder), target, side)
  if not stored:
    raise errors.UserError(
      f'{folder}: none of the {len(labels):,} listed photos can be used; '
      'has the download run?'
    )
  lines = manifest.read(manifest.path(config.images, split.name))
  for image_id, why in failed.items():
    line = lines.get(image_id)
    lost[f'download: {line.error}' if line and line.error else why] += 1
  kept_labels = {key: labels[key] for key in stored}
  return Kept(len(labels), stored, kept_labels, lost, irregular)


def _without_train(
  validation: Kept, twins: Collection[duplicates.Twin]
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
    lost={**validation.lost, 'stands in train': len(twice)},
  )


def _in_both(twins: Collection[duplicates.Twin]) -> set[str]:
  """The validation photos that stand in train, which comes before them."""
  return {twin.image_id for twin in twins if twin.split != twin.twin_split}


def _selected(labels: Labels, config: config_lib.Build) -> bool:
  wanted = set(map(tasks.spelling, config.require_any_of))
  return not wanted or bool(wanted & set(map(tasks.spelling, labels)))


def _check_selection(config: config_lib.Build) -> None:
  known = annotations.task_names(config.annotations)
  for name in config.require_any_of:
    if tasks.resolve(name, known) not in known:
      raise errors.UserError(
        f"--require_any_of: there is no task '{name}'; there are: "
        f'{", ".join(sorted(known))}'
      )


def _metadata(
  config: config_lib.Build, kept: Mapping[str, Kept], task_set: tasks.TaskSet
) -> dict[str, Any]:
  paths = [annotations.split_path(config.annotations, s) for s in _SPLITS]
  paths += annotations.map_paths(config.annotations)
  metadata = {
    'image_size': config.image_size,
    'stored_side': photos.stored_side(config.image_size),
    'min_label_share': config.min_label_share,
    'require_any_of': list(config.require_any_of),
    'drop_duplicates': config.drop_duplicates,
    'tasks': task_set.to_json(),
    'num_examples': {name: len(k.stored) for name, k in kept.items()},
    'sources': {p.name: picture.digest(p.read_bytes()) for p in paths},
  }
  return metadata | {'fingerprint': _fingerprint(metadata, kept)}


def _fingerprint(metadata: dict[str, Any], kept: Mapping[str, Kept]) -> str:
  digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
  for split in kept.values():
    for image_id, (path, _) in split.stored.items():
      digest.update(f'{image_id} {picture.digest(path.read_bytes())}'.encode())
  return digest.hexdigest()


def _write(
  kept: Mapping[str, Kept],
  task_set: tasks.TaskSet,
  metadata: dict[str, Any],
  scratch: pathlib.Path,
  config: config_lib.Build,
  data_dir: pathlib.Path,
) -> bool:
  """Writes the data set beside its place, then puts it there in one move.

  Returns:
    False if this very data set was there.
  """
  home = builder.directory(data_dir)
  shown = f'{config.data_dir}/{builder.FOLDER}'
  if home.exists() and not config.overwrite:
    there = source.read_metadata(data_dir)['fingerprint']
    if there == metadata['fingerprint']:
      print(f'{shown}: this very data set is already there\n')
      return False
    raise errors.UserError(
      f'{shown}: another data set is there; give another --data_dir, or '
      '--overwrite to replace it'
    )

  def rows(split: Kept) -> Iterator[tuple[str, bytes, np.ndarray]]:
    for image_id, (path, _) in split.stored.items():
      yield image_id, path.read_bytes(), _numbers(split, image_id, task_set)

  builder.write(
    {name: (lambda split=split: rows(split)) for name, split in kept.items()},
    metadata['stored_side'],
    metadata,
    scratch,
  )
  home.parent.mkdir(exist_ok=True)
  if home.exists():
    home.rename(scratch / 'replaced')
  builder.directory(scratch).rename(home)
  return True


def _numbers(split: Kept, image_id: str, task_set: tasks.TaskSet) -> np.ndarray:
  labels = split.labels[image_id]
  return np.array([t.index(labels.get(t.name)) for t in task_set], np.int32)


def _statistics(
  metadata: dict[str, Any],
  kept: Mapping[str, Kept],
  task_set: tasks.TaskSet,
  twins: Collection[duplicates.Twin],
) -> dict[str, Any]:
  splits = {
    name: {
      'listed': k.listed,
      'kept': len(k.stored),
      'lost': {why: count for why, count in k.lost.items() if count},
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
