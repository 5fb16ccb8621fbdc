"""The state of a run: one frozen pytree."""

import jax
import jax.numpy as jnp
import optax
from flax import struct

from imat_jax import config, tasks
from imat_jax.models import heads, trunk
from imat_jax.training import rng


@struct.dataclass
class TrainState:
  """All that a step reads and changes.

  The seed and the task weights are data, so that runs with other seeds and task
  sets are other values of one program.
  """

  step: jax.Array
  seed: jax.Array
  weight_T: jax.Array
  params: dict
  opt_state: optax.OptState


def optimizer(knobs: config.Optimizer) -> optax.GradientTransformation:
  """The report's Adam."""
  return optax.adam(
    knobs.learning_rate, knobs.adam_b1, knobs.adam_b2, knobs.adam_epsilon
  )


def create(run: config.Run, task_set: tasks.TaskSet) -> TrainState:
  """The state at step 0."""
  side = trunk.image_side(run.model.geometry)
  params = heads.Network(run.model, task_set).init(
    rng.key(run.seed, 'params'),
    jnp.zeros((1, side, side, 3)),
    deterministic=True,
  )['params']
  weights = tasks.weights(len(task_set), run.task_weight_decay)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    seed=jnp.asarray(run.seed, jnp.uint32),
    weight_T=jnp.asarray(weights, jnp.float32),
    params=params,
    opt_state=optimizer(run.optimizer).init(params),
  )
