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
from collections.abc import Iterable, Iterator
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


def labels_path(directory: pathlib.Path, split: str) -> pathlib.Path:
  """The file of a split with labels; of `test` there may be none."""
  return pathlib.Path(directory) / f'{_PREFIX}{split}.data.json'


def split_path(directory: pathlib.Path, split: str) -> pathlib.Path:
  """The file of a split; Kaggle's of `test` holds images only."""
  path = labels_path(directory, split)
  if split == 'test' and not path.exists():
    return path.with_name(f'{_PREFIX}test.image.json')
  return path


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
  if path != labels_path(directory, split):
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
  return Maps(_read_map(task_path, 'task'), _read_map(label_path, 'label'))


def task_names(directory: pathlib.Path) -> set[str]:
  """All tasks of the task map: `apparel`, attributes, tasks of one class."""
  path, _ = map_paths(directory)
  names = set(_read_map(path, 'task').values())
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
  orphans = []
  for annotation in split.annotations:
    grouped.get(annotation.image_id, orphans).append(annotation)
  labels, two_classes, repeats = {}, 0, 0
  for image_id in progress.each(grouped, f'labels of {split.name}', 'photo'):
    annotations = grouped[image_id]
    labels[image_id] = {}
    if not annotations:
      continue
    apparel = _commonest(a.apparel for a in annotations)
    by_attribute = collections.defaultdict(list)
    for annotation in annotations:
      if annotation.apparel == apparel:
        by_attribute[annotation.attribute].append(annotation.label)
    used = sum(map(len, by_attribute.values()))
    two_classes += used < len(annotations)
    repeats += used - len(by_attribute)
    labels[image_id][tasks.APPAREL] = apparel
    for attribute, names in by_attribute.items():
      label = _commonest(names)
      labels[image_id][attribute] = label
      labels[image_id][f'{apparel}:{attribute}'] = label
  return labels, Irregularities(
    two_classes=two_classes,
    repeated_labels=repeats,
    without_annotations=sum(not names for names in labels.values()),
    annotations_without_image=len(orphans),
  )


def _commonest(names: Iterable[str]) -> str:
  # most_common is stable: in a tie, the first.
  return collections.Counter(names).most_common(1)[0][0]


def _read_images(path: pathlib.Path, content: Any) -> tuple[Image, ...]:
  return tuple(
    Image(image_id, _urls(record, where))
    for where, image_id, record in _by_id(path, content, 'images', 'image')
  )


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
  for where, record in _records(path, content, 'annotations', 'annotation'):
    task_id = _known(record, 'taskId', task_map, 'task map', where)
    label_id = _known(record, 'labelId', label_map, 'label map', where)
    image_id = _text(record, 'imageId', where)
    annotations.append(
      Annotation(image_id, *garments[task_id], label_map[label_id])
    )
  return tuple(annotations)


def _read_map(path: pathlib.Path, kind: str) -> dict[str, str]:
  names = {}
  content = files.read_json(path)
  for where, key, record in _by_id(path, content, f'{kind}Info', kind):
    names[key] = _text(record, f'{kind}Name', where)
    if any('\ud800' <= letter <= '\udfff' for letter in names[key]):
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


def _by_id(
  path: pathlib.Path, content: Any, key: str, kind: str
) -> Iterator[tuple[str, str, Any]]:
  """The records of a list, each with its place in messages and its id."""
  seen = set()
  for where, record in _records(path, content, key, kind):
    identity = _text(record, f'{kind}Id', where)
    if identity in seen:
      raise errors.UserError(f"{where}: duplicate {kind}Id '{identity}'")
    seen.add(identity)
    yield where, identity, record


def _records(
  path: pathlib.Path, content: Any, key: str, kind: str
) -> Iterator[tuple[str, Any]]:
  """The records of a list, each with its place in messages."""
  if not isinstance(content, dict) or not isinstance(content.get(key), list):
    raise errors.UserError(f"{path}: no list '{key}'")
  records = progress.each(content[key], f'read {path.name}', kind)
  for number, record in enumerate(records):
    yield f'{path.name}: {kind} {number}', record
