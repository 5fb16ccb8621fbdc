"""Task affinity: do two tasks pull the trunk into the same direction?

The cosine between the gradients of two tasks' losses on the trunk, as in Du et
al., "Adapting auxiliary losses using gradient similarity" (2018): near 1 they
agree, near 0 they are independent, below 0 they conflict.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jax import flatten_util

from imat_jax.data.types import Batch
from imat_jax.training import gradients, losses
from imat_jax.training.state import TrainState


@struct.dataclass
class Cosines:
  """Sums over the batches that were compared."""

  sum_TxT: jax.Array
  count_TxT: jax.Array  # of the batches in which both have a gradient


def zeros(number: int) -> Cosines:
  """Of no batch."""
  return Cosines(jnp.zeros((number, number)), jnp.zeros((number, number)))


def add(
  network: nn.Module, cosines: Cosines, state: TrainState, batch: Batch
) -> Cosines:
  """Adds one batch, with the dropout of its step.

  Tasks with weight 0 are skipped.
  """

  trunk = state.params.get('trunk', {})  # one without parameters has none

  def loss_of(trunk):
    params = state.params | {'trunk': trunk}
    logits_BxTxK, _ = gradients.forward(
      network, state, params, batch.image_BxHxWxC
    )
    return losses.masked_cross_entropy(logits_BxTxK, batch.label_BxT).value_T()

  loss_T, pull_back = jax.vjp(loss_of, trunk)
  size = sum(leaf.size for leaf in jax.tree.leaves(trunk))

  def gradient_of(one_hot_T):
    return jax.lax.cond(
      (one_hot_T * state.weight_T).any(),
      lambda: flatten_util.ravel_pytree(*pull_back(one_hot_T))[0],
      lambda: jnp.zeros(size),
    )

  gradient_TxP = jax.lax.map(gradient_of, jnp.eye(len(loss_T)))
  norm_T = jnp.sqrt((gradient_TxP**2).sum(1))
  norm_TxT = norm_T[:, None] * norm_T[None]
  counts_TxT = (norm_TxT > 0).astype(norm_TxT.dtype)
  product_TxT = jnp.dot(gradient_TxP, gradient_TxP.T, precision='highest')
  return Cosines(
    cosines.sum_TxT + losses.divide(product_TxT, norm_TxT),
    cosines.count_TxT + counts_TxT,
  )


def read(cosines: Cosines, names: Sequence[str]) -> list[dict[str, Any]]:
  """The mean cosine of each pair of tasks that met, on the host."""
  sum_TxT, count_TxT = jax.device_get((cosines.sum_TxT, cosines.count_TxT))
  pairs = itertools.combinations(enumerate(names), 2)
  return [
    {'tasks': [first, second], 'cosine': float(sum_TxT[i, j] / count_TxT[i, j])}
    for (i, first), (j, second) in pairs
    if count_TxT[i, j]
  ]
