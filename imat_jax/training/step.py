"""The training step and the evaluation step, as pure functions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from imat_jax.data.types import Batch
from imat_jax.strategies import Strategy
from imat_jax.training import gradients, losses, metrics
from imat_jax.training.state import TrainState


class Predictions(NamedTuple):
  """What a network says of B photos, beside what is true."""

  label: jax.Array  # int32, B × T, -1 where missing
  guess: jax.Array  # int32, B × T, the label with the largest probability
  probability: jax.Array  # B × T, which the network gives it


def train_step(
  network: nn.Module,
  optimizer: optax.GradientTransformation,
  strategy: Strategy,
  state: TrainState,
  batch: Batch,
) -> tuple[TrainState, metrics.Metrics]:
  """One update on the weighted, masked multi-task loss.

  Returns:
    the next state, and the batch's metrics as the network saw it, with dropout,
    before the update.
  """

  compute = (
    gradients.with_gramian if strategy.needs_gramian else gradients.of_sum
  )
  result = compute(network, strategy, state, batch)
  update, opt_state = optimizer.update(
    result.gradient, state.opt_state, state.params
  )
  next_state = state.replace(
    step=state.step + 1,
    params=optax.apply_updates(state.params, update),
    collections=result.collections,
    opt_state=opt_state,
    strategy=result.strategy,
  )
  sums = metrics.from_batch(result.logits_BxTxK, result.loss, batch.label_BxT)
  nonfinite_T = sums.nonfinite_T | nonfinite_gradients(result.gradient)
  return next_state, sums.replace(nonfinite_T=nonfinite_T)


def eval_step(
  network: nn.Module, variables: dict[str, Any], batch: Batch
) -> tuple[metrics.Metrics, Predictions]:
  """The metrics of a batch and what is guessed, without dropout."""
  return evaluate_logits(logits(network, variables, batch), batch.label_BxT)


def logits(
  network: nn.Module, variables: dict[str, Any], batch: Batch
) -> jax.Array:
  """The network's logits without dropout, B × T × K."""
  return network.apply(variables, batch.image_BxHxWxC, deterministic=True)


def evaluate_logits(
  logits_BxTxK: jax.Array, label_BxT: jax.Array
) -> tuple[metrics.Metrics, Predictions]:
  """The metrics of logits, and what they guess.

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
  return metrics.from_batch(logits_BxTxK, loss, label_BxT), predictions


def nonfinite_gradients(gradient: dict[str, Any]) -> jax.Array:
  """Tasks whose head, or all whose trunk, has a gradient that is not finite."""
  # A maximum is NaN where a number is, and quicker than a test of each number.
  leaves = jax.tree.leaves(gradient['heads'])
  largest = [
    jnp.abs(leaf).reshape(-1, *leaf.shape[-2:]).max((0, 2)) for leaf in leaves
  ]
  head_T = ~jnp.isfinite(jnp.stack(largest)).all(0)
  trunk = jax.tree.leaves(gradient.get('trunk', {}))
  largest = jnp.array([jnp.abs(leaf).max() for leaf in trunk])
  is_trunk = ~jnp.isfinite(largest).all() & ~head_T.any()
  return (head_T | is_trunk).astype(jnp.int32)
