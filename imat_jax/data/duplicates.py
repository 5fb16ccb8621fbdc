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


class Pair(NamedTuple):
  """Two photos that are nearly the same."""

  split: str
  image_id: str
  other_split: str
  other_id: str
  bits: int  # in which their hashes differ


def perceptual_hash(image: Image.Image) -> np.ndarray:
  """256 bits of the low frequencies of its brightness, as 4 uint64 (pHash)."""
  bits = imagehash.phash(image, hash_size=_SIDE).hash
  return np.packbits(bits).view(np.uint64)


def find(hashes: Mapping[str, Mapping[str, np.ndarray]]) -> list[Pair]:
  """All near pairs within and across splits, the nearest first.

  Compares each with each: a second for 10,000 photos, a hundred for 100,000.

  Args:
    hashes: split → image id → `perceptual_hash`.
  """
  photos = [(split, key) for split, found in hashes.items() for key in found]
  rows = [h for found in hashes.values() for h in found.values()]
  hash_Nx4 = np.array(rows, np.uint64).reshape(-1, _SIDE * _SIDE // 64)
  pairs = [Pair(*photos[n], *photos[m], bits) for n, m, bits in _near(hash_Nx4)]
  return sorted(pairs, key=lambda pair: pair.bits)


def write(path: pathlib.Path, pairs: list[Pair]) -> None:
  """The pairs as CSV."""
  text = io.StringIO()
  rows = csv.writer(text, lineterminator='\n')
  rows.writerows([Pair._fields, *pairs])
  files.write_text(path, text.getvalue())


def _near(hash_Nx4: np.ndarray) -> Iterator[tuple[int, int, int]]:
  for start in range(0, len(hash_Nx4), _ROWS):
    block_Rx4 = hash_Nx4[start : start + _ROWS]
    rest_Mx4 = hash_Nx4[start:]
    bits_RxM = sum(
      np.bitwise_count(mine_R[:, None] ^ other_M).astype(np.uint16)
      for mine_R, other_M in zip(block_Rx4.T, rest_Mx4.T, strict=True)
    )
    for n, m in np.argwhere(bits_RxM <= NEAR):
      if n < m:
        yield start + int(n), start + int(m), int(bits_RxM[n, m])
