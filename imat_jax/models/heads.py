"""The heads: one per task, from shared features to logits."""

import jax
from flax import linen as nn

from imat_jax import config, tasks
from imat_jax.models import trunk


class Head(nn.Module):
  """Hidden layers and the logits of one task."""

  model: config.Model
  num_labels: int

  @nn.compact
  def __call__(self, feature_BxD: jax.Array) -> jax.Array:
    """Maps features to logits, B × K."""
    activation = trunk.ACTIVATIONS[self.model.head_activation]
    scale = self.num_labels if self.model.head_widths_per_label else 1
    x_BxD = feature_BxD
    for number, width in enumerate(self.model.head_widths):
      x_BxD = activation(_dense(width * scale, f'dense_{number}')(x_BxD))
    return _dense(self.num_labels, 'logits')(x_BxD)


class Network(nn.Module):
  """The trunk and a head per task.

  The initial trunk depends on the key alone, not on which heads there are: runs
  with other task sets start from the same one.
  """

  model: config.Model
  task_set: tasks.TaskSet

  @nn.compact
  def __call__(
    self, image_BxHxWxC: jax.Array, *, deterministic: bool
  ) -> tuple[jax.Array, ...]:
    """The logits of each task in its order, B × K of the task."""
    feature_BxD = trunk.Trunk(self.model, name='trunk')(
      image_BxHxWxC, deterministic=deterministic
    )
    return tuple(
      Head(self.model, len(task.labels), name=head_name(task))(feature_BxD)
      for task in self.task_set
    )


def head_name(task: tasks.Task) -> str:
  """Where a task's head stands among the parameters."""
  return f'head:{task.name}'


def _dense(width: int, name: str) -> nn.Dense:
  return nn.Dense(width, kernel_init=trunk.INITIALIZER, name=name)
