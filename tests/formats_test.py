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


def test_one_hot_columns_are_one_task(tmp_path):
  write(tmp_path, 'a.csv', 'filename, shirt, shoe\n1.jpg, 1, 0\n2.jpg, 0, 1\n')
  assert read(tmp_path, 'a.csv', task='style') == [
    {'filename': '1.jpg', 'style': 'shirt'},
    {'filename': '2.jpg', 'style': 'shoe'},
  ]


def test_columns_of_yes_and_no_stay(tmp_path):
  write(tmp_path, 'a.csv', 'photo,new,sale\n1.jpg,1,1\n2.jpg,0,1\n')
  assert read(tmp_path, 'a.csv')[0] == {
    'photo': '1.jpg',
    'new': '1',
    'sale': '1',
  }


def test_roboflow_has_tables_in_the_folders_of_its_splits(tmp_path):
  write(tmp_path, 'train/_classes.csv', 'filename, a, b\n1.jpg, 1, 0\n')
  write(tmp_path, 'valid/_classes.csv', 'filename, a, b\n2.jpg, 0, 0\n')
  assert read(tmp_path, '.') == [
    {'photo': 'train/1.jpg', 'kind': 'a', 'split': 'train'},
    {'photo': 'valid/2.jpg', 'kind': '', 'split': 'validation'},
  ]


@pytest.mark.parametrize(
  ('name', 'text'),
  [
    ('metadata.csv', 'file_name,style\na/1.jpg,x\n'),
    ('metadata.jsonl', '{"file_name": "a/1.jpg", "style": "x", "o": {}}\n'),
  ],
)
def test_an_image_folder_has_metadata(tmp_path, name, text):
  write(tmp_path, name, text)
  assert read(tmp_path, '.') == [{'photo': 'a/1.jpg', 'style': 'x'}]


COCO = {
  'images': [
    {'id': 7, 'file_name': '1.jpg'},
    {'id': 8, 'file_name': '2.jpg'},
    {'id': 9, 'file_name': '3.jpg'},
  ],
  'categories': [{'id': 1, 'name': 'shirt'}, {'id': 2, 'name': 'shoe'}],
  'annotations': [
    {'image_id': 7, 'category_id': 2, 'bbox': [0, 0, 2, 2]},
    {'image_id': 7, 'category_id': 1, 'bbox': [0, 0, 9, 9]},
    {'image_id': 8, 'category_id': 2, 'area': 5.0},
  ],
}


def test_coco_gives_the_largest_object(tmp_path):
  write(tmp_path, 'instances.json', COCO)
  assert read(tmp_path, 'instances.json', task='class') == [
    {'photo': '1.jpg', 'class': 'shirt'},
    {'photo': '2.jpg', 'class': 'shoe'},
    {'photo': '3.jpg', 'class': ''},
  ]


def test_fashionpedia_has_attributes_by_group(tmp_path):
  content = COCO | {
    'attributes': [
      {'id': 3, 'name': 'mini', 'supercategory': 'length'},
      {'id': 4, 'name': 'plain', 'supercategory': 'pattern'},
    ]
  }
  content['annotations'][1]['attribute_ids'] = [3, 4]
  write(tmp_path, 'a.json', content)
  assert read(tmp_path, 'a.json')[0] == {
    'photo': '1.jpg',
    'kind': 'shirt',
    'length': 'mini',
    'pattern': 'plain',
  }


def test_imaterialist_2018_is_a_task_per_label(tmp_path):
  content = {
    'images': [
      {'url': 'https://a.example/1.jpg', 'imageId': '1'},
      {'url': ['https://a.example/2.jpg'], 'imageId': '2'},
    ],
    'annotations': [
      {'imageId': '1', 'labelId': ['95', '66']},
      {'imageId': '2', 'labelId': ['66']},
    ],
  }
  write(tmp_path, 'train.json', content)
  assert read(tmp_path, 'train.json') == [
    {'photo': 'https://a.example/1.jpg', 'label_66': 'yes', 'label_95': 'yes'},
    {'photo': 'https://a.example/2.jpg', 'label_66': 'yes', 'label_95': 'no'},
  ]


def test_imaterialist_2020_has_a_mask_per_row(tmp_path):
  mask = ' '.join(f'{i} 9' for i in range(40_000))  # longer than csv's limit
  write(
    tmp_path,
    'train.csv',
    'ImageId,EncodedPixels,Height,Width,ClassId,AttributesIds\n'
    f'a,1 5,9,9,0,\na,{mask},9,9,1,"3"\nb,1 2,9,9,0,\n',
  )
  write(
    tmp_path,
    'label_descriptions.json',
    {
      'categories': [{'id': 0, 'name': 'shirt'}, {'id': 1, 'name': 'pants'}],
      'attributes': [{'id': 3, 'name': 'mini', 'supercategory': 'length'}],
    },
  )
  assert read(tmp_path, 'train.csv') == [
    {'photo': 'a', 'kind': 'pants', 'length': 'mini'},
    {'photo': 'b', 'kind': 'shirt', 'length': ''},
  ]


def test_deepfashion_lists_attributes_by_kind(tmp_path):
  write(
    tmp_path,
    'Anno/list_attr_cloth.txt',
    '3\nname type\nlong sleeve  2\nno sleeve  2\ncotton 5\n',
  )
  write(
    tmp_path,
    'Anno/list_attr_img.txt',
    '2\nimage_name attribute_labels\nimg/1.jpg -1 1 -1\nimg/2.jpg 1 -1 1\n',
  )
  write(
    tmp_path,
    'Eval/list_eval_partition.txt',
    '2\nimage_name evaluation_status\nimg/1.jpg train\nimg/2.jpg val\n',
  )
  assert read(tmp_path, 'Anno/list_attr_img.txt') == [
    {
      'photo': 'img/1.jpg',
      'split': 'train',
      'attribute_2': 'no sleeve',
      'attribute_5': '',
    },
    {
      'photo': 'img/2.jpg',
      'split': 'val',
      'attribute_2': 'long sleeve',
      'attribute_5': 'cotton',
    },
  ]


def test_deepfashion_lists_categories(tmp_path):
  write(
    tmp_path,
    'list_category_cloth.txt',
    '2\ncategory_name category_type\nAnorak 1\nBlazer 1\n',
  )
  write(
    tmp_path,
    'list_category_img.txt',
    '1\nimage_name category_label\nimg/1.jpg 2\n',
  )
  rows = read(tmp_path, 'list_category_img.txt')
  assert rows == [{'photo': 'img/1.jpg', 'kind': 'Blazer'}]


def test_celeba_names_its_attributes_in_the_header(tmp_path):
  write(
    tmp_path,
    'list_attr_celeba.txt',
    '2\nBald Smiling\n1.jpg -1  1\n2.jpg  1 -1\n',
  )
  assert read(tmp_path, 'list_attr_celeba.txt') == [
    {'photo': '1.jpg', 'Bald': 'no', 'Smiling': 'yes'},
    {'photo': '2.jpg', 'Bald': 'yes', 'Smiling': 'no'},
  ]


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


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'images': [{'id': 1, 'file_name': 'a'}] * 2}, "duplicate id '1'"),
    ({'categories': [{'id': 1, 'name': 'a'}] * 2}, "duplicate id '1'"),
  ],
)
def test_coco_with_a_duplicate_id_is_refused(tmp_path, changes, message):
  write(tmp_path, 'coco.json', COCO | changes)
  with pytest.raises(errors.UserError, match=message):
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
