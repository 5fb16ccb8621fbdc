"""The gradient of a batch's loss, under the weights that a strategy gives.

`of_sum` differentiates the weighted sum. `with_gramian` also finds how the
tasks' gradients lie to each other. At the features that takes one pass back
through the trunk, still: each head gets a copy of the features, so that one
gradient of the plain sum of the losses has every task's gradient on its copy
(Sener and Koltun, "Multi-task learning as multi-objective optimization", 2018,
section 3.3). At the trunk's parameters it takes a pass for each task.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from imat_jax.strategies import Evidence, State, Strategy
from imat_jax.training import losses, rng
from imat_jax.training.state import TrainState


class Result(NamedTuple):
  """What one batch gives.

  Attributes:
    gradient: of the weighted sum of the losses, like the parameters.
    logits_BxTxK: as the network saw the batch, with dropout.
    loss: per task.
    strategy: the strategy's next state.
    collections: the network's next ones.
  """

  gradient: dict[str, Any]
  logits_BxTxK: jax.Array
  loss: losses.Mean
  strategy: State
  collections: dict[str, Any]


def of_sum(
  network: nn.Module,
  strategy: Strategy,
  loss_of: losses.LossOf,
  state: TrainState,
  image_BxHxWxC: jax.Array,
) -> Result:
  """For a strategy that needs no Gramian."""

  def total_of(params):
    logits_BxTxK, collections = forward(network, state, params, image_BxHxWxC)
    loss = loss_of(logits_BxTxK)
    weight_T, next_strategy = _weights(strategy, state, loss, None)
    total = losses.weighted_sum(loss, weight_T)
    return total, (logits_BxTxK, loss, next_strategy, collections)

  gradient, rest = jax.grad(total_of, has_aux=True)(state.params)
  return Result(gradient, *rest)


def with_gramian(
  network: nn.Module,
  strategy: Strategy,
  loss_of: losses.LossOf,
  state: TrainState,
  image_BxHxWxC: jax.Array,
) -> Result:
  """For a strategy that needs the Gramian of the tasks' gradients."""
  head_params = {'heads': state.params['heads']}
  trunk_params = {n: p for n, p in state.params.items() if n != 'heads'}

  def features_of(trunk_params):
    params = trunk_params | head_params
    return forward(network, state, params, image_BxHxWxC, 'features')

  def losses_of(head_params, feature_BxTxD):
    variables = {'params': trunk_params | head_params}
    logits_BxTxK = network.apply(variables, feature_BxTxD, method='classify')
    loss = loss_of(logits_BxTxK)
    return loss.value_T().sum(), (logits_BxTxK, loss)

  # One pass forward through the trunk; `pull_back` is the pass back.
  feature_BxD, pull_back, collections = jax.vjp(
    features_of, trunk_params, has_aux=True
  )
  batch_size, width = feature_BxD.shape
  copies = batch_size, len(state.weight_T), width
  feature_BxTxD = jnp.broadcast_to(feature_BxD[:, None], copies)
  # Head t reads copy t alone: the gradient of the plain sum of the losses has
  # each head's own gradient, and each task's on its copy.
  (head_gradient, gradient_BxTxD), (logits_BxTxK, loss) = jax.grad(
    losses_of, argnums=(0, 1), has_aux=True
  )(head_params, feature_BxTxD)
  # By task, T in front: an array at the features, a tree of them at the trunk.
  by_task = gradient_BxTxD.swapaxes(0, 1)
  if strategy.gradients_at == 'trunk':
    # In turn: all at once take no less time, and several times the memory.
    (by_task,) = jax.lax.map(pull_back, by_task)
  gramian_TxT = _gramian(by_task, len(state.weight_T))
  weight_T, next_strategy = _weights(strategy, state, loss, gramian_TxT)
  head_gradient = jax.tree.map(
    lambda leaf: jnp.einsum('t,...tw->...tw', weight_T, leaf), head_gradient
  )
  weighted = jax.tree.map(
    lambda leaf: jnp.einsum('t,t...->...', weight_T, leaf), by_task
  )
  trunk_gradient = weighted
  if strategy.gradients_at == 'features':
    (trunk_gradient,) = pull_back(weighted)
  gradient = trunk_gradient | head_gradient
  return Result(gradient, logits_BxTxK, loss, next_strategy, collections)


def forward(
  network: nn.Module,
  state: TrainState,
  params: dict[str, Any],
  image_BxHxWxC: jax.Array,
  method: str | None = None,
) -> tuple[jax.Array, dict[str, Any]]:
  """What the network makes of a batch in training, and its next collections."""
  # A function of (seed, step): a resumed step drops the same features.
  return network.apply(
    {'params': network.model.trunk.held(params), **state.collections},
    image_BxHxWxC,
    deterministic=False,
    rngs={'dropout': rng.key(state.seed, 'dropout', state.step)},
    mutable=list(state.collections),
    method=method,
  )


def _gramian(gradients: Any, num_tasks: int) -> jax.Array:
  """The products of gradients: a tree of arrays, all with T in front."""
  total_TxT = jnp.zeros((num_tasks, num_tasks))  # of a trunk without parameters
  for leaf in jax.tree.leaves(gradients):
    leaf_TxP = leaf.reshape(num_tasks, -1)
    # Of small numbers: the default precision of a GPU or TPU loses them.
    total_TxT += jnp.dot(leaf_TxP, leaf_TxP.T, precision='highest')
  return total_TxT


def _weights(
  strategy: Strategy,
  state: TrainState,
  loss: losses.Mean,
  gramian_TxT: jax.Array | None,
) -> tuple[jax.Array, State]:
  # Tasks of other runs of a study are in the batch, but not of this run.
  own_T = (state.weight_T > 0).astype(loss.weight_T.dtype)
  if gramian_TxT is not None:
    gramian_TxT = gramian_TxT * own_T[:, None] * own_T[None]
  evidence = Evidence(
    loss_T=loss.value_T() * own_T,
    count_T=loss.weight_T * own_T,
    weight_T=state.weight_T,
    gramian_TxT=gramian_TxT,
    key=rng.key(state.seed, 'strategy', state.step),
  )
  # The weights are constants of this step: no gradient flows through them.
  evidence = jax.lax.stop_gradient(evidence)
  given = strategy.update(evidence, state.strategy)
  return strategy.checked(given, evidence, state.strategy)
