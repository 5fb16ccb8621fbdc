"""The training step, as a pure function."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from imat_jax.data.types import Batch
from imat_jax.strategies import Strategy
from imat_jax.training import gradients, metrics
from imat_jax.training.state import TrainState


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
  # Of the network before the update, which the forward pass has given anyway.
  sums = metrics.from_batch(result.logits_BxTxK, result.loss, batch.label_BxT)
  nonfinite_T = sums.nonfinite_T | nonfinite_gradients(result.gradient)
  return next_state, sums.replace(nonfinite_T=nonfinite_T)


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
