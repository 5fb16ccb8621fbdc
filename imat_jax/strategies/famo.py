"""FAMO: Liu et al., "FAMO: fast adaptive multitask optimization" (NeurIPS
2023).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from imat_jax import options, validators
from imat_jax.strategies import Evidence, State, _scalars
from imat_jax.strategies._masked import Masked, shares, softmax


class Progress(NamedTuple):
  logits: _scalars.Scalars
  log_loss_T: jax.Array  # in the last step that had a label of the task
  is_known_T: jax.Array  # whether there was one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Famo(Masked):
  """∝ softmax(ξ) / L, with ξ such that all log L fall at the same rate.

  The paper compares the losses of one batch before and after its update, which
  takes a second forward pass. Here the loss after an update is that of the next
  batch, one step late.
  """

  scalar_rate: float = options.option(
    "Adam's step size for the tasks' logits", 0.025, validators.at_least(0)
  )
  scalar_decay: float = options.option(
    'how strongly the logits are drawn to 0', 1e-3, validators.at_least(0)
  )

  def init(self, num_tasks: int) -> State:
    return Progress(
      _scalars.zeros(num_tasks),
      jnp.zeros(num_tasks),
      jnp.zeros(num_tasks, bool),
    )

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    log_loss_T = jnp.log(evidence.loss_T)
    fall_T = jnp.where(state.is_known_T, state.log_loss_T - log_loss_T, 0)
    share_T = softmax(state.logits.value_T, evidence)
    # The softmax's derivative times the fall, and the decay.
    slope_T = share_T * (fall_T - share_T @ fall_T)
    slope_T = slope_T + self.scalar_decay * state.logits.value_T
    logits = jax.tree.map(
      lambda new, old: jnp.where(state.is_known_T, new, old),
      _scalars.descend(state.logits, slope_T, self.scalar_rate),
      state.logits,
    )
    weight_T = shares(softmax(logits.value_T, evidence) / evidence.loss_T)
    is_known_T = jnp.ones_like(state.is_known_T)
    return weight_T, Progress(logits, log_loss_T, is_known_T)
