"""The network: a trunk, and a head per task; all heads are computed as one.

A head is a few dense layers. A layer of all heads is one array, T its last axis
but one, padded with zeros to the widest head: 45 tasks are as many operations
as one. The padding stays zero: every activation maps 0 to 0, so no gradient
reaches it, and Adam leaves what has no gradient.
"""

import functools
import itertools
import operator
import zlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from imat_jax import config, tasks
from imat_jax.models import trunks
from imat_jax.models.layers import ACTIVATIONS


class Network(nn.Module):
  """The trunk and a head per task.

  The initial trunk depends on the key alone, an initial head also on the name
  of its task, neither on the other tasks: task sets start from the same one.
  """

  model: config.Model
  task_set: tasks.TaskSet

  def setup(self):
    # The names of the attributes are those of the parameters in checkpoints.
    self.trunk = self.model.trunk.make()
    self.heads = Heads(self.model, self.task_set)

  def __call__(
    self, image_BxHxWxC: jax.Array, *, deterministic: bool
  ) -> jax.Array:
    """The logits, B × T × K; -inf behind the last label of a task."""

    def logits_of(image_BxHxWxC):
      return self.classify(self.features(image_BxHxWxC, deterministic))

    if deterministic and self.model.average_mirrored:
      return mirrored_mean(logits_of, image_BxHxWxC)
    return logits_of(image_BxHxWxC)

  def features(
    self, image_BxHxWxC: jax.Array, deterministic: bool
  ) -> jax.Array:
    """What all tasks share, B × D; of a frozen trunk the input is that."""
    if image_BxHxWxC.ndim == 2:
      return image_BxHxWxC
    if deterministic or self.model.precision == 'float32':
      trunk = functools.partial(self.trunk, deterministic=deterministic)
      feature_BxD = features_of(self.model.trunk, trunk, image_BxHxWxC)
    else:
      in_half = nn.map_variables(
        lambda self, image: self.trunk(image, deterministic=deterministic),
        'params',
        functools.partial(jax.tree.map, _in_half),
      )
      image_BxHxWxC = _in_half(trunks.as_float(image_BxHxWxC))
      feature_BxD = in_half(self, image_BxHxWxC).astype(jnp.float32)
    if feature_BxD.ndim != 2:
      raise ValueError(
        f'--trunk={self.model.trunk.kind}: gives {feature_BxD.shape}, which '
        'must be B × D'
      )
    return feature_BxD

  def classify(self, feature: jax.Array) -> jax.Array:
    """The logits of features, B × D, or of a copy for each task, B × T × D."""
    return self.heads(seen_by_heads(self.model, feature))


def features_of(
  config: trunks.Trunk,
  trunk: Callable[[jax.Array], jax.Array],
  image_BxHxWxC: jax.Array,
) -> jax.Array:
  """The features, B × D, that a trunk's module gives with its options."""
  if config.mirrored:
    return mirrored_mean(trunk, image_BxHxWxC)
  return trunk(image_BxHxWxC)


def mirrored_mean(
  function: Callable[[jax.Array], jax.Array], image_BxHxWxC: jax.Array
) -> jax.Array:
  """The mean of what a function gives of photos and of their mirror images."""
  return (function(image_BxHxWxC) + function(image_BxHxWxC[:, :, ::-1])) / 2


def seen_by_heads(model: config.Model, feature: jax.Array) -> jax.Array:
  """Features, normalized where the network does that."""
  if not model.normalize_features:
    return feature
  feature = feature - feature.mean(-1, keepdims=True)
  variance = (feature**2).mean(-1, keepdims=True)
  return feature * jax.lax.rsqrt(variance + 1e-6)


def _in_half(x: jax.Array) -> jax.Array:
  return jnp.asarray(x, jnp.bfloat16)


class Heads(nn.Module):
  """Hidden layers and the logits of every task."""

  model: config.Model
  task_set: tasks.TaskSet

  @nn.compact
  def __call__(self, feature: jax.Array) -> jax.Array:
    """Maps features, B × D or B × T × D, to logits, B × T × K."""
    activation = ACTIVATIONS[self.model.head_activation]
    names = self.task_set.names
    sizes = [
      _sizes(self.model, task, feature.shape[-1]) for task in self.task_set
    ]
    *hidden, last = itertools.pairwise(zip(*sizes, strict=True))
    x = feature
    for number, fans in enumerate(hidden):
      x = activation(_Dense(names, *fans, name=f'dense_{number}')(x))
    logits_BxTxK = _Dense(names, *last, name='logits')(x)
    # No probability for the padding of smaller tasks, and so no gradient.
    _, number_T = last
    is_label_TxK = np.arange(max(number_T))[None] < np.array(number_T)[:, None]
    return jnp.where(is_label_TxK[None], logits_BxTxK, -jnp.inf)


def num_params(
  model: config.Model, task_set: tasks.TaskSet, sparsity: float = 0
) -> int:
  """How many numbers of a network training may change, without the padding.

  Args:
    model: the network's.
    task_set: its tasks.
    sparsity: the share of the weights of kernels that do not count.
  """
  params = _param_shapes(model, task_set)
  first = 'dense_0' if model.head_widths else 'logits'
  num_features = params['heads'][first]['kernel'].shape[0]
  in_trunk = sum(
    leaf.size * (1 - sparsity if path[-1].key == 'kernel' else 1)
    for name, part in params.get('trunk', {}).items()
    if model.trunk.trains(name)
    for path, leaf in jax.tree_util.tree_leaves_with_path({name: part})
  )
  return round(
    in_trunk
    + sum(
      (fan_in * (1 - sparsity) + 1) * fan_out
      for task in task_set
      for fan_in, fan_out in itertools.pairwise(
        _sizes(model, task, num_features)
      )
    )
  )


@functools.cache
def _param_shapes(model: config.Model, task_set: tasks.TaskSet) -> dict:
  """Cached, as tracing takes 0.1 s and a study asks of each run twice."""
  init = functools.partial(Network(model, task_set).init, deterministic=True)
  example = trained_input(model.trunk)
  return jax.eval_shape(init, jax.random.key(0), example)['params']


def trained_input(trunk: trunks.Trunk) -> jax.Array:
  """An input of the network's training, of zeros: 1 × H × W × C, or 1 × D."""
  image_BxHxWxC = jnp.zeros((1, *trunk.shape, 3))
  if not trunk.is_frozen:
    return image_BxHxWxC
  features_of = functools.partial(
    trunk.make().init_with_output, deterministic=True
  )
  feature_BxD, _ = jax.eval_shape(features_of, jax.random.key(0), image_BxHxWxC)
  return jnp.zeros(feature_BxD.shape)


def select(
  variables: dict,
  model: config.Model,
  task_set: tasks.TaskSet,
  own: tasks.TaskSet,
) -> dict:
  """The variables of the network that has only some of the tasks.

  Args:
    variables: of `Network(model, task_set)`.
    model, task_set: that network's.
    own: tasks of `task_set`, in any order.

  Returns:
    those of `Network(model, own)`, which computes the same logits.
  """
  params = variables['params']
  place_T = np.array([task_set.names.index(name) for name in own.names])
  layers = [f'dense_{number}' for number in range(len(model.head_widths))]
  layers.append('logits')
  num_features = params['heads'][layers[0]]['kernel'].shape[0]
  sizes = [_sizes(model, task, num_features) for task in own]
  # The padding of a smaller stack ends with its own widest head.
  width_L = [max(widths) for widths in zip(*sizes, strict=True)]
  heads = {
    name: {
      'kernel': params['heads'][name]['kernel'][:fan_in, place_T, :fan_out],
      'bias': params['heads'][name]['bias'][place_T, :fan_out],
    }
    for name, (fan_in, fan_out) in zip(
      layers, itertools.pairwise(width_L), strict=True
    )
  }
  return variables | {'params': params | {'heads': heads}}


class _Dense(nn.Module):
  """A dense layer of each task, from B × D or B × T × D to B × T × W."""

  names: tuple[str, ...]
  fan_in_T: tuple[int, ...]
  fan_out_T: tuple[int, ...]

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    kernel_DxTxW = self.param('kernel', self._initial_kernel)
    bias_TxW = self.param('bias', nn.initializers.zeros, kernel_DxTxW.shape[1:])
    if x.ndim == 3:
      x_BxTxW = jnp.einsum('btd,dtw->btw', x, kernel_DxTxW)
    else:
      # One product of two matrices: on a CPU the einsum is 1.3 times as slow.
      num_inputs, *outputs = kernel_DxTxW.shape
      x_BxTxW = x @ kernel_DxTxW.reshape(num_inputs, -1)
      x_BxTxW = x_BxTxW.reshape(-1, *outputs)
    return x_BxTxW + bias_TxW[None]

  def _initial_kernel(self, key: jax.Array) -> jax.Array:
    """Each task's part as `layers.INITIALIZER` draws it alone, padded.

    Tasks are drawn together, as XLA compiles each draw for half a second; a
    longer draw begins like a shorter one.
    """
    hashes = [zlib.crc32(name.encode()) for name in self.names]
    facts = np.array([hashes, self.fan_in_T, self.fan_out_T], np.uint32)
    row_Dx1 = jnp.arange(max(self.fan_in_T))[:, None]
    column_1xW = jnp.arange(max(self.fan_out_T))[None]
    longest = max(map(operator.mul, self.fan_in_T, self.fan_out_T))

    def of_task(name, fan_in, fan_out):
      named = jax.random.fold_in(key, name)
      drawn = jax.random.uniform(named, (longest,), minval=-1)
      drawn_DxW = drawn[row_Dx1 * fan_out + column_1xW]
      is_own_DxW = (row_Dx1 < fan_in) & (column_1xW < fan_out)
      limit = jnp.sqrt(6 / (fan_in + fan_out))
      return jnp.where(is_own_DxW, limit * drawn_DxW, 0)

    return jax.vmap(of_task, out_axes=1)(*facts)


def _sizes(
  model: config.Model, task: tasks.Task, num_features: int
) -> tuple[int, ...]:
  """What goes into a task's first layer, and comes out of each."""
  num_labels = len(task.labels)
  scale = num_labels if model.head_widths_per_label else 1
  hidden = (width * scale for width in model.head_widths)
  return num_features, *hidden, num_labels
