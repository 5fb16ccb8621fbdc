"""A minimal example of each label format."""

import json
import pathlib

import pytest

from imat_jax import errors
from imat_jax.data import configs, formats


def read(root: pathlib.Path, place: str, **options) -> list[dict[str, str]]:
  command = configs.Own(
    source=str(root / place),
    annotations=str(root / 'annotations'),
    images=str(root / 'images'),
    **options,
  )
  return [row.cells for row in formats.read(command).table.rows]


def write(root: pathlib.Path, name: str, content) -> None:
  path = root / name
  path.parent.mkdir(parents=True, exist_ok=True)
  if isinstance(content, bytes):
    path.write_bytes(content)
    return
  text = content if isinstance(content, str) else json.dumps(content)
  path.write_text(text)


COCO = {
  'images': [{'id': n, 'file_name': f'{n}.jpg'} for n in (7, 8, 9)],
  'categories': [{'id': 1, 'name': 'shirt'}, {'id': 2, 'name': 'shoe'}],
  'annotations': [
    {'image_id': 7, 'category_id': 2, 'bbox': [0, 0, 2, 2]},
    {
      'image_id': 7,
      'category_id': 1,
      'bbox': [0, 0, 9, 9],
      'attribute_ids': [3, 4],
    },
    {'image_id': 8, 'category_id': 2, 'area': 5.0},
  ],
  'attributes': [
    {'id': 3, 'name': 'mini', 'supercategory': 'length'},
    {'id': 4, 'name': 'plain'},
  ],
}
IMATERIALIST_2018 = {
  'images': [
    {'url': 'https://a.example/1.jpg', 'imageId': '1'},
    {'url': ['https://a.example/2.jpg'], 'imageId': '2'},
    {'url': ['https://a.example/3.jpg'], 'imageId': '3'},
  ],
  'annotations': [
    {'imageId': '1', 'labelId': ['95', '66']},
    {'imageId': '2', 'labelId': ['66']},
  ],
}
MASK = ' '.join(f'{i} 9' for i in range(40_000))  # longer than csv's limit
# Files, of which the first is read, or their folder; the rows.
FORMATS = {
  'one-hot columns are one task': (
    {'a.csv': 'filename, shirt, shoe\n1.jpg, 1, 0\n2.jpg, 0, 1\n'},
    [
      {'filename': '1.jpg', 'style': 'shirt'},
      {'filename': '2.jpg', 'style': 'shoe'},
    ],
  ),
  'columns of yes and no stay': (
    {'a.csv': 'photo,new,sale\n1.jpg,1,1\n2.jpg,0,1\n'},
    [
      {'photo': '1.jpg', 'new': '1', 'sale': '1'},
      {'photo': '2.jpg', 'new': '0', 'sale': '1'},
    ],
  ),
  'Roboflow has tables in the folders of its splits': (
    {
      '.': None,
      'train/_classes.csv': 'filename, a, b\n1.jpg, 1, 0\n',
      'valid/_classes.csv': 'filename, a, b\n2.jpg, 0, 0\n',
    },
    [
      {'photo': 'train/1.jpg', 'style': 'a', 'split': 'train'},
      {'photo': 'valid/2.jpg', 'style': '', 'split': 'validation'},
    ],
  ),
  'an image folder has metadata': (
    {'.': None, 'metadata.csv': 'file_name,x\na/1.jpg,y\n'},
    [{'photo': 'a/1.jpg', 'x': 'y'}],
  ),
  'or as JSON lines': (
    {
      '.': None,
      'metadata.jsonl': '{"file_name": "a/1.jpg", "x": "y", "o": {}}\n',
    },
    [{'photo': 'a/1.jpg', 'x': 'y'}],
  ),
  "COCO's largest object, with Fashionpedia's attributes by group": (
    {'instances.json': COCO},
    [
      {
        'photo': '7.jpg',
        'style': 'shirt',
        'length': 'mini',
        'attribute': 'plain',
      },
      {'photo': '8.jpg', 'style': 'shoe', 'length': '', 'attribute': ''},
      {'photo': '9.jpg', 'style': '', 'length': '', 'attribute': ''},
    ],
  ),
  'iMaterialist 2018 is a task per label': (
    {'train.json': IMATERIALIST_2018},
    [
      {'photo': f'https://a.example/{n}.jpg', 'label_66': x, 'label_95': y}
      for n, x, y in ((1, 'yes', 'yes'), (2, 'yes', 'no'), (3, '', ''))
    ],
  ),
  'iMaterialist 2020 has a mask per row': (
    {
      'train.csv': 'ImageId,EncodedPixels,Height,Width,ClassId,AttributesIds\n'
      f'a,1 5,9,9,0,\na,{MASK},9,9,1,"3"\nb,1 2,9,9,0,\n',
      'label_descriptions.json': {
        'categories': [{'id': 0, 'name': 'shirt'}, {'id': 1, 'name': 'pants'}],
        'attributes': [{'id': 3, 'name': 'mini', 'supercategory': 'length'}],
      },
    },
    [
      {'photo': 'a', 'style': 'pants', 'length': 'mini'},
      {'photo': 'b', 'style': 'shirt', 'length': ''},
    ],
  ),
  'DeepFashion lists attributes by kind': (
    {
      'Anno/list_attr_img.txt': '2\nimage_name attribute_labels\n'
      'img/1.jpg -1 1 -1\nimg/2.jpg 1 -1 1\n',
      'Anno/list_attr_cloth.txt': '3\nname type\nlong sleeve  2\nno sleeve  2\n'
      'cotton 5\n',
      'Eval/list_eval_partition.txt': '2\nimage_name evaluation_status\n'
      'img/1.jpg train\nimg/2.jpg val\n',
    },
    [
      {
        'photo': f'img/{n}.jpg',
        'split': split,
        'attribute_2': sleeve,
        'attribute_5': cloth,
      }
      for n, split, sleeve, cloth in (
        (1, 'train', 'no sleeve', ''),
        (2, 'val', 'long sleeve', 'cotton'),
      )
    ],
  ),
  'DeepFashion lists categories': (
    {
      'list_category_img.txt': '1\nimage_name category_label\nimg/1.jpg 2\n',
      'list_category_cloth.txt': '2\ncategory_name category_type\nAnorak 1\n'
      'Blazer 1\n',
    },
    [{'photo': 'img/1.jpg', 'style': 'Blazer'}],
  ),
  'CelebA names its attributes in the header': (
    {'list_attr_celeba.txt': '2\nBald Smiling\n1.jpg -1  1\n2.jpg  1 -1\n'},
    [
      {'photo': '1.jpg', 'Bald': 'no', 'Smiling': 'yes'},
      {'photo': '2.jpg', 'Bald': 'yes', 'Smiling': 'no'},
    ],
  ),
}


@pytest.mark.parametrize('name', FORMATS)
def test_a_format_is_read(tmp_path, name):
  contents, rows = FORMATS[name]
  place, *_ = contents
  for path, content in contents.items():
    if content is not None:
      write(tmp_path, path, content)
  assert read(tmp_path, place, task='style') == rows


@pytest.mark.parametrize(
  ('name', 'content', 'message'),
  [
    ('shard-000.tar', b'x', 'WebDataset'),
    ('photos.zip', b'PK', 'an archive; unpack'),
    ('annotations.xml', '<annotations/>', 'CVAT'),
    ('data.yaml', 'nc: 2', 'YOLO'),
    ('x.tfrecord', b'\x00', 'TFRecord'),
    (
      'project.json',
      [{'id': 1, 'project': 2, 'data': {'image': '/x'}, 'annotations': []}],
      'Label Studio',
    ),
    ('task_map.json', {'taskInfo': [], 'labelInfo': []}, 'Kaggle'),
    ('odd.json', {'a': 1}, 'unknown JSON'),
    ('bad.json', '{', 'not JSON'),
    ('coco.json', COCO | {'categories': [3]}, 'neither COCO'),
    ('nowhere.csv', None, 'no such table'),
  ],
)
def test_other_formats_are_recognised_in_a_line(
  tmp_path, name, content, message
):
  if content is not None:
    write(tmp_path, name, content)
  with pytest.raises(errors.UserError, match=message) as caught:
    read(tmp_path, name)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('kind', ['images', 'categories'])
def test_coco_with_a_duplicate_id_is_refused(tmp_path, kind):
  write(tmp_path, 'coco.json', COCO | {kind: COCO[kind][:1] * 2})
  with pytest.raises(errors.UserError, match=f'{kind}: duplicate id'):
    read(tmp_path, 'coco.json')


def test_a_category_that_has_no_name_is_refused(tmp_path):
  write(tmp_path, 'list_category_cloth.txt', '1\nname type\nAnorak 1\n')
  write(tmp_path, 'list_category_img.txt', '1\nname label\nimg/1.jpg 0\n')
  with pytest.raises(errors.UserError, match='line 3: no category 0'):
    read(tmp_path, 'list_category_img.txt')


def test_a_split_without_its_table_is_refused(tmp_path):
  write(tmp_path, 'train/metadata.csv', 'file_name,style\n1.jpg,x\n')
  write(tmp_path, 'validation/a/1.jpg', b'\xff\xd8\xff')
  with pytest.raises(errors.UserError, match='validation: no table of labels'):
    read(tmp_path, '.')
