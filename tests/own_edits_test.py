"""After any edit of a table, the result equals that of a fresh start."""

import csv
import pathlib
import tempfile

import hypothesis
import pytest
from download_test import photo
from fault_server import FaultServer, Reply
from hypothesis import strategies as st

from imat_jax.data import (
  configs,
  download,
  image_validation,
  kaggle,
  own,
  photo_store,
)
from imat_jax.runtime import files

# What a row can be: a photo by its number, its link or its file, its split.
PLACES = st.tuples(
  st.integers(0, 5),
  st.sampled_from(['link', 'other link', 'file', 'moved file']),
  st.sampled_from(['train', 'validation', 'test']),
)
TABLES = st.lists(PLACES, min_size=2, max_size=6)


PHOTOS = [photo(16, 16, number, 'PNG') for number in range(6)]


@pytest.fixture(scope='module')
def server():
  with FaultServer() as server:
    for number, body in enumerate(PHOTOS):
      for name in ('link', 'other'):
        server.replies[f'/{name}/{number}.png'] = [Reply(body)]
    yield server


def write_table(root: pathlib.Path, url: str, table) -> None:
  """The label of a row is the number of its photo."""
  with (root / 'labels.csv').open('w', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(['photo', 'split', 'number'])
    # Two rows that stay, so that no split is empty.
    for number, place, split in (
      (0, 'file', 'train'),
      (1, 'file', 'validation'),
      *table,
    ):
      paths = {
        'link': f'{url}/link/{number}.png',
        'other link': f'{url}/other/{number}.png',
        'file': f'photos/{number}.png',
        'moved file': f'moved/{number}.png',
      }
      writer.writerow([paths[place], split, f'number {number}'])


def prepare(root: pathlib.Path, target: str) -> None:
  """`own`, then `download`, as a user would run them again and again."""
  folders = {
    'annotations': str(root / target / 'raw'),
    'images': str(root / target / 'images'),
  }
  own.main(configs.Own(source=str(root / 'labels.csv'), **folders))
  download.main(
    configs.Download(
      **folders, splits=photo_store.SPLITS, allow_private_hosts=True, retries=0
    )
  )


def state(root: pathlib.Path, target: str) -> dict[tuple[str, str], str]:
  """(split, image id) → the photo's digest; each has the label it should."""
  folder = root / target
  _, label_map = kaggle.read_maps(folder / 'raw')
  seen = {}
  for split in photo_store.SPLITS:
    content = files.read_json(kaggle.split_path(folder / 'raw', split))
    labels = {
      a['imageId']: label_map[a['labelId']]
      for a in content.get('annotations', ())
    }
    for image in content['images']:
      image_id = image['imageId']
      body = (folder / f'images/{split}/{image_id}.jpg').read_bytes()
      seen[split, image_id] = image_validation.digest(body)
      if split != 'test':
        assert labels[image_id] == f'number {PHOTOS.index(body)}'
  return seen


def test_a_photo_whose_link_died_follows_its_row(server, tmp_path):
  (tmp_path / 'photos').mkdir()
  for number in (0, 1):
    (tmp_path / f'photos/{number}.png').write_bytes(PHOTOS[number])
  server.replies['/link/9.png'] = [Reply(PHOTOS[2]), Reply(b'gone', 404)]
  for split in ('train', 'validation'):
    write_table(tmp_path, server.url, [(9, 'link', split)])
    prepare(tmp_path, 'old')
  paths = [*(tmp_path / 'old/images').glob('*/*.jpg')]
  (moved,) = [path for path in paths if path.read_bytes() == PHOTOS[2]]
  assert moved.parent.name == 'validation'


@hypothesis.settings(max_examples=15, deadline=None)
@hypothesis.given(st.lists(TABLES, min_size=2, max_size=3))
def test_edits_end_like_a_fresh_start(server, tables):
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    for name in ('photos', 'moved'):
      (root / name).mkdir()
      for number, body in enumerate(PHOTOS):
        (root / name / f'{number}.png').write_bytes(body)
    for table in tables:
      write_table(root, server.url, table)
      prepare(root, 'old')
    prepare(root, 'fresh')
    assert state(root, 'old') == state(root, 'fresh')
