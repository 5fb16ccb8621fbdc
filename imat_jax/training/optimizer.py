"""The optimizer that a config describes."""

import optax

from imat_jax import config


def make(optimizer: config.Optimizer) -> optax.GradientTransformation:
  """The paper's Adam."""
  return optax.adam(
    optimizer.learning_rate,
    optimizer.adam_b1,
    optimizer.adam_b2,
    optimizer.adam_epsilon,
  )
