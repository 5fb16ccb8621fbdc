"""Random choices from tables of shares.

A table is written `label weight, label weight, …`; the weights need not sum to
1, and a label without one has weight 1.
"""

from collections.abc import Mapping

import numpy as np

Shares = Mapping[str, float]


def shares(text: str) -> Shares:
  """`'black 3, sky blue'` → `{'black': 3.0, 'sky blue': 1.0}`."""
  found = {}
  for item in text.split(','):
    words = item.split()
    weight = float(words.pop()) if words[-1][0].isdigit() else 1.0
    found[' '.join(words)] = weight
  return found


def tables(**texts: str) -> Mapping[str, Shares]:
  """A table per name; an underscore stands for a blank."""
  return {name.replace('_', ' '): shares(text) for name, text in texts.items()}


def pick(rng: np.random.Generator, table: Shares, *factors: Shares) -> str:
  """A label by the table's shares times the factors; no factor is 1."""
  shares = dict(table)
  for factor in factors:
    for label in shares.keys() & factor.keys():
      shares[label] *= factor[label]
  ends = np.cumsum(list(shares.values()))
  at = np.searchsorted(ends, rng.random() * ends[-1], side='right')
  return list(shares)[at]


def chance(rng: np.random.Generator, share: float) -> bool:
  """True in `share` of the cases."""
  return bool(rng.random() < share)


def seed(rng: np.random.Generator) -> int:
  """The seed of another generator."""
  return int(rng.integers(2**31))
