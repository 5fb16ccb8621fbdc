"""ConFIG: Liu, Chu and Thuerey, "ConFIG: towards conflict-free training of
physics informed neural networks" (ICLR 2025).
"""

import jax

from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import MaskedGramian
from imat_jax.strategies._solvers import (
  cosines,
  pseudo_solve,
  reciprocal,
  unit_trace,
)


class ConflictFree(MaskedGramian):
  """The direction u whose cosines with the gradients are as the shares p.

  u = D⁻¹ C⁺ p with the norms D and cosines C of the gradients. It is as long as
  the average of the projections of the gradients on it.
  """

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    cosine_TxT, norm_T = cosines(unit_trace(evidence.gramian_TxT))
    share_T = evidence.weight_T * (norm_T > 0)
    unit_T = pseudo_solve(cosine_TxT, share_T)
    inner_T = cosine_TxT @ unit_T
    square = inner_T @ unit_T
    length = (share_T * norm_T) @ inner_T * reciprocal(square)
    return length * unit_T * reciprocal(norm_T), state
