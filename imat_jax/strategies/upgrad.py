"""UPGrad: Quinton and Rey, "Jacobian descent for multi-objective optimization"
(2024).
"""

import jax
import jax.numpy as jnp

from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import MaskedGramian
from imat_jax.strategies._solvers import projected


class Upgrad(MaskedGramian):
  """Each task's gradient, moved as little as hurts no task; their average."""

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    of_task_TxT = jax.vmap(projected, (None, 0))(
      evidence.gramian_TxT, jnp.diag(evidence.weight_T)
    )
    return of_task_TxT.sum(0), state
