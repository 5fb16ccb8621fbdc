"""The state of a run: one frozen pytree."""

import jax
import jax.numpy as jnp
import optax
from flax import struct

from imat_jax import config, tasks
from imat_jax.models import trunk
from imat_jax.models.network import Network
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


def create(
  model: config.Model,
  knobs: config.Optimizer,
  task_set: tasks.TaskSet,
  seed: jax.Array,
  weight_T: jax.Array,
) -> TrainState:
  """The state at step 0.

  Args:
    model, task_set: the network.
    knobs: of Adam.
    seed: a uint32 number.
    weight_T: the weight of each task in the loss.
  """
  side = trunk.image_side(model.geometry)
  params = Network(model, task_set).init(
    rng.key(seed, 'params'), jnp.zeros((1, side, side, 3)), deterministic=True
  )['params']
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    seed=jnp.asarray(seed, jnp.uint32),
    weight_T=jnp.asarray(weight_T, jnp.float32),
    params=params,
    opt_state=optimizer(knobs).init(params),
  )
