"""CAGrad: Liu et al., "Conflict-averse gradient descent for multi-task
learning" (NeurIPS 2021).
"""

import dataclasses

import jax
import jax.numpy as jnp

from imat_jax import options, validators
from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import MaskedGramian, shares
from imat_jax.strategies._solvers import nonnegative_minimum, unit_trace

# Shorter combinations, of gradients of length 1, have almost cancelled.
_CANCELLED = 1e-4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cagrad(MaskedGramian):
  """Of the vectors near the average g the best for the task worst off.

  Near is within c‖g‖. That is g + c‖g‖ g_w / ‖g_w‖, where g_w = Jᵀw makes
  g·g_w + c‖g‖‖g_w‖ least over w ≥ 0, Σw = 1; divided by 1 + c, as the authors'
  code can, so that one task alone is as without.
  """

  nearness: float = options.option(
    'c: the distance from the average over its length',
    0.4,
    validators.between(0, 0.99),
  )

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    share_T, is_here_T = evidence.weight_T, evidence.weight_T > 0
    gramian_TxT = unit_trace(evidence.gramian_TxT)
    inner_T = gramian_TxT @ share_T
    # Where gradients cancel, rounding makes squares that are negative.
    radius = self.nearness * jnp.sqrt(jnp.maximum(share_T @ inner_T, 0))

    def length(weight_T):
      # A little longer than it is, to have a slope where gradients cancel.
      square = jnp.maximum(weight_T @ gramian_TxT @ weight_T, 0)
      return jnp.sqrt(square + _CANCELLED**2 * (weight_T @ weight_T))

    # The function plus Σw grows along each ray of the cone w ≥ 0: where it is
    # least for Σw = 1, there on a ray half its square minus Σw is least.
    def objective(weight_T):
      value = (inner_T + 1) @ weight_T + radius * length(weight_T)
      return value**2 / 2 - weight_T @ is_here_T

    weight_T = nonnegative_minimum(objective, jnp.ones_like(share_T))
    weight_T = shares(jnp.where(is_here_T, weight_T, 0))
    weight_T = share_T + radius * weight_T / length(weight_T)
    return weight_T / (1 + self.nearness), state
