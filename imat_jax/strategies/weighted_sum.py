"""Fixed weights: the paper's 1, 0.95, 0.95² … in the order of the tasks."""

import dataclasses

import jax
import jax.numpy as jnp

from imat_jax import options, validators
from imat_jax.strategies import Evidence, State, Strategy


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightedSum(Strategy):
  """The run's own weights (`--task_weight_decay`), in each step."""

  others: float = options.option(
    "factor of all weights but the first task's", 1.0, validators.at_least(0)
  )

  def update(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    # Also where a task has no label in the batch: its loss is 0 then, and the
    # others weigh what they always weigh.
    if self.others == 1:
      return evidence.weight_T, state
    # In a study the tasks of other runs may stand before this run's first.
    first = (evidence.weight_T > 0).argmax()
    is_first_T = jnp.arange(len(evidence.weight_T)) == first
    factor_T = jnp.where(is_first_T, 1, self.others)
    return factor_T * evidence.weight_T, state
