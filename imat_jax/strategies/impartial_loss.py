"""IMTL-L, the loss part of Liu et al., "Towards impartial multi-task learning"
(ICLR 2021).
"""

import dataclasses

import jax
import jax.numpy as jnp

from imat_jax import options, validators
from imat_jax.strategies import Evidence, State, _scalars
from imat_jax.strategies._masked import Masked, softmax


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImpartialLoss(Masked):
  """∝ exp(s), with s learned on Σ exp(s) L − s, so that all exp(s) L are 1."""

  scalar_rate: float = options.option(
    "Adam's step size for the logarithm of each task's weight",
    0.01,
    validators.at_least(0),
  )

  def init(self, num_tasks: int) -> State:
    return _scalars.zeros(num_tasks)

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    slope_T = jnp.exp(state.value_T) * evidence.loss_T - 1
    next_state = _scalars.descend(state, slope_T, self.scalar_rate)
    return softmax(state.value_T, evidence), next_state
