"""Priority-constrained descent (TMLR 2026, arXiv 2606.29521): one task counts,
and the others may help.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from imat_jax import options, validators
from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import MaskedGramian
from imat_jax.strategies._solvers import nonnegative_qp, reciprocal

DECAY = 0.999  # of the running means of the norms


class Norms(NamedTuple):
  steps_T: jax.Array
  square_T: jax.Array  # running mean, which begins at 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pcd(MaskedGramian):
  """The vector nearest to the first task's gradient with which others progress.

  Each other task's derivative along it is at least τ times its squared norm,
  all gradients divided by a running mean of their norm. It is as long as the
  first task's gradient, and that where there is none. The first task is the
  first of the run with a label in the batch.
  """

  least_progress: float = options.option(
    'τ: that of each other task, over that along its own gradient',
    0.02,
    validators.between(0, 1),
  )

  def init(self, num_tasks: int) -> State:
    return Norms(jnp.zeros(num_tasks), jnp.zeros(num_tasks))

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    steps_T = state.steps_T + 1
    square_T = jnp.diagonal(evidence.gramian_TxT)
    square_T = DECAY * state.square_T + (1 - DECAY) * square_T
    mean_T = jnp.sqrt(square_T / (1 - DECAY**steps_T))
    scale_T = reciprocal(mean_T)
    gramian_TxT = evidence.gramian_TxT * scale_T[:, None] * scale_T[None]

    is_here_T = evidence.weight_T > 0
    is_first_T = jnp.arange(len(is_here_T)) == is_here_T.argmax()
    is_other_T = is_here_T & ~is_first_T
    first_T = is_first_T.astype(mean_T.dtype)
    bound_T = self.least_progress * jnp.diagonal(gramian_TxT)
    missing_T = jnp.where(is_other_T, bound_T - gramian_TxT @ first_T, 0)
    is_other_TxT = is_other_T[:, None] & is_other_T[None]
    matrix_TxT = jnp.where(is_other_TxT, gramian_TxT, 0)
    ridge_TxT = jnp.diag(jnp.where(is_other_T, 1e-8, 1))
    weight_T = first_T + nonnegative_qp(matrix_TxT + ridge_TxT, missing_T)

    misses_T = is_other_T & (gramian_TxT @ weight_T < bound_T - 1e-4)
    weight_T = jnp.where(misses_T.any(), first_T, weight_T)
    square = weight_T @ gramian_TxT @ weight_T
    length = jnp.sqrt(first_T @ jnp.diagonal(gramian_TxT) * reciprocal(square))
    # In units of the first gradient: alone it has weight 1.
    unit = first_T @ mean_T
    return length * unit * weight_T * scale_T, Norms(steps_T, square_T)
