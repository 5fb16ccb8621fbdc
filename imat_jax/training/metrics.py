"""Metrics that add up on the device and are read once per epoch.

Per task: the loss as (sum, weight) and the confusion matrix, from which every
score of `imat_jax.scores` follows.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from imat_jax import scores, tasks
from imat_jax.training import losses


@struct.dataclass
class TaskMetrics:
  """What a task's examples added up to so far."""

  loss: losses.Mean
  confusion_KxK: jax.Array  # int32; rows = true, columns = predicted


@struct.dataclass
class Metrics:
  """What a run's examples added up to so far."""

  tasks: tuple[TaskMetrics, ...]  # not a dict: jax would sort it by name
  broken_T: jax.Array  # int32; steps with a loss or gradient that is not finite


def zeros(task_set: tasks.TaskSet) -> Metrics:
  """Metrics of no examples."""

  def task_zeros(task: tasks.Task) -> TaskMetrics:
    size = len(task.labels)
    loss = losses.Mean(jnp.zeros(()), jnp.zeros(()))
    return TaskMetrics(loss, jnp.zeros((size, size), jnp.int32))

  return Metrics(
    tuple(map(task_zeros, task_set)), jnp.zeros(len(task_set), jnp.int32)
  )


def of_batch(
  logits: Sequence[jax.Array],
  loss_by_task: Sequence[losses.Mean],
  label_BxT: jax.Array,
) -> Metrics:
  """Metrics of one batch; examples without a label count nowhere."""
  found = tuple(
    TaskMetrics(loss, _confusion(logits_BxK, label_BxT[:, t]))
    for t, (logits_BxK, loss) in enumerate(
      zip(logits, loss_by_task, strict=True)
    )
  )
  losses_T = jnp.stack([loss.sum for loss in loss_by_task])
  return Metrics(found, (~jnp.isfinite(losses_T)).astype(jnp.int32))


def merge(first: Metrics, second: Metrics) -> Metrics:
  """Metrics of both sets of examples together."""
  return jax.tree.map(jnp.add, first, second)


def read(metrics: Metrics) -> list[dict[str, Any]]:
  """Brings metrics to the host.

  Returns:
    per task `loss` and `accuracy`, None without a labelled example, and
    `confusion`, an int64 K × K array.
  """
  return [_read_task(task) for task in jax.device_get(metrics.tasks)]


def total(found: Sequence[dict[str, Any]], weights: Sequence[float]) -> float:
  """The weighted sum of the tasks' losses; a task without labels adds 0."""
  return float(np.dot([task['loss'] or 0.0 for task in found], weights))


def _confusion(logits_BxK: jax.Array, label_B: jax.Array) -> jax.Array:
  size = logits_BxK.shape[1]
  # one_hot of -1 is a row of zeros: a missing label counts nowhere.
  true_BxK = jax.nn.one_hot(label_B, size, dtype=jnp.int32)
  guess_BxK = jax.nn.one_hot(logits_BxK.argmax(1), size, dtype=jnp.int32)
  return true_BxK.T @ guess_BxK


def _read_task(metrics: TaskMetrics) -> dict[str, Any]:
  confusion_KxK = np.asarray(metrics.confusion_KxK, np.int64)
  labelled = metrics.loss.weight > 0
  return {
    'loss': float(metrics.loss.value()) if labelled else None,
    'accuracy': scores.accuracy(confusion_KxK),
    'confusion': confusion_KxK,
  }
