"""GradNorm: Chen et al., "GradNorm: gradient normalization for adaptive loss
balancing in deep multitask networks" (ICML 2018).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from imat_jax import options, validators
from imat_jax.strategies import Evidence, State, _scalars
from imat_jax.strategies._masked import MaskedGramian, shares, softmax


class Progress(NamedTuple):
  logits: _scalars.Scalars
  first_loss_T: jax.Array  # 0 until there is one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gradnorm(MaskedGramian):
  """softmax(s), with s learned so that w‖g‖ is mean(w‖g‖) × r^α.

  r is the task's share of its first loss that is left, over the mean of these
  shares; s descends on Σ |w‖g‖ − mean(w‖g‖) r^α|, the mean held constant. The
  paper's w are free numbers that are scaled to a sum after each step.
  """

  asymmetry: float = options.option(
    'α: how much more a task counts that has learned less',
    1.5,
    validators.at_least(0),
  )
  scalar_rate: float = options.option(
    "Adam's step size for the tasks' logits", 0.025, validators.at_least(0)
  )

  def init(self, num_tasks: int) -> State:
    return Progress(_scalars.zeros(num_tasks), jnp.zeros(num_tasks))

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    is_here_T = evidence.weight_T > 0
    first_T = jnp.where(
      state.first_loss_T > 0, state.first_loss_T, evidence.loss_T
    )
    left_T = shares(jnp.where(is_here_T, evidence.loss_T / first_T, 0))
    norm_T = jnp.sqrt(jnp.diagonal(evidence.gramian_TxT))
    weight_T = softmax(state.logits.value_T, evidence)
    pull_T = weight_T * norm_T
    target_T = pull_T.sum() * left_T**self.asymmetry
    target_T = target_T * is_here_T.sum() ** (self.asymmetry - 1)
    slope_T = jnp.sign(pull_T - target_T) * norm_T
    slope_T = weight_T * (slope_T - weight_T @ slope_T)
    logits = _scalars.descend(state.logits, slope_T, self.scalar_rate)
    return weight_T, Progress(logits, first_T)
