"""The evaluation step, as pure functions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from imat_jax.data.types import Batch
from imat_jax.training import losses, metrics, scores


class Predictions(NamedTuple):
  """Predictions for B photos, beside their labels."""

  label: jax.Array  # int32, B × T, -1 where missing
  guess: jax.Array  # int32, B × T, the label with the largest probability
  probability: jax.Array  # B × T, which the network gives it


def eval_step(
  network: nn.Module, variables: dict[str, Any], batch: Batch
) -> tuple[metrics.Metrics, Predictions]:
  """The metrics and predictions of a batch, without dropout."""
  return evaluate_logits(logits(network, variables, batch), batch.label_BxT)


def logits(
  network: nn.Module, variables: dict[str, Any], batch: Batch
) -> jax.Array:
  """The network's logits without dropout, B × T × K."""
  return network.apply(variables, batch.image_BxHxWxC, deterministic=True)


def evaluate_logits(
  logits_BxTxK: jax.Array, label_BxT: jax.Array
) -> tuple[metrics.Metrics, Predictions]:
  """The metrics and predictions of logits.

  Args:
    logits_BxTxK: -inf for what is no label.
    label_BxT: -1 where missing.
  """
  loss = losses.masked_cross_entropy(logits_BxTxK, label_BxT)
  predictions = Predictions(
    label=jnp.asarray(label_BxT),
    guess=logits_BxTxK.argmax(2).astype(jnp.int32),
    probability=jax.nn.softmax(logits_BxTxK).max(2),
  )
  sums = metrics.from_batch(logits_BxTxK, loss, label_BxT)
  others = {
    name: metric.sums(logits_BxTxK, label_BxT)
    for name, metric in scores.METRICS.items()
    if metric.sums
  }
  return sums.replace(others=others), predictions
