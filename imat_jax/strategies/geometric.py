"""Geometric loss strategy: Chennupati et al., "MultiNet++: multi-stream feature
aggregation and geometric loss strategy for multi-task learning" (CVPR Workshops
2019).
"""

import jax
import jax.numpy as jnp

from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import Masked


class Geometric(Masked):
  """Minimises ∏ L_t^p_t, the geometric mean with shares p.

  Its slopes are p_t ∏ L^p / L_t.
  """

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    log_T = jnp.log(evidence.loss_T)
    mean_log = evidence.weight_T @ log_T
    return evidence.weight_T * jnp.exp(mean_log - log_T), state
