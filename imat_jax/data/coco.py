"""Reads COCO, Fashionpedia and iMaterialist 2018 to 2021 as tables.

If a photo shows several objects, the one with the largest area is its label.
"""

import collections
import csv
import pathlib
from collections.abc import Mapping
from typing import Any

from imat_jax import errors
from imat_jax.data import configs, tables
from imat_jax.data.tables import Row, Table

_YES, _NO = 'yes', 'no'


def read(
  path: pathlib.Path, content: dict[str, Any], command: configs.Own
) -> Table:
  """The category of each photo's largest object, and its attributes by group.

  Raises:
    UserError: a duplicate id.
    KeyError, TypeError, ValueError: not COCO.
  """
  for kind in ('images', 'categories'):
    ids = collections.Counter(record['id'] for record in content[kind])
    for key, count in ids.items():
      if count > 1:
        raise errors.UserError(f"{path}: {kind}: duplicate id '{key}'")
  names = {c['id']: tables.as_text(c['name']) for c in content['categories']}
  attributes = {
    a['id']: (a.get('supercategory') or 'attribute', tables.as_text(a['name']))
    for a in content.get('attributes', ())
  }
  objects = collections.defaultdict(list)
  for annotation in content.get('annotations', ()):
    objects[annotation['image_id']].append(annotation)
  rows = []
  for number, image in enumerate(content['images'], 1):
    photo = image.get('file_name') or image.get('coco_url')
    cells = {'photo': tables.as_text(photo)}
    if annotations := objects[image['id']]:
      largest = max(annotations, key=_area)
      cells[command.task] = names[largest['category_id']]
      for key in largest.get('attribute_ids', ()):
        cells.setdefault(*attributes[key])
    rows.append(Row(f'{path}: image {number}', cells))
  num_mixed = sum(
    len({a['category_id'] for a in annotations}) > 1
    for annotations in objects.values()
  )
  listed = {image['id'] for image in content['images']}
  orphans = sum(len(a) for key, a in objects.items() if key not in listed)
  note = (
    f'COCO; {num_mixed:,} photos show several categories (the largest object '
    f'is used); {orphans:,} annotations are of images that are not listed'
  )
  return tables.of_uneven_rows(path, rows, note)


def _area(annotation: Mapping[str, Any]) -> float:
  *_, width, height = annotation.get('bbox') or (0, 0)
  return float(annotation.get('area') or width * height)


def of_label_lists(path: pathlib.Path, content: dict[str, Any]) -> Table:
  """iMaterialist 2018: links, and a list of label numbers per photo."""
  labels = {}
  for annotation in content['annotations']:
    if not isinstance(annotation['labelId'], list):
      raise ValueError('labelId is not a list')
    labels[str(annotation['imageId'])] = set(map(str, annotation['labelId']))
  all_labels = sorted(set().union(*labels.values()), key=lambda x: (len(x), x))
  rows = []
  for number, image in enumerate(content['images'], 1):
    (photo, *_) = (
      [image['url']] if isinstance(image['url'], str) else image['url']
    )
    photo_labels = labels.get(str(image['imageId']))
    cells = {'photo': photo}
    if photo_labels is not None:
      for name in all_labels:
        cells[f'label_{name}'] = _YES if name in photo_labels else _NO
    rows.append(Row(f'{path}: image {number}', cells))
  return tables.of_uneven_rows(
    path, rows, 'iMaterialist 2018: a task per label, yes or no'
  )


def of_masks(
  path: pathlib.Path, content: dict[str, Any], command: configs.Own
) -> Table:
  """iMaterialist 2019 to 2021: a row per object, its mask as run lengths.

  Args:
    path: of the CSV file.
    content: of `label_descriptions.json`, or empty.
    command: names the task of the class.
  """
  names = {str(c['id']): c['name'] for c in content.get('categories', ())}
  attributes = {
    str(a['id']): (a.get('supercategory') or 'attribute', a['name'])
    for a in content.get('attributes', ())
  }
  largest: dict[str, tuple[int, Row]] = {}
  with path.open(newline='', encoding='utf-8-sig', errors='replace') as file:
    reader = csv.DictReader(tables.long_lines(file), restval='')
    for record in reader:
      runs = record['EncodedPixels'].split()[1::2]
      area = sum(map(int, runs))
      # In 2019 the attributes follow the class: 6_12_34.
      number, *attribute_ids = record['ClassId'].split('_')
      attribute_ids += (record.get('AttributesIds') or '').split(',')
      cells = {
        'photo': record['ImageId'],
        command.task: names.get(number, number),
      }
      for key in filter(None, attribute_ids):
        cells.setdefault(*attributes.get(key, (f'attribute_{key}', _YES)))
      previous = largest.get(record['ImageId'])
      if previous is None or area > previous[0]:
        row = Row(f'{path}: line {reader.line_num}', cells)
        largest[record['ImageId']] = area, row
  rows = [row for _, row in largest.values()]
  return tables.of_uneven_rows(
    path, rows, 'iMaterialist 2019 to 2021: the largest mask is used'
  )
