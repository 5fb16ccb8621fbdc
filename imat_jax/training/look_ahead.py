"""Would another task help the first? Looks one step ahead.

Of each other task: by how much the optimizer's next step lowers the first
task's loss on validation photos more with the task than without it. The losses
are plain cross entropies, whatever the recipe smooths, mixes or weighs. Fifty
et al., "Efficiently identifying task groupings for multi-task learning" (2021),
ask what a plain gradient step on the other task alone does on train photos;
`loss_after` tells that, too. `benchmarks/task_choice.py` compares them with
what whole trainings gain.
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
  one_hot_TxT = jnp.eye(len(state.weight_T))
  # Row 0 is the first task alone, row t the first and t.
  weight_TxT = jnp.maximum(one_hot_TxT[:1], one_hot_TxT) * state.weight_T[None]
  after_T = loss_after(network, optimizer, state, batch, held_out, weight_TxT)
  labelled_T = (batch.label_BxT >= 0).any(0) & (one_hot_TxT[0] == 0)
  return jnp.where(labelled_T, (after_T[0] - after_T) / after_T[0], jnp.nan)


def loss_after(
  network: nn.Module,
  optimizer: optax.GradientTransformation,
  state: TrainState,
  batch: Batch,
  held_out: Batch,
  weight_LxT: jax.Array,
) -> jax.Array:
  """The first task's loss on other photos after each of L steps, L.

  Args:
    network, optimizer, state, batch, held_out: as in `gain`.
    weight_LxT: the tasks' weights in each step's loss.

  Returns:
    nats; NaN where none of `held_out` has a label of the first task.
  """

  def loss_of(params):
    logits_BxTxK, _ = gradients.forward(
      network, state, params, batch.image_BxHxWxC
    )
    return losses.masked_cross_entropy(logits_BxTxK, batch.label_BxT).value_T()

  _, pull_back = jax.vjp(loss_of, state.params)

  def after(weight_T):
    (gradient,) = pull_back(weight_T)
    update, _ = optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, update)
    variables = {'params': params, **state.collections}
    logits_BxTxK = evaluation.logits(network, variables, held_out)
    loss = losses.masked_cross_entropy(logits_BxTxK, held_out.label_BxT)
    return loss.sum_T[0] / loss.weight_T[0]  # NaN without a label

  return jax.lax.map(after, weight_LxT)
