"""Photos that are nearly the same, by their perceptual hashes.

Shops share photos and links repeat, so that a validation photo may stand in
train under another id, in another size or compression. A network that has
learned it by heart is right about it for the wrong reason.
"""

import csv
import io
import pathlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image

from imat_jax import files

# Of 256 bits. On 1,508 photos of clothes all copies that were compressed,
# halved or brightened anew, and 79% of those cropped by 2%, are this near; of
# their 1.1 million pairs one is, two photos of the same jacket.
NEAR = 40
_SIDE = 16
_ROWS = 128  # that are compared with all at once


class Twin(NamedTuple):
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


def find(hashes: Mapping[str, Mapping[str, np.ndarray]]) -> list[Twin]:
  """The photos that have a near-duplicate before them, in their order.

  At most one row per photo, so that thousands of the same "no picture here" are
  thousands of rows and not millions of pairs. Compares each with each: a second
  for 10,000 photos, a hundred for 100,000.

  Args:
    hashes: split → image id → `perceptual_hash`; photos of a split that comes
      first are twins of those of the next.
  """
  photos = [(split, key) for split, found in hashes.items() for key in found]
  rows = [h for found in hashes.values() for h in found.values()]
  hash_Nx4 = np.array(rows, np.uint64).reshape(-1, _SIDE * _SIDE // 64)
  return [Twin(*photos[n], *photos[m], bits) for n, m, bits in _first(hash_Nx4)]


def write(path: pathlib.Path, twins: list[Twin]) -> None:
  """The rows as CSV."""
  text = io.StringIO()
  rows = csv.writer(text, lineterminator='\n')
  rows.writerows([Twin._fields, *twins])
  files.write_text(path, text.getvalue())


def _first(hash_Nx4: np.ndarray) -> Iterator[tuple[int, int, int]]:
  """Row n, the first row m before it that is near, and their distance."""
  for start in range(0, len(hash_Nx4), _ROWS):
    block_Rx4 = hash_Nx4[start : start + _ROWS]
    before_Mx4 = hash_Nx4[: start + _ROWS]
    bits_RxM = sum(
      np.bitwise_count(mine_R[:, None] ^ other_M).astype(np.uint16)
      for mine_R, other_M in zip(block_Rx4.T, before_Mx4.T, strict=True)
    )
    row_Rx1 = np.arange(start, start + len(block_Rx4))[:, None]
    near_RxM = (bits_RxM <= NEAR) & (np.arange(len(before_Mx4)) < row_Rx1)
    for r in np.flatnonzero(near_RxM.any(1)):
      m = int(near_RxM[r].argmax())
      yield start + int(r), m, int(bits_RxM[r, m])
