"""Finds near-duplicate photos by their perceptual hashes.

Shops share photos and links repeat, so a validation photo may also be in train,
under another id, in another size or compression: a leak that flatters scores.
"""

import collections
import csv
import io
from collections.abc import Collection, Container, Iterator, Mapping
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image

from imat_jax.data.types import TEST, VALIDATION
from imat_jax.runtime import progress

# Of 256 bits. On 1,508 photos of clothes this finds all compressed, halved or
# brightened copies and 79% of those cropped by 2%; of the 1.1 million pairs of
# originals it finds one, two photos of the same jacket.
MAX_HAMMING = 40
_SIDE = 16
_ROWS = 8  # compared with all others at once: what fits into the CPU cache


Photo = tuple[str, str]  # split and image id


class NearDuplicate(NamedTuple):
  """A photo, and the first near-duplicate before it."""

  split: str
  image_id: str
  twin_split: str
  twin_id: str
  bits: int  # in which their hashes differ


class Found(NamedTuple):
  """The near-duplicates among photos."""

  twins: list[NearDuplicate]  # in the order of the photos
  groups: list[list[Photo]]  # of two or more that near-duplicates link


def perceptual_hash(image: Image.Image) -> np.ndarray:
  """pHash: 256 bits of the low frequencies of brightness, as 4 uint64."""
  bits = imagehash.phash(image, hash_size=_SIDE).hash
  return np.packbits(bits).view(np.uint64)


def find(hashes: Mapping[str, Mapping[str, np.ndarray]]) -> Found:
  """The photos with a near-duplicate before them, and their groups.

  At most one twin per photo, so thousands of copies of a placeholder are
  thousands of rows, not millions of pairs. A group is all photos that are
  linked by near-duplicates, directly or through others. Compares all pairs: 1 s
  for 25,000 photos, 20 s for 100,000.

  Args:
    hashes: split → image id → `perceptual_hash`; order matters: the twin is in
      the same split or an earlier one.
  """
  photos = [
    (split, key) for split, hash_by_id in hashes.items() for key in hash_by_id
  ]
  rows = [h for hash_by_id in hashes.values() for h in hash_by_id.values()]
  hash_Nx4 = np.array(rows, np.uint64).reshape(-1, _SIDE * _SIDE // 64)
  twins, group_N = [], np.arange(len(photos))
  for n, earlier_M, bits_M in _near(hash_Nx4):
    twin = photos[earlier_M[0]]
    twins.append(NearDuplicate(*photos[n], *twin, int(bits_M[0])))
    group_M = group_N[earlier_M]
    group_N[n] = group_M[0]
    others_M = group_M[group_M != group_M[0]]
    if len(others_M):  # this photo links groups
      group_N[np.isin(group_N, others_M)] = group_M[0]
  groups = collections.defaultdict(list)
  for n in np.flatnonzero(np.bincount(group_N)[group_N] > 1):
    groups[group_N[n]].append(photos[n])
  return Found(twins, list(groups.values()))


def across(twins: Collection[NearDuplicate], split: str) -> set[str]:
  """The photos of a split with a near-duplicate in an earlier one."""
  return {
    twin.image_id for twin in twins if twin.split == split != twin.twin_split
  }


def moved(found: Found, test_ids: Container[str]) -> Found:
  """The same after whole groups of validation photos went to the test split."""

  def split_of(split: str, image_id: str) -> str:
    is_moved = split == VALIDATION and image_id in test_ids
    return TEST if is_moved else split

  return Found(
    [
      t._replace(
        split=split_of(t.split, t.image_id),
        twin_split=split_of(t.twin_split, t.twin_id),
      )
      for t in found.twins
    ],
    [[(split_of(*photo), photo[1]) for photo in g] for g in found.groups],
  )


def lines(found: Found, num_photos: int, is_dropped: bool) -> list[str]:
  """What the near-duplicates mean for the splits, to be printed.

  Args:
    found: among all photos.
    num_photos: of all splits.
    is_dropped: whether those across splits were left out.
  """
  if not found.groups:
    return []
  linked = sum(map(len, found.groups))
  lines = [
    f'{linked:,} of {num_photos:,} photos ({linked / num_photos:.0%}) are '
    'near-duplicates of others, in groups of up to '
    f'{max(map(len, found.groups)):,}: a random split would put twins on both '
    'sides and so flatter the scores'
  ]
  for split in dict.fromkeys(twin.split for twin in found.twins):
    number = len(across(found.twins, split))
    if number and not is_dropped:
      lines.append(
        f'warning: {number:,} {split} photos have a near-duplicate in an '
        'earlier split, which may flatter the scores; --drop_duplicates leaves '
        'them out'
      )
  return lines


def as_csv(twins: list[NearDuplicate]) -> str:
  """The text of `near_duplicates.csv`."""
  text = io.StringIO()
  rows = csv.writer(text, lineterminator='\n')
  rows.writerows([NearDuplicate._fields, *twins])
  return text.getvalue()


def _near(
  hash_Nx4: np.ndarray,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
  """Row n, the M ≥ 1 rows before it that are near, and their distances."""
  half_2xN = np.ascontiguousarray(hash_Nx4[:, :2].T)
  with progress.Progress(len(hash_Nx4), 'near-duplicates', 'photo') as bar:
    for start in range(0, len(hash_Nx4), _ROWS):
      block_Rx4 = hash_Nx4[start : start + _ROWS]
      before_2xM = half_2xN[:, : start + _ROWS]
      # Half of the bits rule out nearly all pairs.
      bits_RxM = sum(
        np.bitwise_count(block_Rx4[:, n, None] ^ before_2xM[n])
        for n in range(2)
      )
      near_RxM = bits_RxM <= MAX_HAMMING
      for r in np.flatnonzero(near_RxM.any(1)):
        row = start + int(r)
        m_P = np.flatnonzero(near_RxM[r, :row])
        bits_P = np.bitwise_count(hash_Nx4[m_P] ^ block_Rx4[r]).sum(1)
        is_near_P = bits_P <= MAX_HAMMING
        if is_near_P.any():
          yield row, m_P[is_near_P], bits_P[is_near_P]
      bar.advance(len(block_Rx4))
