"""IMTL-G, the gradient part of Liu et al., "Towards impartial multi-task
learning" (ICLR 2021).
"""

import jax

from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import MaskedGramian, shares
from imat_jax.strategies._solvers import (
  cosines,
  pseudo_solve,
  reciprocal,
  unit_trace,
)


class ImpartialGradient(MaskedGramian):
  """A sum with the same projection on each gradient: ∝ D⁻¹ C⁺ 1.

  D has the gradients' norms, and C their cosines; with G = DCD this is the
  paper's G⁺ D 1, but norms that differ 10⁴ times cost no digits.
  """

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    cosine_TxT, norm_T = cosines(unit_trace(evidence.gramian_TxT))
    one_T = (norm_T > 0).astype(norm_T.dtype)
    return shares(pseudo_solve(cosine_TxT, one_T) * reciprocal(norm_T)), state
