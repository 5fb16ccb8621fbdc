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
    own_T = evidence.weight_T > 0
    place_T = jnp.cumsum(own_T) - 1  # of a task among the run's own
    turn = state // self.steps_per_turn % jnp.maximum(own_T.sum(), 1)
    return jnp.where(place_T == turn, evidence.weight_T, 0), state + 1
