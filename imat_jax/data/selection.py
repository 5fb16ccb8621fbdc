"""Which of the listed photos a build keeps, and why it drops the others."""

import dataclasses
import pathlib
from collections.abc import Collection, Mapping

from imat_jax import errors, tasks
from imat_jax.data import (
  beam,
  build_files,
  configs,
  kaggle,
  label_groups,
  lost_photos,
  manifest,
  preprocess,
)

Labels = Mapping[str, str]  # task name → label name


@dataclasses.dataclass(frozen=True)
class Photos:
  """The photos of a split that are kept, and why the others are not."""

  split: kaggle.Split
  labels: Mapping[str, Labels]  # by image id
  dropped: lost_photos.Reasons
  irregular: kaggle.Irregularities
  stored: Mapping[str, preprocess.Stored]  # by image id; empty before `decode`

  def without(self, reasons: lost_photos.Reasons) -> 'Photos':
    """The photos but for those that there is a reason to drop."""
    return dataclasses.replace(
      self,
      labels={i: x for i, x in self.labels.items() if i not in reasons},
      dropped={**self.dropped, **reasons},
      stored={i: x for i, x in self.stored.items() if i not in reasons},
    )

  def with_groups(
    self, groupings: Collection[label_groups.Grouping]
  ) -> 'Photos':
    """The photos with the labels of grouped tasks, too."""
    return dataclasses.replace(
      self,
      labels={
        i: label_groups.add(labels, groupings)
        for i, labels in self.labels.items()
      },
    )


def select(config: configs.Build) -> list[Photos]:
  """The photos of each split that have labels, before any is decoded.

  Raises:
    UserError: bad annotations, an unknown task, no folder of photos, or a split
      without photos.
  """
  splits = [
    kaggle.read_split(config.annotations, s) for s in build_files.SPLITS
  ]
  task_names = kaggle.task_names(config.annotations)
  for name in config.require_any_of:
    if tasks.resolve(name, task_names) not in task_names:
      raise errors.UserError(
        f"--require_any_of: no task '{name}'; available: "
        f'{", ".join(sorted(task_names))}'
      )
  return [_select(split, config) for split in splits]


def _select(split: kaggle.Split, config: configs.Build) -> Photos:
  path = kaggle.split_path(config.annotations, split.name)
  if not split.images:
    raise errors.UserError(
      f'{path}: no {split.name} photos; a data set needs train and validation '
      'photos (imat_jax.data.own draws a validation split if the table has '
      'none)'
    )
  labels, irregular = kaggle.labels_by_image(split)
  photos = Photos(split, labels, {}, irregular, {})
  photos = photos.without(
    {i: 'without annotations' for i, x in labels.items() if not x}
  )
  if not photos.labels:
    raise errors.UserError(
      f'{path}: none of the {len(labels):,} listed photos has a label'
    )
  if required := set(map(tasks.spelling, config.require_any_of)):
    photos = photos.without(
      {
        image_id: 'no label of the selection'
        for image_id, names in photos.labels.items()
        if required.isdisjoint(map(tasks.spelling, names))
      }
    )
  if not photos.labels:
    raise errors.UserError(
      f'--require_any_of={",".join(config.require_any_of)}: no {split.name} '
      'photo has a label of these tasks; name other tasks, or none'
    )
  folder = f'{config.images}/{split.name}'
  if '://' not in folder and not pathlib.Path(folder).is_dir():
    question = lost_photos.question(split, photos.labels)
    raise errors.UserError(f'{folder}: no such folder of photos{question}')
  return photos


def decode(
  photos: Photos, config: configs.Build, work_dir: pathlib.Path
) -> Photos:
  """Stores the photos in a folder in `work_dir`; drops those that fail.

  Raises:
    UserError: all fail.
  """
  name, image_ids = photos.split.name, list(photos.labels)
  folder, target = f'{config.images}/{name}', work_dir / name
  target.mkdir()
  side = preprocess.stored_side(config.image_size)
  if config.beam:
    stored, failed = beam.store(image_ids, folder, target, side, config.beam)
  else:
    stored, failed = preprocess.store(
      image_ids, pathlib.Path(folder), target, side
    )
  entries = manifest.read(manifest.path(config.images, name))
  reasons = {}
  for image_id, reason in failed.items():
    entry = entries.get(image_id)
    download_error = entry and entry.error and f'download: {entry.error}'
    reasons[image_id] = download_error or lost_photos.reason(
      folder, image_id, reason
    )
  kept = dataclasses.replace(photos, stored=stored).without(reasons)
  if not stored:
    missing = [i for i, why in reasons.items() if why == preprocess.NO_FILE]
    raise errors.UserError(
      f'{folder}: none of the {len(photos.split.images):,} listed photos can '
      f'be used: {lost_photos.summary(folder, kept.dropped)}'
      f'{lost_photos.question(photos.split, missing)}'
    )
  return kept


def without_train(validation: Photos, duplicate_ids: Collection[str]) -> Photos:
  """The validation split without near-duplicates of train photos.

  Raises:
    UserError: there are no others.
  """
  others = validation.without(dict.fromkeys(duplicate_ids, 'stands in train'))
  if not others.stored:
    raise errors.UserError(
      '--drop_duplicates: every validation photo has a near-duplicate in train'
    )
  return others
