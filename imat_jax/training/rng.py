"""Randomness as a function of (seed, name, step): nothing random is stored.

For parameters, dropout and strategies. The data have `imat_jax.data.random`,
which gives the same bits in numpy, in loaders, and in jax, in the step.
"""

import zlib

import jax


def key(seed: int | jax.Array, name: str, step: int | jax.Array = 0):
  """The key for one use of randomness at one step.

  Args:
    seed: the run's seed, at least 0.
    name: what the key is for; each use has its own.
    step: the training step.
  """
  named = jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))
  return jax.random.fold_in(named, step)
