"""The smallest network that has all the parts, for all tests that need one."""

import dataclasses

from imat_jax import config
from imat_jax.models.trunks.paper import Paper

MODEL = config.Model(
  trunk=Paper(filters=(2, 3, 4), shared_widths=(8,)), head_widths=(4,)
)
FLAGS = ('--filters=2,3,4', '--shared_widths=8', '--head_widths=4')


def model(**options) -> config.Model:
  """The same with other options of its trunk."""
  trunk = dataclasses.replace(MODEL.trunk, **options)
  return dataclasses.replace(MODEL, trunk=trunk)
