"""Nash-MTL: Navon et al., "Multi-task learning as a bargaining game" (ICML
2022).
"""

import jax

from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import MaskedGramian, shares
from imat_jax.strategies._solvers import fair_point


class Nash(MaskedGramian):
  """∝ the x with Gx = 1/x: the product of the tasks' progress is largest.

  Solved in each step to the end, where the paper has a few steps of a
  concave-convex procedure, from the last weights on.
  """

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    return shares(fair_point(evidence.gramian_TxT, alpha=1)), state
