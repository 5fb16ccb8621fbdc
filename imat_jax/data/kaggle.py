"""Reads and validates Kaggle's annotation files.

A photo's labels follow from its annotations by these rules; how often each
applies is counted:

* A task `shoe:gender` has two meanings: the photo's apparel class is `shoe`,
  and its gender is the label.
* A photo annotated in two apparel classes has the class with more annotations
  (in a tie the first in the file). The other class's annotations are dropped,
  so that all labels describe the same garment.
* Of several labels for one task of a photo the most frequent is used (in a tie
  the first in the file).
* An annotation whose image is not listed is dropped; a photo without
  annotations has no labels.
"""

import collections
import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from imat_jax import errors, tasks
from imat_jax.runtime import files, progress

_PREFIX = 'fgvc4_iMat.'


@dataclasses.dataclass(frozen=True)
class Image:
  """A photo and its links, the best first."""

  image_id: str
  urls: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Annotation:
  """One label: names, not ids."""

  image_id: str
  apparel: str
  attribute: str
  label: str


@dataclasses.dataclass(frozen=True)
class Split:
  """The images and annotations of one split, in the order of the file."""

  name: str
  images: tuple[Image, ...]
  annotations: tuple[Annotation, ...]


@dataclasses.dataclass(frozen=True)
class Irregularities:
  """How often each rule of this module applied in a split."""

  two_classes: int
  repeated_labels: int
  without_annotations: int
  annotations_without_image: int


def split_path(directory: pathlib.Path, split: str) -> pathlib.Path:
  """The file of a split; that of `test` holds images only."""
  kind = 'image' if split == 'test' else 'data'
  return pathlib.Path(directory) / f'{_PREFIX}{split}.{kind}.json'


def map_paths(directory: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
  """The files with the names of tasks and labels."""
  directory = pathlib.Path(directory)
  return (
    directory / f'{_PREFIX}task_map.json',
    directory / f'{_PREFIX}label_map.json',
  )


def read_split(directory: pathlib.Path, split: str) -> Split:
  """Reads a split's file and checks each record.

  Raises:
    UserError: names the file, the record and the error.
  """
  directory = pathlib.Path(directory)
  if not directory.is_dir():
    raise errors.UserError(f'{directory}: no such folder')
  path = split_path(directory, split)
  content = files.read_json(path)
  images = _read_images(path, content)
  if split == 'test':
    return Split(split, images, ())
  return Split(split, images, _read_annotations(path, content, directory))


class Maps(NamedTuple):
  """Kaggle's ids → names."""

  tasks: dict[str, str]  # task id → `shoe:color`
  labels: dict[str, str]  # label id → `red`


def read_maps(directory: pathlib.Path) -> Maps:
  """Reads the two maps.

  Raises:
    UserError: names the file, the record and the error.
  """
  task_path, label_path = map_paths(directory)
  return Maps(
    _read_map(task_path, 'taskInfo', 'task'),
    _read_map(label_path, 'labelInfo', 'label'),
  )


def task_names(directory: pathlib.Path) -> set[str]:
  """All tasks of the task map: `apparel`, attributes, tasks of one class."""
  path, _ = map_paths(directory)
  names = set(_read_map(path, 'taskInfo', 'task').values())
  attributes = {_garment(path, name)[1] for name in names}
  return {tasks.APPAREL} | names | attributes


def labels_by_image(
  split: Split,
) -> tuple[dict[str, dict[str, str]], Irregularities]:
  """The label of each photo in each task, by the rules of this module.

  Returns:
    image id → task name → label name, for each image of the split (empty if
    without annotations), and the counts of irregularities. Task names are
    `apparel`, the attribute (`color`) and the task of one class (`shoe:color`).
  """
  grouped = {image.image_id: [] for image in split.images}
  orphans = 0
  for annotation in split.annotations:
    if annotation.image_id in grouped:
      grouped[annotation.image_id].append(annotation)
    else:
      orphans += 1
  photos = {
    key: _of_one_garment(grouped[key])
    for key in progress.each(grouped, f'labels of {split.name}', 'photo')
  }
  counts = Irregularities(
    two_classes=sum(len(photos[k]) < len(v) for k, v in grouped.items()),
    repeated_labels=sum(map(_repeats, photos.values())),
    without_annotations=sum(
      not annotations for annotations in grouped.values()
    ),
    annotations_without_image=orphans,
  )
  return {
    key: _labels(annotations) for key, annotations in photos.items()
  }, counts


def _of_one_garment(annotations: list[Annotation]) -> list[Annotation]:
  if not annotations:
    return []
  apparel = _commonest(a.apparel for a in annotations)
  return [a for a in annotations if a.apparel == apparel]


def _repeats(annotations: list[Annotation]) -> int:
  return len(annotations) - len({a.attribute for a in annotations})


def _labels(annotations: list[Annotation]) -> dict[str, str]:
  if not annotations:
    return {}
  labels = {tasks.APPAREL: annotations[0].apparel}
  by_attribute = collections.defaultdict(list)
  for annotation in annotations:
    by_attribute[annotation.attribute].append(annotation.label)
  for attribute, names in by_attribute.items():
    label = _commonest(names)
    labels[attribute] = labels[f'{annotations[0].apparel}:{attribute}'] = label
  return labels


def _commonest(names: Iterable[str]) -> str:
  # most_common is stable: in a tie, the first.
  return collections.Counter(names).most_common(1)[0][0]


def _read_images(path: pathlib.Path, content: Any) -> tuple[Image, ...]:
  images = []
  seen = set()
  records = _records(path, content, 'images')
  bar = progress.each(records, f'read {path.name}', 'image')
  for number, record in enumerate(bar):
    where = f'{path.name}: image {number}'
    image_id = _text(record, 'imageId', where)
    if image_id in seen:
      raise errors.UserError(f"{where}: duplicate imageId '{image_id}'")
    seen.add(image_id)
    images.append(Image(image_id, _urls(record, where)))
  return tuple(images)


def _urls(record: dict[str, Any], where: str) -> tuple[str, ...]:
  urls = record.get('url')
  if not isinstance(urls, list) or not all(isinstance(u, str) for u in urls):
    raise errors.UserError(f"{where}: 'url' must be a list of strings")
  return tuple(urls)


def _read_annotations(
  path: pathlib.Path, content: Any, directory: pathlib.Path
) -> tuple[Annotation, ...]:
  task_path, _ = map_paths(directory)
  task_map, label_map = read_maps(directory)
  garments = {key: _garment(task_path, name) for key, name in task_map.items()}
  annotations = []
  records = _records(path, content, 'annotations')
  bar = progress.each(records, f'read {path.name}', 'annotation')
  for number, record in enumerate(bar):
    where = f'{path.name}: annotation {number}'
    task_id = _known(record, 'taskId', task_map, 'task map', where)
    label_id = _known(record, 'labelId', label_map, 'label map', where)
    image_id = _text(record, 'imageId', where)
    annotations.append(
      Annotation(image_id, *garments[task_id], label_map[label_id])
    )
  return tuple(annotations)


def _read_map(path: pathlib.Path, key: str, kind: str) -> dict[str, str]:
  names = {}
  for number, record in enumerate(_records(path, files.read_json(path), key)):
    where = f'{path.name}: {kind} {number}'
    identity = _text(record, f'{kind}Id', where)
    if identity in names:
      raise errors.UserError(f"{where}: duplicate {kind}Id '{identity}'")
    names[identity] = _text(record, f'{kind}Name', where)
    if any('\ud800' <= letter <= '\udfff' for letter in names[identity]):
      raise errors.UserError(f"{where}: '{kind}Name' is not valid Unicode")
  return names


def _garment(path: pathlib.Path, name: str) -> tuple[str, str]:
  apparel, colon, attribute = name.partition(':')
  if not (apparel and colon and attribute):
    raise errors.UserError(
      f"{path.name}: taskName '{name}' must look like 'shoe:gender'"
    )
  if attribute == tasks.APPAREL:
    raise errors.UserError(
      f"{path.name}: taskName '{name}': '{attribute}' is reserved for the task "
      'of the apparel class'
    )
  return apparel, attribute


def _known(record, key: str, names: dict[str, str], kind: str, where: str):
  identity = _text(record, key, where)
  if identity not in names:
    raise errors.UserError(f"{where}: {key} '{identity}' is not in the {kind}")
  return identity


def _text(record: Any, key: str, where: str) -> str:
  if not isinstance(record, dict) or not isinstance(record.get(key), str):
    raise errors.UserError(f"{where}: '{key}' is missing or not a string")
  return record[key]


def _records(path: pathlib.Path, content: Any, key: str) -> list[Any]:
  if not isinstance(content, dict) or not isinstance(content.get(key), list):
    raise errors.UserError(f"{path}: no list '{key}'")
  return content[key]
