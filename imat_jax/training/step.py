"""The training step, as a pure function."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from imat_jax.data.types import Batch
from imat_jax.training import gradients, losses, metrics
from imat_jax.training.state import TrainState

if TYPE_CHECKING:  # a step is read without the options of everything
  from imat_jax import config


def train_step(
  network: nn.Module,
  optimizer: optax.GradientTransformation,
  recipe: 'config.Recipe',
  state: TrainState,
  batch: Batch,
) -> tuple[TrainState, metrics.Metrics]:
  """One update on the weighted, masked multi-task loss.

  Args:
    network: gives logits, B × T × K.
    optimizer: `optimizer.make` of the recipe's.
    recipe: the multi-task method, the loss and how photos are mixed.
    state: before the update.
    batch: augmented photos.

  Returns:
    the next state, and the batch's metrics as the network saw it, with dropout,
    before the update.
  """

  image_BxHxWxC, loss_of = losses.objective(recipe, state, batch)
  strategy = recipe.strategy
  compute = (
    gradients.with_gramian if strategy.needs_gramian else gradients.of_sum
  )
  result = compute(network, strategy, loss_of, state, image_BxHxWxC)
  update, opt_state = optimizer.update(
    result.gradient, state.opt_state, state.params
  )
  params = optax.apply_updates(state.params, update)
  next_state = state.replace(
    step=state.step + 1,
    params=params,
    average=_averaged(recipe.optimizer.average, state, params),
    collections=result.collections,
    opt_state=opt_state,
    strategy=result.strategy,
  )
  # Of the network before the update, which the forward pass has given anyway.
  sums = metrics.from_batch(result.logits_BxTxK, result.loss, batch.label_BxT)
  nonfinite_T = sums.nonfinite_T | nonfinite_gradients(result.gradient)
  return next_state, sums.replace(nonfinite_T=nonfinite_T)


def _averaged(
  decay: float, state: TrainState, params: dict[str, Any]
) -> dict[str, Any]:
  """The running mean with the next parameters; of few steps a plain mean."""
  if not decay:
    return state.average
  # The first parameters count like a step.
  share = jnp.maximum(1 - decay, 1 / (state.step + 2))
  return optax.incremental_update(params, state.average, share)


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
