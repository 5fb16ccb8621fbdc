"""Multiple gradient descent: Sener and Koltun, "Multi-task learning as
multi-objective optimization" (NeurIPS 2018), after Désidéri (2012).
"""

import jax
import jax.numpy as jnp

from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import MaskedGramian, shares
from imat_jax.strategies._solvers import nonnegative_qp, unit_trace


class Mgda(MaskedGramian):
  """The shortest of all averages: argmin wᵀGw over w ≥ 0, Σw = 1.

  That is x / Σx for x = argmin ½ xᵀGx − Σx over x ≥ 0.
  """

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    is_here_T = evidence.weight_T > 0
    gramian_TxT = unit_trace(evidence.gramian_TxT)
    # As if each gradient had a thousandth that no other has.
    ridge_T = 1e-6 * jnp.diagonal(gramian_TxT) + 1e-12
    point_T = nonnegative_qp(
      gramian_TxT + jnp.diag(ridge_T), is_here_T.astype(ridge_T.dtype)
    )
    return shares(point_T), state
