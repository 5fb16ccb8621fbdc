"""A number per task that is learned beside the network."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class Scalars(NamedTuple):
  """The numbers, and Adam's state of each: its steps are those of its task."""

  value_T: jax.Array
  adam: Any


def zeros(num_tasks: int) -> Scalars:
  value_T = jnp.zeros(num_tasks)
  return Scalars(value_T, jax.vmap(optax.adam(0.0).init)(value_T))


def descend(scalars: Scalars, gradient_T: jax.Array, rate: float) -> Scalars:
  """One step of Adam."""
  step_T, adam = jax.vmap(optax.adam(rate).update)(gradient_T, scalars.adam)
  return Scalars(scalars.value_T + step_T, adam)
