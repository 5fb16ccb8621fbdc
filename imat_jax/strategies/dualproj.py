"""The projection of GEM: Lopez-Paz and Ranzato, "Gradient episodic memory for
continual learning" (NeurIPS 2017); of all tasks' average, as DualProj.
"""

import jax

from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import MaskedGramian
from imat_jax.strategies._solvers import projected


class Dualproj(MaskedGramian):
  """The average gradient, moved as little as hurts no task."""

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    return projected(evidence.gramian_TxT, evidence.weight_T), state
