"""Running sums on the device, which are read once per epoch.

To add a metric see `imat_jax.training.scores.METRICS`.

Per task: the loss as (sum, weight) and the confusion matrix, from which every
score of `imat_jax.training.scores` follows.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from imat_jax.training import losses


@struct.dataclass
class Metrics:
  """Running sums over examples.

  Attributes:
    loss: per task.
    confusion_TxKxK: int32; rows = true, columns = predicted.
    nonfinite_T: int32; steps with a loss or gradient that is not finite.
    others: of each metric with sums of its own; in training none.
  """

  loss: losses.Mean
  confusion_TxKxK: jax.Array
  nonfinite_T: jax.Array
  others: dict[str, Any] = struct.field(default_factory=dict)


def zeros(num_tasks: int, num_labels: int) -> Metrics:
  """Metrics of no examples; `num_labels` are those of the largest task."""
  return Metrics(
    losses.Mean(jnp.zeros(num_tasks), jnp.zeros(num_tasks)),
    jnp.zeros((num_tasks, num_labels, num_labels), jnp.int32),
    jnp.zeros(num_tasks, jnp.int32),
  )


def from_batch(
  logits_BxTxK: jax.Array, loss: losses.Mean, label_BxT: jax.Array
) -> Metrics:
  """Metrics of one batch; examples without a label count nowhere."""
  broken_T = (~jnp.isfinite(loss.sum_T)).astype(jnp.int32)
  return Metrics(loss, _confusion(logits_BxTxK, label_BxT), broken_T)


def merge(first: Metrics, second: Metrics) -> Metrics:
  """Metrics of both sets of examples together."""
  return jax.tree.map(jnp.add, first, second)


def _confusion(logits_BxTxK: jax.Array, label_BxT: jax.Array) -> jax.Array:
  _, number, size = logits_BxTxK.shape
  task_1xT = jnp.arange(number)[None]
  guess_BxT = logits_BxTxK.argmax(2)
  # As an index -1, a missing label, is the last row; what it adds there is 0.
  labelled_BxT = (label_BxT >= 0).astype(jnp.int32)
  counts_TxKxK = jnp.zeros((number, size, size), jnp.int32)
  return counts_TxKxK.at[task_1xT, label_BxT, guess_BxT].add(labelled_BxT)
