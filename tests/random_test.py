"""Random numbers: published test vectors, uniform, equal in numpy and jax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from imat_jax.data import random


@pytest.mark.parametrize(
  ('key', 'counter', 'answer'),
  [  # threefry2x32, 20 rounds, from the known answers of the Random123 library
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((2**32 - 1,) * 2, (2**32 - 1,) * 2, (0x1CB996FC, 0xBB002BE7)),
    (
      (0x13198A2E, 0x03707344),
      (0x243F6A88, 0x85A308D3),
      (0xC4923A9C, 0x483DF7A0),
    ),
  ],
)
@pytest.mark.parametrize('xp', [np, jnp])
def test_known_answers(xp, key, counter, answer):
  first, second = (xp.array([half], xp.uint32) for half in counter)
  with np.errstate(over='ignore'):
    halves = random.threefry(tuple(map(np.uint32, key)), first, second)
  assert [int(half[0]) for half in halves] == list(answer)


def test_uniforms_are_uniform_and_independent():
  number_B = np.arange(20_000, dtype=np.uint32)
  found_BxC = random.uniform(np.uint32(7), 'test', number_B, 4)
  assert found_BxC.dtype == np.float32
  assert (found_BxC >= 0).all() and (found_BxC < 1).all()
  for column_B in found_BxC.T:
    assert stats.kstest(column_B, 'uniform').pvalue > 1e-3
  related = np.corrcoef(found_BxC, rowvar=False) - np.eye(4)
  assert np.abs(related).max() < 0.03


def test_seeds_names_and_numbers_have_different_streams():
  number_B = np.array([0, 1, 2**31], np.uint32)
  draws = [
    random.uniform(np.uint32(seed), name, number_B, 2)
    for seed in (0, 1, 2**32 - 1)
    for name in ('a', 'b')
  ]
  assert len(np.unique(np.concatenate(draws).ravel())) == 3 * 2 * 6


def test_numpy_and_jax_draw_the_same_bits():
  number_B = np.array([0, 5, 2**32 - 1], np.uint32)
  ours = random.uniform(np.uint32(2**32 - 1), 'test', number_B, 6)
  theirs = jax.jit(lambda s, n: random.uniform(s, 'test', n, 6))(
    jnp.uint32(2**32 - 1), jnp.asarray(number_B)
  )
  np.testing.assert_array_equal(ours, theirs)


def test_epochs_and_seeds_have_different_permutations():
  orders = [
    random.permutation(seed, epoch, 9) for seed in (0, 1) for epoch in (0, 1)
  ]
  assert all(sorted(order_L) == list(range(9)) for order_L in orders)
  assert len({tuple(order_L) for order_L in orders}) == 4


def test_each_place_is_as_likely():
  first = [random.permutation(0, epoch, 5)[0] for epoch in range(2000)]
  assert stats.chisquare(np.bincount(first, minlength=5)).pvalue > 1e-3
