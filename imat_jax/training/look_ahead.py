"""Would another task help the first? Looks one step ahead.

Of each other task: by how much the optimizer's next step lowers the first
task's loss on validation photos more with the task than without it. The losses
are plain cross entropies, whatever the recipe smooths, mixes or weighs. Fifty
et al., "Efficiently identifying task groupings for multi-task learning" (2021),
ask the same of train photos and a plain gradient step.
"""

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from imat_jax.data.types import Batch
from imat_jax.training import evaluation, gradients, losses
from imat_jax.training.state import TrainState


def gain(
  network: nn.Module,
  optimizer: optax.GradientTransformation,
  state: TrainState,
  batch: Batch,
  held_out: Batch,
) -> jax.Array:
  """The share of the first task's validation loss that each task saves, T.

  Args:
    network: gives logits, B × T × K.
    optimizer: of the run; its state stays as it is.
    state: before the step.
    batch: of the step.
    held_out: validation photos.

  Returns:
    (loss after a step on the first task - loss after one on both) / the former;
    NaN for the first task, for one without a label in the batch, and for all
    where no validation photo has a label of the first.
  """

  def loss_of(params):
    logits_BxTxK, _ = gradients.forward(
      network, state, params, batch.image_BxHxWxC
    )
    return losses.masked_cross_entropy(logits_BxTxK, batch.label_BxT).value_T()

  loss_T, pull_back = jax.vjp(loss_of, state.params)
  first_T = jnp.arange(len(loss_T)) == 0

  def loss_after(task_T):
    (gradient,) = pull_back((first_T | task_T) * state.weight_T)
    update, _ = optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, update)
    variables = {'params': params, **state.collections}
    logits_BxTxK = evaluation.logits(network, variables, held_out)
    loss = losses.masked_cross_entropy(logits_BxTxK, held_out.label_BxT)
    return loss.sum_T[0] / loss.weight_T[0]  # NaN without a label

  after_T = jax.lax.map(loss_after, jnp.eye(len(loss_T), dtype=bool))
  labelled_T = (batch.label_BxT >= 0).any(0) & ~first_T
  return jnp.where(labelled_T, (after_T[0] - after_T) / after_T[0], jnp.nan)
