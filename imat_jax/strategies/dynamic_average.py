"""Dynamic weight average: Liu, Johns and Davison, "End-to-end multi-task
learning with attention" (CVPR 2019).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from imat_jax import options, validators
from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import Masked, softmax
from imat_jax.strategies._solvers import reciprocal


class Windows(NamedTuple):
  """Each task's own, which ends after so many batches with a label of it."""

  steps_T: jax.Array
  sum_T: jax.Array  # of the losses of its labelled photos
  count_T: jax.Array
  mean_T: jax.Array  # of the window before; 0 if there is none
  ratio_T: jax.Array  # of that to the one before it; 1 if there is none


@dataclasses.dataclass(frozen=True, kw_only=True)
class DynamicAverage(Masked):
  """softmax(r / temperature), r the last mean loss over the one before it.

  The means are over windows of steps, where the paper has epochs.
  """

  temperature: float = options.option(
    'the higher, the more alike the weights', 2.0, validators.at_least(1e-3)
  )
  window: int = options.option(
    'steps of a mean loss', 100, validators.at_least(1)
  )

  def init(self, num_tasks: int) -> State:
    zeros = [jnp.zeros(num_tasks) for _ in range(4)]
    return Windows(*zeros, ratio_T=jnp.ones(num_tasks))

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    steps_T = state.steps_T + 1
    sum_T = state.sum_T + evidence.loss_T * evidence.count_T
    count_T = state.count_T + evidence.count_T
    ends_T = steps_T >= self.window
    mean_T = jnp.where(ends_T, sum_T * reciprocal(count_T), state.mean_T)
    ratio_T = jnp.where(
      ends_T & (state.mean_T > 0),
      mean_T * reciprocal(state.mean_T),
      state.ratio_T,
    )
    going_on = [jnp.where(ends_T, 0, x) for x in (steps_T, sum_T, count_T)]
    weight_T = softmax(state.ratio_T / self.temperature, evidence)
    return weight_T, Windows(*going_on, mean_T, ratio_T)
