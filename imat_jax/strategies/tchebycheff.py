"""Smooth Tchebycheff scalarization: Lin et al., "Smooth Tchebycheff
scalarization for multi-objective optimization" (ICML 2024).
"""

import dataclasses

import jax

from imat_jax import options, validators
from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import Masked, shares, softmax


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tchebycheff(Masked):
  """The slopes of μ log Σ exp(p L / μ): almost the largest of the p L.

  The p are the tasks' shares; the ideal point is 0, the least cross entropy.
  """

  smoothness: float = options.option(
    'μ, in nats: the smaller, the more the largest loss counts alone',
    0.1,
    validators.at_least(1e-3),
  )

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    logit_T = evidence.weight_T * evidence.loss_T / self.smoothness
    return shares(evidence.weight_T * softmax(logit_T, evidence)), state
