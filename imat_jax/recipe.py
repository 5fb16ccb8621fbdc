"""What of a training is compiled into its step: its options and defaults.

A part of `config`, which has the others. No jax here.
"""

import dataclasses
import math
from typing import Literal, NamedTuple

from imat_jax import validators
from imat_jax.options import Config, Part, group, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation(Config):
  """The random warp of a train photo; the defaults are the report's."""

  rotation: float = option(
    'degrees, uniform in ±this', 45.0, validators.between(0, 180)
  )
  shift: float = option(
    'share of width and height, uniform in ±this',
    0.25,
    validators.between(0, 1),
  )
  zoom: float = option(
    'per axis, uniform in 1 ± this', 0.2, validators.between(0, 0.9)
  )
  flip: float = option(
    'probability of a mirror image', 0.5, validators.between(0, 1)
  )
  fill: Literal['nearest', 'constant', 'reflect'] = option(
    'what stands outside of the photo', 'nearest'
  )
  crop: float = option(
    'a random part of the photo with at least this share of its area',
    1.0,
    validators.between(0.01, 1),
  )
  color_jitter: float = option(
    'factors of brightness, contrast and saturation, uniform in 1 ± this',
    0.0,
    validators.between(0, 1),
  )
  protect: tuple[str, ...] = option(
    'tasks whose photos keep their colors: no jitter where one has a label',
    ('color',),
  )
  erasing: float = option(
    'probability that a rectangle of the photo is erased',
    0.0,
    validators.between(0, 1),
  )
  mixup: float = option(
    'alpha of mixup, which blends pairs of photos and their labels; 0: off',
    0.0,
    validators.at_least(0),
  )
  cutmix: float = option(
    'alpha of cutmix, which puts a part of one photo into another; 0: off. '
    'With both, each batch draws one',
    0.0,
    validators.at_least(0),
  )


PruneBy = Literal['magnitude', 'global_magnitude', 'saliency', 'random']
PruneUnit = Literal['weight', 'unit']


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pruning(Config):
  """How training sets weights of kernels to 0; none unless there is a share."""

  sparsity: float = option(
    'share of the weights of kernels, or of the units, that are 0 at the end; '
    '0: none',
    0.0,
    validators.between(0, 0.999),
  )
  prune_by: PruneBy = option(
    'which weights go first: the smallest of each array, or of the whole '
    'trunk, those that change the loss least (SNIP), or any, as a control',
    'magnitude',
  )
  prune_unit: PruneUnit = option(
    'what goes at once: a weight, or a filter of a convolution and a unit of a '
    'dense layer, which imat_jax.prune can then remove',
    'weight',
  )
  prune_from: float = option(
    'share of the steps before the first pruning',
    0.2,
    validators.between(0, 1),
  )
  prune_until: float = option(
    'share of the steps before the last one; the rest trains what is left',
    0.7,
    validators.between(0, 1),
  )
  prune_steps: int = option(
    'steps from one pruning to the next', 50, validators.at_least(1)
  )

  def __post_init__(self):
    super().__post_init__()
    if self.prune_from > self.prune_until:
      raise ValueError(
        f'--prune_from={self.prune_from}: is after --prune_until='
        f'{self.prune_until}'
      )
    if self.prune_unit == 'unit' and self.prune_by == 'global_magnitude':
      raise ValueError(
        '--prune_by=global_magnitude: not with --prune_unit=unit, as units of '
        'different layers have different numbers of weights'
      )

  def interval(self, num_updates: int) -> tuple[int, int]:
    """The first and the last update that may prune, counted from 1."""
    first = max(1, math.ceil(self.prune_from * num_updates))
    return first, max(first, math.floor(self.prune_until * num_updates))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer(Config):
  """The update of the parameters; the defaults are the report's Adam."""

  learning_rate: float = option(
    'step size, at its largest', 1e-3, validators.at_least(0)
  )
  adam_b1: float = option(
    'decay of the mean', 0.9, validators.between(0, 0.999999)
  )
  adam_b2: float = option(
    'decay of the square', 0.999, validators.between(0, 0.999999)
  )
  # Not 0: a number without a gradient, as padding is, would become 0 / 0.
  adam_epsilon: float = option(
    'added to the root', 1e-7, validators.at_least(1e-12)
  )
  update_rule: Literal['adam', 'sgd'] = option(
    'sgd is with Nesterov momentum --adam_b1', 'adam'
  )
  weight_decay: float = option(
    'decoupled decay (AdamW) of kernels, not of biases and norms',
    0.0,
    validators.at_least(0),
  )
  schedule: Literal['constant', 'cosine'] = option(
    'of the step size; cosine falls to 0 at the end of the last epoch',
    'constant',
  )
  warmup: float = option(
    'share of all steps in which the step size rises from 0',
    0.0,
    validators.between(0, 0.9),
  )
  clip_norm: float = option(
    'largest norm of a gradient, longer ones are scaled; 0: no limit',
    0.0,
    validators.at_least(0),
  )
  accumulation: int = option(
    'steps whose mean gradient is one update, for batches that do not fit into '
    'memory',
    1,
    validators.at_least(1),
  )
  trunk_factor: float = option(
    'of the step size for the trunk; less than 1 for fine-tuning',
    1.0,
    validators.between(0, 1),
  )
  average: float = option(
    'decay of a running mean of the parameters, which is evaluated and '
    'exported in their place; 0: none',
    0.0,
    validators.between(0, 0.99999),
  )
  pruning: Pruning = group(Pruning)

  @property
  def needs_num_steps(self) -> bool:
    """Whether a step's size depends on how many steps there will be."""
    return (
      self.schedule != 'constant'
      or self.warmup > 0
      or self.pruning.sparsity > 0
    )

  def last_pruning(self, num_steps: int) -> int:
    """The last of a run's steps that may prune; 0 where none does."""
    if not self.pruning.sparsity:
      return 0
    _, last = self.pruning.interval(num_steps // self.accumulation)
    return last * self.accumulation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss(Config):
  """The training loss of a task; the default is the report's cross entropy."""

  label_smoothing: float = option(
    "share of the target that is spread over the task's labels",
    0.0,
    validators.between(0, 0.9),
  )
  class_weighting: float = option(
    'a label counts in its loss as the number of its train photos to the power '
    '-this; 0: all photos the same, 1: all labels the same',
    0.0,
    validators.between(0, 1),
  )
  focal_gamma: float = option(
    'the loss of a photo is multiplied by the probability of all wrong labels '
    'to this power, so easy photos count less; 0: all count the same',
    0.0,
    validators.zero_or_at_least(1),
  )


class Recipe(NamedTuple):
  """What of a training is compiled into its step."""

  strategy: Part
  optimizer: Optimizer
  augmentation: Augmentation
  loss: Loss
