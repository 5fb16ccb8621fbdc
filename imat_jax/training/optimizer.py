"""The optimizer that a config describes."""

from typing import Any

import jax
import optax

from imat_jax import config
from imat_jax.models.trunks import Trunk


def make(
  optimizer: config.Optimizer, trunk: Trunk, num_steps: int
) -> optax.GradientTransformation:
  """The update of the parameters.

  Args:
    optimizer: its options; the defaults are the paper's Adam.
    trunk: tells which of its parameters are trained.
    num_steps: of the whole run, over which a schedule stretches.
  """
  parts, num_updates = [], num_steps // optimizer.accumulation
  if optimizer.clip_norm:
    parts.append(optax.clip_by_global_norm(optimizer.clip_norm))
  if optimizer.update_rule == 'sgd':
    parts.append(optax.trace(optimizer.adam_b1, nesterov=True))
  else:
    # optax's default epsilon is 1e-8, Keras's and so the paper's 1e-7.
    parts.append(
      optax.scale_by_adam(
        optimizer.adam_b1, optimizer.adam_b2, optimizer.adam_epsilon
      )
    )
  if optimizer.weight_decay:
    # Behind the rule, so decoupled from it (Loshchilov and Hutter, "Decoupled
    # weight decay regularization", 2019).
    parts.append(optax.add_decayed_weights(optimizer.weight_decay, _is_kernel))
  parts.append(optax.scale_by_learning_rate(_schedule(optimizer, num_updates)))
  if optimizer.trunk_factor != 1 or not trunk.trains_all:
    parts.append(_for_trunk(trunk, optimizer.trunk_factor))
  update = optax.chain(*parts)
  if optimizer.pruning.sparsity:
    from imat_jax.training import pruning  # here: few runs prune

    update = pruning.pruned(update, optimizer.pruning, trunk, num_updates)
  if optimizer.accumulation == 1:
    return update
  return optax.MultiSteps(
    update, optimizer.accumulation
  ).gradient_transformation()


def _schedule(
  optimizer: config.Optimizer, num_updates: int
) -> float | optax.Schedule:
  """The step size, or its function of the number of the update."""
  size = optimizer.learning_rate
  if not optimizer.needs_num_steps:
    return size
  rising = round(optimizer.warmup * num_updates)
  if optimizer.schedule == 'cosine':
    after = optax.cosine_decay_schedule(size, max(1, num_updates - rising))
  else:
    after = optax.constant_schedule(size)
  before = optax.linear_schedule(0, size, max(1, rising))
  return optax.join_schedules([before, after], [rising])


def _for_trunk(trunk: Trunk, factor: float) -> optax.GradientTransformation:
  """Scales the updates of the trunk; those of its frozen parts are 0."""

  def scale(path: tuple, update: jax.Array) -> jax.Array:
    if path[0].key != 'trunk':
      return update
    return update * factor if trunk.trains(path[1].key) else 0 * update

  return optax.stateless(
    lambda updates, _: jax.tree.map_with_path(scale, updates)
  )


def _is_kernel(params: dict[str, Any]) -> dict[str, Any]:
  """Which parameters decay: biases and the scales of norms do not."""
  return jax.tree.map_with_path(
    lambda path, _: path[-1].key == 'kernel', params
  )
