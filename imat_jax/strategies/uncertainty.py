"""Uncertainty weighting: Kendall, Gal and Cipolla, "Multi-task learning using
uncertainty to weigh losses for scene geometry and semantics" (CVPR 2018).
"""

import dataclasses

import jax
import jax.numpy as jnp

from imat_jax import options, validators
from imat_jax.strategies import Evidence, State, _scalars
from imat_jax.strategies._masked import Masked, softmax


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uncertainty(Masked):
  """∝ exp(−s), with s learned on Σ exp(−s) L + s / 2, s = log σ².

  That is their loss for labels, not for numbers.
  """

  scalar_rate: float = options.option(
    "Adam's step size for the logarithm of each task's variance",
    0.01,
    validators.at_least(0),
  )

  def init(self, num_tasks: int) -> State:
    return _scalars.zeros(num_tasks)

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    slope_T = 0.5 - jnp.exp(-state.value_T) * evidence.loss_T
    next_state = _scalars.descend(state, slope_T, self.scalar_rate)
    return softmax(-state.value_T, evidence), next_state
