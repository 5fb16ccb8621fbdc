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
  class_weight_TxK: jax.Array | None = None,
) -> tuple[TrainState, metrics.Metrics]:
  """One update on the weighted, masked multi-task loss.

  Args:
    network: gives logits, B × T × K.
    optimizer: `optimizer.make` of the recipe's.
    recipe: the multi-task method, the loss, how photos are mixed, and whether
      parameters are averaged.
    state: before the update.
    batch: augmented photos.
    class_weight_TxK: of each label in its task's loss; None for all the same.

  Returns:
    the next state, and the batch's metrics as the network saw it, with dropout,
    before the update.
  """

  image_BxHxWxC, loss_of = losses.objective(
    recipe, state, batch, class_weight_TxK
  )
  strategy = recipe.strategy
  compute = (
    gradients.with_gramian if strategy.gradients_at else gradients.of_sum
  )
  result = compute(network, strategy, loss_of, state, image_BxHxWxC)
  update, opt_state = optimizer.update(
    result.gradient, state.opt_state, state.params
  )
  params = optax.apply_updates(state.params, update)
  next_state = state.replace(
    step=state.step + 1,
    params=params,
    average=_averaged(recipe.optimizer, state, params, opt_state),
    collections=result.collections,
    opt_state=opt_state,
    strategy=result.strategy,
  )
  # Of the network before the update, which the forward pass has given anyway.
  sums = metrics.from_batch(result.logits_BxTxK, result.loss, batch.label_BxT)
  nonfinite_T = sums.nonfinite_T | nonfinite_gradients(result.gradient)
  return next_state, sums.replace(nonfinite_T=nonfinite_T)


def _averaged(
  optimizer: 'config.Optimizer',
  state: TrainState,
  params: dict[str, Any],
  opt_state: optax.OptState,
) -> dict[str, Any]:
  """The running mean with the next parameters; of few updates a plain mean."""
  if not optimizer.average:
    return state.average
  updates, rest = jnp.divmod(state.step + 1, optimizer.accumulation)
  # The first parameters count like those after an update.
  share = jnp.maximum(1 - optimizer.average, 1 / (updates + 1))
  share = jnp.where(rest == 0, share, 0)
  average = optax.incremental_update(params, state.average, share)
  if not optimizer.pruning.sparsity:
    return average
  # Else a pruned weight would fade, and never be 0.
  mask = optax.tree_utils.tree_get(opt_state, 'mask')
  return jax.tree.map(lambda a, m: jnp.where(m, a, 0), average, mask)


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
