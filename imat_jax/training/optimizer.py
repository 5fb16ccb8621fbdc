"""The optimizer that a config describes."""

import optax

from imat_jax import config


def make(optimizer: config.Optimizer) -> optax.GradientTransformation:
  """The paper's Adam."""
  # optax's default epsilon is 1e-8, Keras's and so the paper's 1e-7.
  return optax.adam(
    optimizer.learning_rate,
    optimizer.adam_b1,
    optimizer.adam_b2,
    optimizer.adam_epsilon,
  )
