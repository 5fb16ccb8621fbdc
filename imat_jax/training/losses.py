"""The loss: masked cross entropy per task, weighted and summed over tasks.

A mean is carried as (sum, weight) and divided once, at its end. So batches of
any filling merge exactly, and one without a label adds nothing.
"""

import jax
import jax.numpy as jnp
import optax
from flax import struct


@struct.dataclass
class Mean:
  """A weighted mean per task on its way: the sums and the weights so far."""

  sum_T: jax.Array
  weight_T: jax.Array

  def value_T(self) -> jax.Array:
    """The means; 0 where nothing has weight, and then without a gradient."""
    return divide(self.sum_T, self.weight_T)


def divide(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
  """The quotient; the numerator, which is 0, where the denominator is."""
  return numerator / jnp.where(denominator > 0, denominator, 1)


def masked_cross_entropy(logits_BxTxK: jax.Array, label_BxT: jax.Array) -> Mean:
  """Each task's softmax cross entropy in nats over what has a label.

  Args:
    logits_BxTxK: unnormalised log probabilities; -inf for what is no label.
    label_BxT: label numbers; -1 where there is none.
  """
  labelled_BxT = label_BxT >= 0
  # A missing label would index the last class, and its logit may be -inf: the
  # first class stands in, so that a finite number is multiplied by weight 0.
  loss_BxT = optax.softmax_cross_entropy_with_integer_labels(
    logits_BxTxK, jnp.where(labelled_BxT, label_BxT, 0)
  )
  weight_BxT = labelled_BxT.astype(loss_BxT.dtype)
  return Mean((loss_BxT * weight_BxT).sum(0), weight_BxT.sum(0))


def weighted_sum(loss: Mean, weight_T: jax.Array) -> jax.Array:
  """The sum over tasks of weight × mean loss: what training minimises.

  A task with weight 0 sends no gradient through its head.
  """
  return jnp.dot(weight_T, loss.value_T())
