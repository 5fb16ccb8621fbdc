import csv
import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.sparse import csgraph

from imat_jax.data import near_duplicates


def _photo(seed: int, side: int = 160) -> Image.Image:
  rng = np.random.default_rng(seed)
  small = Image.fromarray(rng.integers(40, 200, (12, 12, 3), np.uint8))
  return small.resize((side, side), Image.Resampling.BICUBIC)


def _recompressed(image, quality=40):
  body = io.BytesIO()
  image.save(body, 'JPEG', quality=quality)
  return Image.open(body)


COPIES = {
  'same': lambda image: image,
  'compressed': _recompressed,
  'halved': lambda image: image.resize((80, 80)),
  'stretched': lambda image: image.resize((200, 120)),
  'brighter': lambda image: ImageEnhance.Brightness(image).enhance(1.15),
  'grey': lambda image: image.convert('L'),
}


def _bits(one, two) -> int:
  """Counted the slow way."""
  pairs = zip(one.tolist(), two.tolist(), strict=True)
  return sum((a ^ b).bit_count() for a, b in pairs)


@pytest.mark.parametrize('change', COPIES)
def test_a_copy_is_near(change):
  for seed in range(20):
    image = _photo(seed)
    hashes = map(
      near_duplicates.perceptual_hash, (image, COPIES[change](image))
    )
    assert _bits(*hashes) <= near_duplicates.MAX_HAMMING


def test_other_photos_are_not_near():
  hashes = {
    str(n): near_duplicates.perceptual_hash(_photo(n)) for n in range(100)
  }
  assert near_duplicates.find({'train': hashes}) == ([], [])


def test_twins_are_those_of_a_slow_count():
  rng = np.random.default_rng(0)
  base = rng.integers(0, 2**63, (40, 4)).astype(np.uint64)
  rows = np.concatenate([base] * 8)
  flips = rng.integers(0, 256, (len(rows), 60)) // 64
  for row, columns in zip(rows, flips, strict=True):
    for column in columns[: rng.integers(60)]:
      row[column] ^= np.uint64(1) << np.uint64(rng.integers(64))
  train = {f't{n}': row for n, row in enumerate(rows[:200])}
  validation = {f'v{n}': row for n, row in enumerate(rows[200:])}
  twins, groups = near_duplicates.find(
    {'train': train, 'validation': validation}
  )
  photos = [('train', *p) for p in train.items()]
  photos += [('validation', *p) for p in validation.items()]
  slow = []
  for n, (split, key, one) in enumerate(photos):
    for twin_split, twin, two in photos[:n]:
      if _bits(one, two) <= near_duplicates.MAX_HAMMING:
        slow.append((split, key, twin_split, twin, _bits(one, two)))
        break
  assert len(slow) > 50
  assert list(map(tuple, twins)) == slow
  # All that are linked, by scipy's search of a graph.
  near_NxN = np.array(
    [
      [_bits(one, two) <= near_duplicates.MAX_HAMMING for *_, two in photos]
      for *_, one in photos
    ]
  )
  _, component_N = csgraph.connected_components(near_NxN)
  components = [
    [photo[:2] for photo, c in zip(photos, component_N, strict=True) if c == k]
    for k in range(component_N.max() + 1)
  ]
  linked = [group for group in components if len(group) > 1]
  assert any(len({split for split, _ in group}) == 2 for group in linked)
  assert sorted(groups) == sorted(linked)


def test_thousands_of_one_photo_are_thousands_of_rows():
  same = near_duplicates.perceptual_hash(Image.new('RGB', (50, 50), 'white'))
  twins, (group,) = near_duplicates.find(
    {'train': {str(n): same for n in range(5000)}}
  )
  assert len(twins) == 4999
  assert len(group) == 5000
  assert {twin.twin_id for twin in twins} == {'0'}


def test_no_photos():
  assert near_duplicates.find({}) == ([], [])
  assert near_duplicates.find({'train': {}, 'validation': {}}) == ([], [])


def test_the_list_is_csv():
  odd = 'a "b",\nc'
  twin = near_duplicates.NearDuplicate('validation', '7', 'train', odd, 3)
  (row,) = csv.DictReader(io.StringIO(near_duplicates.as_csv([twin])))
  assert (row['image_id'], row['twin_id'], row['bits']) == ('7', odd, '3')
