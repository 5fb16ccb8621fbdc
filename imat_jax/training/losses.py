"""The loss: masked cross entropy per task, weighted and summed over tasks.

A mean is carried as (sum, weight) and divided once, at its end. So batches of
any filling merge exactly, and one without a label adds nothing.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from flax import struct

from imat_jax import tasks


@struct.dataclass
class Mean:
  """A weighted mean on its way: the sum and the weight so far."""

  sum: jax.Array
  weight: jax.Array

  @classmethod
  def of(cls, value_B: jax.Array, weight_B: jax.Array) -> 'Mean':
    weight_B = weight_B.astype(value_B.dtype)
    return cls(jnp.sum(value_B * weight_B), jnp.sum(weight_B))

  def value(self) -> jax.Array:
    """The mean; 0 where nothing has weight, and then without a gradient."""
    return self.sum / jnp.where(self.weight > 0, self.weight, 1)


def masked_cross_entropy(logits_BxK: jax.Array, label_B: jax.Array) -> Mean:
  """Softmax cross entropy in nats over the examples that have a label.

  Args:
    logits_BxK: unnormalised log probabilities.
    label_B: label numbers; -1 where there is none.
  """
  labelled_B = label_B != tasks.MISSING
  loss_B = optax.softmax_cross_entropy_with_integer_labels(
    logits_BxK, jnp.where(labelled_B, label_B, 0)
  )
  return Mean.of(loss_B, labelled_B)


def by_task(
  logits: Sequence[jax.Array], label_BxT: jax.Array
) -> tuple[Mean, ...]:
  """`masked_cross_entropy` of each task; logits are B × K of the task."""
  return tuple(
    masked_cross_entropy(logits_BxK, label_BxT[:, t])
    for t, logits_BxK in enumerate(logits)
  )


def total(loss_by_task: Sequence[Mean], weight_T: jax.Array) -> jax.Array:
  """The sum over tasks of weight × mean loss: what training minimises.

  A task with weight 0 sends no gradient through its head.
  """
  return jnp.dot(weight_T, jnp.stack([mean.value() for mean in loss_by_task]))
