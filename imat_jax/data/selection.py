"""Which of the listed photos a build keeps, and why it drops the others."""

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Collection, Mapping

from imat_jax import errors, tasks
from imat_jax.data import (
  beam,
  configs,
  kaggle,
  label_groups,
  lost_photos,
  manifest,
  near_duplicates,
  preprocess,
  splits,
)
from imat_jax.data.types import TEST, TRAIN, VALIDATION, Resize

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
  listed = [
    kaggle.read_split(config.annotations, s) for s in (TRAIN, VALIDATION)
  ]
  if kaggle.labels_path(config.annotations, TEST).exists():
    test = kaggle.read_split(config.annotations, TEST)
    if test.annotations:
      listed.append(test)
  if config.test_share and len(listed) > 2:
    raise errors.UserError(
      f'--test_share={config.test_share}: {config.annotations} has a test '
      'split already; leave the flag out'
    )
  task_names = kaggle.task_names(config.annotations)
  for name in config.require_any_of:
    if tasks.resolve(name, task_names) not in task_names:
      raise errors.UserError(
        f"--require_any_of: no task '{name}'; available: "
        f'{", ".join(sorted(task_names))}'
      )
  return [_select(split, config) for split in listed]


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
  resize = Resize.of(config.image_size, config.exact_size)
  if config.beam:
    stored, failed = beam.store(image_ids, folder, target, resize, config.beam)
  else:
    stored, failed = preprocess.store(
      image_ids, pathlib.Path(folder), target, resize
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


def without_twins(photos: Photos, twin_ids: Collection[str]) -> Photos:
  """A split without near-duplicates of photos of an earlier split.

  Raises:
    UserError: there are no others.
  """
  name = photos.split.name
  earlier = 'train' if name == VALIDATION else 'train or validation'
  others = photos.without(dict.fromkeys(twin_ids, f'stands in {earlier}'))
  if not others.stored:
    raise errors.UserError(
      f'--drop_duplicates: every {name} photo has a near-duplicate in {earlier}'
    )
  return others


def draw_test(
  validation: Photos,
  share: float,
  groups: Collection[Collection[near_duplicates.Photo]],
) -> tuple[Photos, Photos]:
  """Divides the validation photos: what stays, and a test split.

  A group stays together, and one that reaches into train is not drawn: so no
  test photo has a near-duplicate in another split.

  Args:
    validation: the photos.
    share: of those that can be drawn.
    groups: see `near_duplicates.find`.

  Raises:
    UserError: there are fewer than two groups to draw from.
  """
  group_of, in_train = {}, set()
  for group in groups:
    ids = [image_id for split, image_id in group if split == VALIDATION]
    group_of |= dict.fromkeys(ids, _digest(ids[0]) if ids else '')
    if any(split == TRAIN for split, _ in group):
      in_train |= set(ids)
  by_digest = {_digest(i): i for i in validation.stored if i not in in_train}
  drawn = splits.held_out(
    _telling({d: validation.labels[i] for d, i in by_digest.items()}),
    share,
    {d: group_of[i] for d, i in by_digest.items() if i in group_of},
  )
  test_ids = {by_digest[digest] for digest in drawn}
  if not test_ids or len(test_ids) == len(by_digest):
    raise errors.UserError(
      f'--test_share={share}: too few of the {len(validation.stored):,} '
      'validation photos have no near-duplicate in train; leave the flag out, '
      'or use more photos'
    )
  test = _part(validation, TEST, lambda image_id: image_id in test_ids)
  return (
    _part(validation, VALIDATION, lambda image_id: image_id not in test_ids),
    dataclasses.replace(test, irregular=kaggle.Irregularities(0, 0, 0, 0)),
  )


def _telling(labels: Mapping[str, Labels]) -> dict[str, Labels]:
  """Without tasks of one class, which repeat the others, or of one label."""
  labels_by_task = collections.defaultdict(set)
  for name, label in (pair for x in labels.values() for pair in x.items()):
    labels_by_task[name].add(label)
  names = {n for n, x in labels_by_task.items() if len(x) > 1 and ':' not in n}
  return {
    key: {name: label for name, label in x.items() if name in names}
    for key, x in labels.items()
  }


def _part(photos: Photos, name: str, has: Callable[[str], bool]) -> Photos:
  """The photos whose id `has` accepts, as a split of this name."""
  images = tuple(i for i in photos.split.images if has(i.image_id))
  return dataclasses.replace(
    photos,
    split=dataclasses.replace(photos.split, name=name, images=images),
    labels={i: x for i, x in photos.labels.items() if has(i)},
    dropped={i: x for i, x in photos.dropped.items() if has(i)},
    stored={i: x for i, x in photos.stored.items() if has(i)},
  )


def _digest(image_id: str) -> str:
  return hashlib.sha256(image_id.encode()).hexdigest()
