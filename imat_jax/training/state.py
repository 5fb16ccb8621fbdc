"""The state of a run: one frozen pytree."""

from typing import Any

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

  Attributes:
    step: the number of updates so far.
    seed: of everything random.
    weight_T: the weight of each task in the loss; 0 for one not of the run.
    active: whether steps change anything: False once the run is finished.
    params: what the optimizer changes.
    average: a running mean of them, or an empty dict.
    collections: flax's others, such as batch statistics; of most trunks none.
    opt_state: the optimizer's state.
    strategy: the multi-task method's state.
  """

  step: jax.Array
  seed: jax.Array
  weight_T: jax.Array
  active: jax.Array
  params: dict[str, Any]
  average: dict[str, Any]
  collections: dict[str, Any]
  opt_state: optax.OptState
  strategy: State

  @property
  def variables(self) -> dict[str, Any]:
    """What the network is evaluated with."""
    return {'params': self.average or self.params, **self.collections}


def create(
  network: nn.Module,
  optimizer: optax.GradientTransformation,
  strategy: Strategy,
  image_BxHxWxC: jax.Array,
  seed: jax.Array,
  weight_T: jax.Array,
  *,
  averages: bool = False,
) -> TrainState:
  """The state at step 0.

  Args:
    network: gives logits, B × T × K.
    optimizer: of its parameters.
    strategy: the multi-task method.
    image_BxHxWxC: any image of the size that it takes.
    seed: a uint32 number.
    weight_T: the weight of each task in the loss.
    averages: whether it has a running mean of the parameters.
  """
  # In evaluation mode, in which no layer needs another key than `params`.
  collections = dict(
    network.init(rng.key(seed, 'params'), image_BxHxWxC, deterministic=True)
  )
  params = collections.pop('params')
  return TrainState(
    # Arrays, not Python numbers: another seed must not be another program.
    step=jnp.zeros((), jnp.int32),
    seed=jnp.asarray(seed, jnp.uint32),
    weight_T=jnp.asarray(weight_T, jnp.float32),
    active=jnp.ones((), bool),
    params=params,
    # A copy: the step gives its memory and that of the parameters away.
    average=jax.tree.map(jnp.copy, params) if averages else {},
    collections=collections,
    opt_state=optimizer.init(params),
    strategy=jax.tree.map(jnp.asarray, strategy.init(len(weight_T))),
  )
