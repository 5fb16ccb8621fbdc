"""The tables of catalog.toml, and choices from them."""

import math
import pathlib
import re
import tomllib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Shares = Mapping[str, float]
Rgb = tuple[float, float, float]


class Material(NamedTuple):
  """How a material looks, see catalog.toml."""

  texture: str = ''
  relief: float = 0.0
  tint: float = 0.0
  folds: float = 5.0
  cells: tuple[int, int] = (8, 8)
  gloss: float = 0.0
  opacity: float = 1.0


def pick(rng: np.random.Generator, table: Shares, *factors: Shares) -> str:
  """A label by the table's weights times the factors; no factor is 1."""
  weights = [
    weight * math.prod(factor.get(label, 1.0) for factor in factors)
    for label, weight in table.items()
  ]
  return str(rng.choice(list(table), p=np.divide(weights, sum(weights))))


def chance(rng: np.random.Generator, share: float) -> bool:
  """True in `share` of the cases."""
  return bool(rng.random() < share)


def _shares(text: str) -> Shares:
  """`'black 3, sky blue'` → `{'black': 3.0, 'sky blue': 1.0}`."""
  pairs = (re.match(r'(.*?) *([0-9.]*)$', x.strip()) for x in text.split(','))
  return {' '.join(p[1].split()): float(p[2] or 1) for p in pairs}


def _parsed(value: Any) -> Any:
  if isinstance(value, dict):
    return {name: _parsed(one) for name, one in value.items()}
  return _shares(value) if isinstance(value, str) else value


_PATH = pathlib.Path(__file__).with_name('catalog.toml')
_FILE = tomllib.loads(_PATH.read_text('utf-8'))
MATERIALS = {name: Material(**look) for name, look in _FILE['material'].items()}
RGB = {
  name: tuple(byte / 255 for byte in code.to_bytes(3, 'big'))
  for name, code in _FILE['rgb'].items()
}
TABLES = _parsed(_FILE)
# Kaggle's names → ids.
TASK_IDS, LABEL_IDS = (
  {name: str(i) for i, name in enumerate(TABLES['kaggle'][names], 1)}
  for names in ('tasks', 'labels')
)
