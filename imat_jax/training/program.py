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
from imat_jax.data import pipeline
from imat_jax.models import heads, trunk
from imat_jax.training import affinity, feed, mesh, metrics, state, step
from imat_jax.training.checkpoint import Checkpoint
from imat_jax.training.course import Course
from imat_jax.training.group import Group, over_runs

Score = Callable[[dict, pipeline.Batch], tuple[metrics.Metrics, step.Guesses]]


def start(group: Group) -> Checkpoint:
  """The runs before their first step."""
  return Checkpoint(*_start_of(group)(*_rows(group)), _new_courses(group))


def start_shapes(group: Group) -> Checkpoint:
  """The shapes and types of `start`'s arrays."""
  shapes = jax.eval_shape(_start_of(group), *_rows(group))
  return Checkpoint(*shapes, _new_courses(group))


def update(group: Group) -> Callable:
  """The jitted step: (state, metrics, active_R, feed) → (state, metrics).

  The metrics are those so far. A run that is not active stays as it is.
  """
  training = group.training
  return _update(
    group.model, group.task_set, training.optimizer, training.augmentation
  )


def score(group: Group) -> Score:
  """The jitted evaluation: (params, batch) → (metrics, guesses)."""
  return _score(group.model, group.task_set)


def logits(group: Group) -> Callable:
  """The jitted network: (params, batch) → logits, R × B × T × K."""
  return _logits(group.model, group.task_set)


def compare(group: Group) -> Callable:
  """The jitted comparison of gradients: (checkpoint, feed) → cosines."""
  return _compare(group.model, group.task_set, group.training.augmentation)


def seen(group: Group, number: int) -> Callable:
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
  network, adam = heads.Network(model, task_set), state.optimizer(optimizer)
  side = trunk.image_side(model.geometry)

  def of_run(now, so_far, active, shared, own):
    batch = feed.to_batch(shared, own, now, side, augmentation)
    after, found = step.train_step(network, adam, now, batch)
    after = jax.tree.map(functools.partial(jnp.where, active), after, now)
    return after, metrics.merge(so_far, found)

  of_runs = over_runs(of_run, (0, 0, 0, None, 0))

  def update(now, so_far, active_R, fed):
    found = of_runs(now, so_far, active_R, fed.shared, fed.own)
    return mesh.on_each_inside(found)

  return jax.jit(update, donate_argnums=0)


@functools.cache
def _score(model: config.Model, task_set: tasks.TaskSet) -> Score:
  of_run = functools.partial(step.eval_step, heads.Network(model, task_set))
  of_runs = over_runs(of_run, (0, None))
  return jax.jit(lambda *given: mesh.on_each_inside(of_runs(*given)))


@functools.cache
def _logits(model: config.Model, task_set: tasks.TaskSet) -> Callable:
  of_run = functools.partial(step.logits, heads.Network(model, task_set))
  of_runs = over_runs(of_run, (0, None))
  return jax.jit(lambda *given: mesh.on_each_inside(of_runs(*given)))


@functools.cache
def _compare(
  model: config.Model,
  task_set: tasks.TaskSet,
  augmentation: config.Augmentation,
) -> Callable:
  network = heads.Network(model, task_set)
  side = trunk.image_side(model.geometry)

  def of_run(so_far, now, shared, own):
    batch = feed.to_batch(shared, own, now, side, augmentation)
    return affinity.add(network, so_far, now, batch)

  of_runs = over_runs(of_run, (0, 0, None, 0))
  jitted = jax.jit(lambda *given: mesh.on_each_inside(of_runs(*given)))
  return lambda here, fed: jitted(here.cosines, here.state, fed.shared, fed.own)


@functools.cache
def _seen(
  geometry: str, augmentation: config.Augmentation, number: int
) -> Callable:
  side = trunk.image_side(geometry)

  def of_run(now, shared, own):
    batch = feed.to_batch(shared, own, now, side, augmentation)
    return jax.tree.map(lambda x: x[:number], batch)

  of_runs = over_runs(of_run, (0, None, 0))

  def seen(now, fed):
    found = of_runs(now, fed.shared, fed.own)
    return mesh.on_each_inside(jax.tree.map(lambda x: x[0], found))

  return jax.jit(seen)


@jax.jit
def keep(better_R: jax.Array, params: dict, best_params: dict) -> dict:
  """The new parameters of the runs that are better, the best of the others."""

  def of_run(better, new, old):
    return jax.tree.map(functools.partial(jnp.where, better), new, old)

  return jax.vmap(of_run)(better_R, params, best_params)


def _start_of(group: Group) -> Callable:
  return _start(group.model, group.task_set, group.training.optimizer)


@functools.cache
def _start(
  model: config.Model, task_set: tasks.TaskSet, optimizer: config.Optimizer
) -> Callable:
  def of_run(seed, weight_T):
    first = state.create(model, optimizer, task_set, seed, weight_T)
    sums = metrics.zeros(task_set), affinity.zeros(len(task_set))
    return first, first.params, *sums

  return jax.jit(over_runs(of_run, (0, 0)))


def _rows(group: Group) -> tuple[np.ndarray, np.ndarray]:
  """In what the runs of a group differ."""
  return group.seed_R, group.weight_RxT


def _new_courses(group: Group) -> tuple[Course, ...]:
  return (Course(),) * len(group)
