"""Counter-based random numbers for the data, in numpy and in jax.

Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy
as 1, 2, 3", 2011). The same code gives the same bits on numpy arrays in the
loader and on jax arrays inside the jitted step, so photos are warped alike,
streamed or cached on the device. jax's own keys, which `training.rng` uses for
everything else, have no numpy twin.
"""

import functools
import zlib

import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def threefry(key, first, second):
  """Encrypts counters: two uint32 arrays of random bits.

  Args:
    key: two uint32 numbers.
    first, second: uint32 arrays, the two halves of the counters.
  """
  keys = (*key, key[0] ^ key[1] ^ _PARITY)
  first, second = first + keys[0], second + keys[1]
  for group in range(5):
    for rotation in _ROTATIONS[group % 2]:
      first = first + second
      left, right = np.uint32(rotation), np.uint32(32 - rotation)
      second = (second << left | second >> right) ^ first
    first = first + keys[(group + 1) % 3]
    second = second + keys[(group + 2) % 3] + np.uint32(group + 1)
  return first, second


def uniform(seed, name: str, number_B, columns: int):
  """Numbers in [0, 1), float32, B × `columns`.

  Args:
    seed: uint32, the run's seed.
    name: of the random stream; each use has its own.
    number_B: uint32 example numbers.
    columns: numbers per example, even.
  """
  xp = number_B.__array_namespace__()
  pair = xp.arange(columns // 2, dtype=xp.uint32)[None]
  bits = threefry(_key(seed, name), number_B[:, None] + 0 * pair, pair)
  # Integers below 2**24 are exact in float32.
  high_Bx2P = xp.concat(bits, axis=1) >> np.uint32(8)
  return high_Bx2P.astype(xp.float32) * np.float32(2**-24)


def example_numbers(step, batch_size: int):
  """Those of a step's examples, counted from the start of the run, uint32."""
  xp = step.__array_namespace__()
  first = step.astype(xp.uint32) * np.uint32(batch_size)
  return first + xp.arange(batch_size, dtype=xp.uint32)


@functools.lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, length: int) -> np.ndarray:
  """A permutation of 0 … length - 1 for an epoch, int32, read-only."""
  place_L = np.arange(length, dtype=np.uint32)
  epoch_L = np.full(length, epoch, np.uint32)
  bits_L, _ = threefry(_key(np.uint32(seed), 'order'), place_L, epoch_L)
  order_L = np.argsort(bits_L, kind='stable').astype(np.int32)
  order_L.flags.writeable = False
  return order_L


def resampled(seed: int, epoch: int, place, end_N: np.ndarray) -> np.ndarray:
  """Which example each place of an epoch has, where not each has it once.

  Systematic sampling: of N places an example has as many as its share, rounded
  up or down. Places from N on stay as they are.

  Args:
    seed: of the run.
    epoch: counted from 0.
    place: one or more.
    end_N: sums of the shares up to each example, in the end N.
  """
  number = len(end_N)
  first = uniform(np.uint32(seed), 'share', np.array([epoch], np.uint32), 2)
  drawn = np.searchsorted(end_N, place + first[0, 0], 'right')
  # By rounding the last end may lie below N.
  drawn = np.minimum(drawn, number - 1)
  return np.where(place < number, drawn, place).astype(np.int32)


def balanced_ends(label_N: np.ndarray) -> np.ndarray:
  """`end_N` of `resampled` for epochs that have all labels equally often.

  Examples without a label, -1, are seen once.
  """
  share_N = np.ones(len(label_N))
  labelled_N = label_N >= 0
  _, label_M, count_K = np.unique(
    label_N[labelled_N], return_inverse=True, return_counts=True
  )
  share_N[labelled_N] = len(label_M) / (len(count_K) * count_K[label_M])
  return np.cumsum(share_N)


def _key(seed, name: str):
  return seed, np.uint32(zlib.crc32(name.encode()))
