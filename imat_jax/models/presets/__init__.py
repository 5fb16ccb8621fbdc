"""Networks by name, those of today with their recipes.

A file imports the trunks that its networks need, so a run loads no other.
"""

import importlib

from imat_jax import config

_FILES = {
  'modern': 'modern',
  'linear_probe': 'imagenet',
  'finetuned': 'imagenet',
}


def by_name(name: str) -> config.Model:
  """One of `study.config.MODELS`; of a constant's name in lower case."""
  file = _FILES.get(name, 'paper')
  module = importlib.import_module(f'{__name__}.{file}')
  return getattr(module, name.upper())
