"""Gradient vaccine: Wang et al., "Gradient vaccine: investigating and improving
multi-task optimization in massively multilingual models" (ICLR 2021).
"""

import dataclasses

import jax
import jax.numpy as jnp

from imat_jax import options, validators
from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import MaskedGramian, random_orders
from imat_jax.strategies._solvers import reciprocal


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gradvac(MaskedGramian):
  """Turns each gradient to each other one until their cosine is the usual one.

  The usual one is a running mean for each pair. A cosine above it stays.
  """

  cosine_rate: float = options.option(
    'share of a new cosine in the running mean', 0.01, validators.between(0, 1)
  )

  def init(self, num_tasks: int) -> State:
    return jnp.zeros((num_tasks, num_tasks))

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    of_task_TxT, state = vaccinated(
      evidence.gramian_TxT, random_orders(evidence), state, self.cosine_rate
    )
    return evidence.weight_T @ of_task_TxT, state


def vaccinated(
  gramian_TxT: jax.Array,
  order_TxT: jax.Array,
  usual_TxT: jax.Array,
  rate: float,
) -> tuple[jax.Array, jax.Array]:
  """Row i: the weights of task i's turned gradient; and the next means.

  Args:
    gramian_TxT: of the gradients.
    order_TxT: row i has the tasks in the order in which i is turned to them.
    usual_TxT: the running means of the cosines.
    rate: of these.
  """
  task_T = jnp.arange(len(gramian_TxT))
  norm_T = jnp.sqrt(jnp.diagonal(gramian_TxT))

  def turn(carry, other_T):
    weight_TxT, usual_TxT = carry
    is_other_T = other_T != task_T
    inner_T = (weight_TxT * gramian_TxT[other_T]).sum(1)
    square_T = ((weight_TxT @ gramian_TxT) * weight_TxT).sum(1)
    own_T, other_norm_T = jnp.sqrt(jnp.maximum(square_T, 0)), norm_T[other_T]
    cosine_T = inner_T * reciprocal(own_T) * reciprocal(other_norm_T)
    usual_T = usual_TxT[task_T, other_T]
    turned_T = _sine(cosine_T) * usual_T * reciprocal(_sine(usual_T)) - cosine_T
    share_T = turned_T * own_T * reciprocal(other_norm_T)
    share_T = jnp.where(is_other_T & (cosine_T < usual_T), share_T, 0)
    moved_T = jnp.where(is_other_T, rate * (cosine_T - usual_T), 0)
    return (
      weight_TxT.at[task_T, other_T].add(share_T),
      usual_TxT.at[task_T, other_T].add(moved_T),
    ), None

  start_TxT = jnp.eye(len(gramian_TxT), dtype=gramian_TxT.dtype)
  return jax.lax.scan(turn, (start_TxT, usual_TxT), order_TxT.T)[0]


def _sine(cosine_T: jax.Array) -> jax.Array:
  return jnp.sqrt(jnp.maximum(1 - cosine_T**2, 0))
