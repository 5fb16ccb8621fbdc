"""Weights under which the tasks' gradients are equally long."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from imat_jax.strategies import Evidence, State, Strategy


@dataclasses.dataclass(frozen=True, kw_only=True)
class EqualNorms(Strategy):
  gradients_at: ClassVar[str] = 'features'

  def update(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    norm_T = jnp.sqrt(jnp.diagonal(evidence.gramian_TxT))
    is_here_T = norm_T > 0  # not where the batch has no label of the task
    weight_T = evidence.weight_T / jnp.where(is_here_T, norm_T, 1)
    return jnp.where(is_here_T, weight_T, 0), state
