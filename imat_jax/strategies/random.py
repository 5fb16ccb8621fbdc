"""Random loss weighting: Lin et al., "Reasonable effectiveness of random
weighting: a litmus test for multi-task learning" (TMLR 2022).
"""

import jax

from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import Masked, places, softmax


class Random(Masked):
  """softmax(z), with new normal z in each step."""

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    logit_T = jax.random.normal(evidence.key, evidence.weight_T.shape)
    return softmax(logit_T[places(evidence)], evidence), state
