"""One task at a time, each for some steps."""

import dataclasses

import jax
import jax.numpy as jnp

from imat_jax import options, validators
from imat_jax.strategies import Evidence, State, Strategy


@dataclasses.dataclass(frozen=True, kw_only=True)
class TakeTurns(Strategy):
  steps_per_turn: int = options.option('of a task', 1, validators.at_least(1))

  def init(self, num_tasks: int) -> State:
    return jnp.int32(0)

  def update(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    number = len(evidence.loss_T)
    turn_T = jax.nn.one_hot(state // self.steps_per_turn % number, number)
    return turn_T * evidence.weight_T, state + 1
