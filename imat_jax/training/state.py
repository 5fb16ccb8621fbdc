"""The state of a run: one frozen pytree."""

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from imat_jax.strategies import State, Strategy
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
  strategy: State


def create(
  network: nn.Module,
  optimizer: optax.GradientTransformation,
  strategy: Strategy,
  image_BxHxWxC: jax.Array,
  seed: jax.Array,
  weight_T: jax.Array,
) -> TrainState:
  """The state at step 0.

  Args:
    network: gives logits, B × T × K.
    optimizer: of its parameters.
    strategy: the multi-task method.
    image_BxHxWxC: any picture of the size that it takes.
    seed: a uint32 number.
    weight_T: the weight of each task in the loss.
  """
  params = network.init(
    rng.key(seed, 'params'), image_BxHxWxC, deterministic=True
  )['params']
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    seed=jnp.asarray(seed, jnp.uint32),
    weight_T=jnp.asarray(weight_T, jnp.float32),
    params=params,
    opt_state=optimizer.init(params),
    strategy=strategy.init(len(weight_T)),
  )
