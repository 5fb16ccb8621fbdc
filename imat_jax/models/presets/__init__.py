"""Networks by name, those of today with their recipes.

A file imports the trunks that its networks need, so a run loads no other.
"""

import importlib

from imat_jax import config, options

_FILES = {
  'modern': 'modern',
  'linear_probe': 'imagenet',
  'finetuned': 'imagenet',
}


def by_name(name: str) -> config.Model:
  """A constant, by its name in lower case; or a trunk, as `resnet:width=16`.

  These are what a study's `--models` may be.
  """
  trunk, _, _ = name.partition(':')
  if trunk in options.part_names('imat_jax.models.trunks'):
    part = options.part_from_text('imat_jax.models.trunks', name)
    return config.Model(trunk=part)
  file = _FILES.get(name, 'paper')
  module = importlib.import_module(f'{__name__}.{file}')
  return getattr(module, name.upper())
