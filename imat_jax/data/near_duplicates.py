"""Photos that are nearly the same, by their perceptual hashes.

Shops share photos and links repeat, so that a validation photo may stand in
train under another id, in another size or compression. A network that has
learned it by heart is right about it for the wrong reason.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image

from imat_jax.runtime import progress

# Of 256 bits. On 1,508 photos of clothes all copies that were compressed,
# halved or brightened anew, and 79% of those cropped by 2%, are this near; of
# their 1.1 million pairs one is, two photos of the same jacket.
MAX_HAMMING = 40
_SIDE = 16
_ROWS = 8  # that are compared with all at once: what fits into the cache


class NearDuplicate(NamedTuple):
  """A photo, and the first before it that is nearly the same."""

  split: str
  image_id: str
  twin_split: str
  twin_id: str
  bits: int  # in which their hashes differ


def perceptual_hash(image: Image.Image) -> np.ndarray:
  """256 bits of the low frequencies of its brightness, as 4 uint64 (pHash)."""
  bits = imagehash.phash(image, hash_size=_SIDE).hash
  return np.packbits(bits).view(np.uint64)


def find(hashes: Mapping[str, Mapping[str, np.ndarray]]) -> list[NearDuplicate]:
  """The photos that have a near-duplicate before them, in their order.

  At most one row per photo, so that thousands of the same "no picture here" are
  thousands of rows and not millions of pairs. Compares each with each: a second
  for 25,000 photos, 20 for 100,000.

  Args:
    hashes: split → image id → `perceptual_hash`; photos of a split that comes
      first are twins of those of the next.
  """
  photos = [
    (split, key) for split, hash_by_id in hashes.items() for key in hash_by_id
  ]
  rows = [h for hash_by_id in hashes.values() for h in hash_by_id.values()]
  hash_Nx4 = np.array(rows, np.uint64).reshape(-1, _SIDE * _SIDE // 64)
  return [
    NearDuplicate(*photos[n], *photos[m], bits)
    for n, m, bits in _first(hash_Nx4)
  ]


def as_csv(twins: list[NearDuplicate]) -> str:
  """The text of `near_duplicates.csv`."""
  text = io.StringIO()
  rows = csv.writer(text, lineterminator='\n')
  rows.writerows([NearDuplicate._fields, *twins])
  return text.getvalue()


def _first(hash_Nx4: np.ndarray) -> Iterator[tuple[int, int, int]]:
  """Row n, the first row m before it that is near, and their distance."""
  half_2xN = np.ascontiguousarray(hash_Nx4[:, :2].T)
  with progress.Progress(len(hash_Nx4), 'near-duplicates', 'photo') as bar:
    for start in range(0, len(hash_Nx4), _ROWS):
      block_Rx4 = hash_Nx4[start : start + _ROWS]
      before_2xM = half_2xN[:, : start + _ROWS]
      # Half of the bits already tell nearly all pairs apart.
      bits_RxM = sum(
        np.bitwise_count(block_Rx4[:, n, None] ^ before_2xM[n])
        for n in range(2)
      )
      near_RxM = bits_RxM <= MAX_HAMMING
      for r in np.flatnonzero(near_RxM.any(1)):
        row = start + int(r)
        m_P = np.flatnonzero(near_RxM[r, :row])
        bits_P = np.bitwise_count(hash_Nx4[m_P] ^ block_Rx4[r]).sum(1)
        matches = np.flatnonzero(bits_P <= MAX_HAMMING)
        if len(matches):
          yield row, int(m_P[matches[0]]), int(bits_P[matches[0]])
      bar.advance(len(block_Rx4))
