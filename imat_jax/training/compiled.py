"""What is compiled: the first state, the step, the evaluation, and the like.

Each is one program for all ensembles with the same network, data and number of
runs: a run's seed and task weights are data, R in front. The functions of one
run are in `step`; here they are vmapped, jitted and kept.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from imat_jax import config, tasks
from imat_jax.data.types import Batch
from imat_jax.models import pretrained
from imat_jax.models.network import Network, trained_input
from imat_jax.strategies import Strategy
from imat_jax.training import (
  evaluation,
  gradient_similarity,
  metrics,
  optimizer,
  sharding,
  step,
)
from imat_jax.training.checkpoint import Checkpoint
from imat_jax.training.ensemble import Ensemble, vmap_runs
from imat_jax.training.evaluation import Predictions
from imat_jax.training.history import History
from imat_jax.training.inputs import STEP_INPUT_AXES, StepInput
from imat_jax.training.metrics import Metrics
from imat_jax.training.state import TrainState, create

TrainStep = Callable[
  [TrainState, Metrics, StepInput], tuple[TrainState, Metrics]
]
EvalStep = Callable[[dict[str, Any], Batch], tuple[Metrics, Predictions]]


def fresh(
  ensemble: Ensemble, variables: dict[str, Any] | None = None
) -> Checkpoint:
  """The runs before their first step.

  Args:
    ensemble: the runs.
    variables: of a trained network, from which all of them start; None for
      drawn ones, or those that the trunk has from others.
  """
  first, _, *sums = _fresh_of(ensemble)(ensemble.seed_R, ensemble.weight_RxT)
  trunk = ensemble.model.trunk
  params, collections = {}, first.collections
  if variables:
    given = pretrained.as_runs(variables, len(ensemble))
    params = {name: given['params'][name] for name in first.params}
    collections = {name: given[name] for name in collections}
  elif trunk.pretrained and not trunk.is_frozen:
    params['trunk'] = pretrained.as_runs(
      pretrained.params(trunk), len(ensemble)
    )
  if params:
    params = first.params | params
    average = first.average and params
    first = first.replace(
      params=params, average=average, collections=collections
    )
  return Checkpoint(first, first.variables, *sums, (History(),) * len(ensemble))


def jit_once(function: Callable) -> Callable:
  """`jax.jit` for a program that runs once, such as one of random numbers.

  LLVM's full effort would take seconds, for the same numbers.
  """
  on_cpu = jax.default_backend() == 'cpu'
  options = {'xla_backend_optimization_level': 1} if on_cpu else None
  return jax.jit(function, compiler_options=options)


def fresh_shapes(ensemble: Ensemble) -> Checkpoint:
  """The shapes and types of the arrays of `fresh`."""
  shapes = jax.eval_shape(
    _fresh_of(ensemble), ensemble.seed_R, ensemble.weight_RxT
  )
  return Checkpoint(*shapes, (History(),) * len(ensemble))


def train_step(ensemble: Ensemble, steps_per_epoch: int = 1) -> TrainStep:
  """The jitted step: (state, metrics, input) → (state, metrics).

  The metrics are running sums. A run that is not active stays as it is. A
  schedule of the step size needs to know how many steps an epoch has.
  """
  recipe = ensemble.training.recipe
  num_steps = _num_steps(ensemble, steps_per_epoch)
  return _train_step(ensemble.model, ensemble.task_set, recipe, num_steps)


def _num_steps(ensemble: Ensemble, steps_per_epoch: int) -> int:
  """Of the whole run; 0 where no step depends on it."""
  # Else runs of other lengths are another program for nothing.
  if not ensemble.training.optimizer.needs_num_steps:
    return 0
  return steps_per_epoch * ensemble.training.epochs


def eval_step(ensemble: Ensemble) -> EvalStep:
  """The jitted evaluation: (variables, batch) → (metrics, predictions)."""
  return _eval_step(ensemble.model, ensemble.task_set)


def logits(ensemble: Ensemble) -> Callable[[dict[str, Any], Batch], jax.Array]:
  """The jitted network: (variables, batch) → logits, R × B × T × K."""
  return _logits(ensemble.model, ensemble.task_set)


def compare_gradients(ensemble: Ensemble) -> Callable:
  """The jitted comparison: (cosines, state, input) → cosines."""
  return _compare_gradients(
    ensemble.model, ensemble.task_set, ensemble.training.augmentation
  )


def look_ahead(ensemble: Ensemble, steps_per_epoch: int) -> Callable:
  """The jitted `look_ahead.gain`: (state, input, validation batch) → R × T."""
  recipe = ensemble.training.recipe
  num_steps = _num_steps(ensemble, steps_per_epoch)
  return _look_ahead(ensemble.model, ensemble.task_set, recipe, num_steps)


def seen_photos(ensemble: Ensemble, number: int) -> Callable:
  """What the first run's network sees: (state, input) → part of its batch."""
  return _seen_photos(
    ensemble.model.trunk.shape,
    ensemble.task_set,
    ensemble.training.augmentation,
    number,
  )


# Cached by configs, which are frozen: two ensembles of a study with the same
# network share one compiled program.
@functools.cache
def _train_step(
  model: config.Model,
  task_set: tasks.TaskSet,
  recipe: config.Recipe,
  num_steps: int,
) -> TrainStep:
  network = Network(model, task_set)
  transformation = optimizer.make(recipe.optimizer, model.trunk, num_steps)
  shape = model.trunk.shape

  def of_run(state, sums, step_input):
    batch = step_input.batch(state, shape, recipe.augmentation, task_set)
    next_state, of_batch = step.train_step(
      *(network, transformation, recipe, state, batch),
      step_input.class_weight_TxK,
    )
    after = next_state, metrics.merge(sums, of_batch)
    # A run that stopped early takes the step of the others, for nothing.
    return jax.tree.map(
      functools.partial(jnp.where, state.active), after, (state, sums)
    )

  # The new state takes the memory of the old one; the sums do not, as the loop
  # still reads those before this step.
  return _jitted(vmap_runs(of_run, (0, 0, STEP_INPUT_AXES)), donate_argnums=0)


@functools.cache
def _eval_step(model: config.Model, task_set: tasks.TaskSet) -> EvalStep:
  of_run = functools.partial(evaluation.eval_step, Network(model, task_set))
  return _jitted(vmap_runs(of_run, (0, None)))


@functools.cache
def _logits(model: config.Model, task_set: tasks.TaskSet) -> Callable:
  of_run = functools.partial(evaluation.logits, Network(model, task_set))
  return _jitted(vmap_runs(of_run, (0, None)))


@functools.cache
def _compare_gradients(
  model: config.Model,
  task_set: tasks.TaskSet,
  augmentation: config.Augmentation,
) -> Callable:
  network = Network(model, task_set)
  shape = model.trunk.shape

  def of_run(cosines, state, step_input):
    batch = step_input.batch(state, shape, augmentation, task_set)
    return gradient_similarity.add(network, cosines, state, batch)

  return _jitted(vmap_runs(of_run, (0, 0, STEP_INPUT_AXES)))


@functools.cache
def _look_ahead(
  model: config.Model,
  task_set: tasks.TaskSet,
  recipe: config.Recipe,
  num_steps: int,
) -> Callable:
  from imat_jax.training import look_ahead  # here: few runs look ahead

  network = Network(model, task_set)
  transformation = optimizer.make(recipe.optimizer, model.trunk, num_steps)

  def of_run(state, step_input, held_out):
    batch = step_input.batch(
      state, model.trunk.shape, recipe.augmentation, task_set
    )
    return look_ahead.gain(network, transformation, state, batch, held_out)

  return _jitted(vmap_runs(of_run, (0, STEP_INPUT_AXES, None)))


@functools.cache
def _seen_photos(
  shape: tuple[int, int],
  task_set: tasks.TaskSet,
  augmentation: config.Augmentation,
  number: int,
) -> Callable:
  def of_run(state, step_input):
    batch = step_input.batch(state, shape, augmentation, task_set)
    return jax.tree.map(lambda x: x[:number], batch)

  of_runs = vmap_runs(of_run, (0, STEP_INPUT_AXES))
  return _jitted(
    lambda *arguments: jax.tree.map(lambda x_R: x_R[0], of_runs(*arguments))
  )


def _jitted(function: Callable, **options: Any) -> Callable:
  """Jitted; replicated, as each process reads its own copy of all results."""
  return jax.jit(
    lambda *arguments: sharding.constrain_replicated(function(*arguments)),
    **options,
  )


@jax.jit
def keep_best(
  better_R: jax.Array, variables: dict[str, Any], best: dict[str, Any]
) -> dict[str, Any]:
  """The new variables of the runs that are better, the best of the others."""

  def of_run(better, new, best):
    return jax.tree.map(functools.partial(jnp.where, better), new, best)

  return vmap_runs(of_run, (0, 0, 0))(better_R, variables, best)


def _fresh_of(ensemble: Ensemble) -> Callable:
  training = ensemble.training
  return _fresh(
    *(ensemble.model, ensemble.task_set),
    *(training.strategy, training.optimizer),
  )


@functools.cache
def _fresh(
  model: config.Model,
  task_set: tasks.TaskSet,
  strategy: Strategy,
  update: config.Optimizer,
) -> Callable:
  network = Network(model, task_set)
  # The schedule's length is no part of the state.
  transformation = optimizer.make(update, model.trunk, num_steps=1)

  def of_run(seed, weight_T):
    first = create(
      *(network, transformation, strategy),
      *(trained_input(model.trunk), seed, weight_T),
      averages=update.average > 0,
    )
    sums = (
      metrics.zeros(len(task_set), task_set.most_labels),
      gradient_similarity.zeros(len(task_set)),
    )
    return first, first.variables, *sums

  return jit_once(vmap_runs(of_run, (0, 0)))
