"""PCGrad: Yu et al., "Gradient surgery for multi-task learning" (NeurIPS
2020).
"""

import jax
import jax.numpy as jnp

from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import MaskedGramian, random_orders
from imat_jax.strategies._solvers import reciprocal


class Pcgrad(MaskedGramian):
  """Takes out of each gradient what is against another, one after another.

  The others' order is drawn for each task and step.
  """

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    of_task_TxT = projected(evidence.gramian_TxT, random_orders(evidence))
    return evidence.weight_T @ of_task_TxT, state


def projected(gramian_TxT: jax.Array, order_TxT: jax.Array) -> jax.Array:
  """Row i: the weights of task i's projected gradient.

  Args:
    gramian_TxT: of the gradients.
    order_TxT: row i has the tasks in the order of i's projections.
  """
  task_T = jnp.arange(len(gramian_TxT))

  def project(weight_TxT, other_T):
    inner_T = (weight_TxT * gramian_TxT[other_T]).sum(1)
    square_T = gramian_TxT[other_T, other_T]
    hurts_T = (inner_T < 0) & (other_T != task_T)
    share_T = jnp.where(hurts_T, inner_T * reciprocal(square_T), 0)
    return weight_TxT.at[task_T, other_T].add(-share_T), None

  start_TxT = jnp.eye(len(gramian_TxT), dtype=gramian_TxT.dtype)
  return jax.lax.scan(project, start_TxT, order_TxT.T)[0]
