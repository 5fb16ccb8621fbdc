"""Fixed weights: the paper's 1, 0.95, 0.95² … in the order of the tasks."""

import dataclasses

import jax

from imat_jax.strategies import Evidence, State, Strategy


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightedSum(Strategy):
  """The run's own weights (`--task_weight_decay`), in each step."""

  def update(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    # Also where a task has no label in the batch: its loss is 0 then, and the
    # others weigh what they always weigh.
    return evidence.weight_T, state
