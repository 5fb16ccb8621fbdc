"""Nash-MTL: Navon et al., "Multi-task learning as a bargaining game" (ICML
2022).
"""

from typing import ClassVar

import jax

from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import Masked, shares
from imat_jax.strategies._solvers import fair_point


class Nash(Masked):
  """∝ the x with Gx = 1/x: the product of the tasks' progress is largest.

  Solved in each step to the end, where the paper has a few steps of a
  concave-convex procedure, from the last weights on.
  """

  needs_gramian: ClassVar[bool] = True

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    return shares(fair_point(evidence.gramian_TxT, alpha=1)), state
