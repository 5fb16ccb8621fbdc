"""What is compiled: the start, the step, the evaluation, the comparison.

Each is one program for all groups with the same network, data and number of
runs: a run's seed and task weights are data.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from imat_jax import config, tasks
from imat_jax.data import input_pipeline
from imat_jax.models import trunk
from imat_jax.models.network import Network
from imat_jax.training import (
  gradient_similarity,
  inputs,
  metrics,
  sharding,
  state,
  step,
)
from imat_jax.training.checkpoint import Checkpoint
from imat_jax.training.ensemble import Ensemble, vmap_runs
from imat_jax.training.history import History

Score = Callable[
  [dict, input_pipeline.Batch], tuple[metrics.Metrics, step.Predictions]
]


def start(group: Ensemble) -> Checkpoint:
  """The runs before their first step."""
  return Checkpoint(*_start_of(group)(*_rows(group)), _new_courses(group))


def start_shapes(group: Ensemble) -> Checkpoint:
  """The shapes and types of `start`'s arrays."""
  shapes = jax.eval_shape(_start_of(group), *_rows(group))
  return Checkpoint(*shapes, _new_courses(group))


def update(group: Ensemble) -> Callable:
  """The jitted step: (state, metrics, active_R, feed) → (state, metrics).

  The metrics are those so far. A run that is not active stays as it is.
  """
  training = group.training
  return _update(
    group.model, group.task_set, training.optimizer, training.augmentation
  )


def score(group: Ensemble) -> Score:
  """The jitted evaluation: (params, batch) → (metrics, guesses)."""
  return _score(group.model, group.task_set)


def logits(group: Ensemble) -> Callable:
  """The jitted network: (params, batch) → logits, R × B × T × K."""
  return _logits(group.model, group.task_set)


def compare(group: Ensemble) -> Callable:
  """The jitted comparison of gradients: (checkpoint, feed) → cosines."""
  return _compare(group.model, group.task_set, group.training.augmentation)


def seen(group: Ensemble, number: int) -> Callable:
  """What the first run's network sees: (state, feed) → photos of its batch."""
  training = group.training
  return _seen(group.model.geometry, training.augmentation, number)


@functools.cache
def _update(
  model: config.Model,
  task_set: tasks.TaskSet,
  optimizer: config.Optimizer,
  augmentation: config.Augmentation,
) -> Callable:
  network, adam = Network(model, task_set), state.optimizer(optimizer)
  side = trunk.image_side(model.geometry)

  def of_run(now, so_far, active, shared, own):
    batch = inputs.to_batch(shared, own, now, side, augmentation)
    after, found = step.train_step(network, adam, now, batch)
    after = jax.tree.map(functools.partial(jnp.where, active), after, now)
    return after, metrics.merge(so_far, found)

  of_runs = vmap_runs(of_run, (0, 0, 0, None, 0))

  def update(now, so_far, active_R, fed):
    found = of_runs(now, so_far, active_R, fed.shared, fed.own)
    return sharding.constrain_replicated(found)

  return jax.jit(update, donate_argnums=0)


@functools.cache
def _score(model: config.Model, task_set: tasks.TaskSet) -> Score:
  of_run = functools.partial(step.eval_step, Network(model, task_set))
  of_runs = vmap_runs(of_run, (0, None))
  return jax.jit(lambda *given: sharding.constrain_replicated(of_runs(*given)))


@functools.cache
def _logits(model: config.Model, task_set: tasks.TaskSet) -> Callable:
  of_run = functools.partial(step.logits, Network(model, task_set))
  of_runs = vmap_runs(of_run, (0, None))
  return jax.jit(lambda *given: sharding.constrain_replicated(of_runs(*given)))


@functools.cache
def _compare(
  model: config.Model,
  task_set: tasks.TaskSet,
  augmentation: config.Augmentation,
) -> Callable:
  network = Network(model, task_set)
  side = trunk.image_side(model.geometry)

  def of_run(so_far, now, shared, own):
    batch = inputs.to_batch(shared, own, now, side, augmentation)
    return gradient_similarity.add(network, so_far, now, batch)

  of_runs = vmap_runs(of_run, (0, 0, None, 0))
  jitted = jax.jit(
    lambda *given: sharding.constrain_replicated(of_runs(*given))
  )
  return lambda here, fed: jitted(here.cosines, here.state, fed.shared, fed.own)


@functools.cache
def _seen(
  geometry: str, augmentation: config.Augmentation, number: int
) -> Callable:
  side = trunk.image_side(geometry)

  def of_run(now, shared, own):
    batch = inputs.to_batch(shared, own, now, side, augmentation)
    return jax.tree.map(lambda x: x[:number], batch)

  of_runs = vmap_runs(of_run, (0, None, 0))

  def seen(now, fed):
    found = of_runs(now, fed.shared, fed.own)
    return sharding.constrain_replicated(jax.tree.map(lambda x: x[0], found))

  return jax.jit(seen)


@jax.jit
def keep(better_R: jax.Array, params: dict, best_params: dict) -> dict:
  """The new parameters of the runs that are better, the best of the others."""

  def of_run(better, new, old):
    return jax.tree.map(functools.partial(jnp.where, better), new, old)

  return jax.vmap(of_run)(better_R, params, best_params)


def _start_of(group: Ensemble) -> Callable:
  return _start(group.model, group.task_set, group.training.optimizer)


@functools.cache
def _start(
  model: config.Model, task_set: tasks.TaskSet, optimizer: config.Optimizer
) -> Callable:
  def of_run(seed, weight_T):
    first = state.create(model, optimizer, task_set, seed, weight_T)
    sums = metrics.zeros(task_set), gradient_similarity.zeros(len(task_set))
    return first, first.params, *sums

  return jax.jit(vmap_runs(of_run, (0, 0)))


def _rows(group: Ensemble) -> tuple[np.ndarray, np.ndarray]:
  """In what the runs of a group differ."""
  return group.seed_R, group.weight_RxT


def _new_courses(group: Ensemble) -> tuple[History, ...]:
  return (History(),) * len(group)
