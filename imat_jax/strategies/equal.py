"""All tasks that are in the batch count the same, whatever the run's weights.

With tuned weights, the rule to beat: Kurin et al., "In defense of the unitary
scalarization for deep multi-task learning" (NeurIPS 2022).
"""

import jax
import jax.numpy as jnp

from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import Masked, softmax


class Equal(Masked):
  """1 / number of tasks."""

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    return softmax(jnp.zeros_like(evidence.weight_T), evidence), state
