"""The vision transformer, for weights that others have trained.

The network of Dosovitskiy et al., "An image is worth 16 × 16 words", 2021; its
features are the class token behind the last norm. The weights are those of
AugReg (Steiner et al., "How to train your ViT?", 2022), of DINOv2 (Oquab et
al., "DINOv2: learning robust visual features without supervision", 2024) or of
torchvision. When they are read, the class token is added to its position, and
DINOv2's LayerScale (Touvron et al., "Going deeper with image transformers",
2021) is folded into the kernel in front of it: one network does for them all.
"""

import dataclasses
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from imat_jax import errors, options, validators
from imat_jax.models import trunks
from imat_jax.models.weights import Weights

_DEPTH = 12  # blocks, in every size
_EPSILON = 1e-6  # of layer normalisation
_INITIALIZER = nn.initializers.xavier_uniform()


class _Size(NamedTuple):
  width: int
  heads: int


# Table 1 of the AugReg paper.
_SIZES = {
  'tiny': _Size(192, 3),
  'small': _Size(384, 6),
  'base': _Size(768, 12),
}

# The parts of torchvision's names that are others in timm; `linear` is of
# torchvision before 0.14, and of its files.
_TORCHVISION = {
  'class_token': 'cls_token',
  'encoder.pos_embedding': 'pos_embed',
  'conv_proj.': 'patch_embed.proj.',
  'encoder.layers.encoder_layer_': 'blocks.',
  'self_attention.in_proj_': 'attn.qkv.',
  'self_attention.out_proj.': 'attn.proj.',
  'mlp.0.': 'mlp.fc1.',
  'mlp.3.': 'mlp.fc2.',
  'mlp.linear_1.': 'mlp.fc1.',
  'mlp.linear_2.': 'mlp.fc2.',
  'ln_1.': 'norm1.',
  'ln_2.': 'norm2.',
  'encoder.ln.': 'norm.',
  'heads.head.': 'head.',
}


class _Form(NamedTuple):
  patch: int  # its side in pixels
  mean: tuple[float, ...] = trunks.IMAGENET_MEAN
  deviation: tuple[float, ...] = trunks.IMAGENET_DEVIATION


_FORMS = {
  'augreg': _Form(16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
  'dinov2': _Form(14),
  'torchvision': _Form(16),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViT(trunks.PretrainedTrunk):
  """A vision transformer; the defaults are those of AugReg's ViT-S/16."""

  image_size: int = options.option(
    'width and height in pixels of the photos that the network sees, a '
    'multiple of the patches; their positions are interpolated',
    224,
    validators.between(14, 4096),
  )
  size: Literal['tiny', 'small', 'base'] = options.option(
    'of the network', 'small'
  )
  form: Literal['augreg', 'dinov2', 'torchvision'] = options.option(
    'whose weights: augreg, for patches of 16 pixels, and dinov2, of 14, both '
    'with the names that they have in timm; torchvision, of 16',
    'augreg',
  )

  def __post_init__(self):
    super().__post_init__()
    for name in 'image_size', 'image_width':
      pixels = getattr(self, name)
      if pixels % self.patch:
        raise ValueError(
          f'--{name}={pixels}: must be a multiple of {self.patch} with '
          f'--form={self.form}, such as {-(-pixels // self.patch) * self.patch}'
        )

  @property
  def patch(self) -> int:
    """Width and height of a patch in pixels."""
    return _FORMS[self.form].patch

  def make(self) -> nn.Module:
    return _ViT(self)

  @property
  def stages(self) -> list[str]:
    blocks = [f'block_{number}' for number in range(_DEPTH)]
    return ['embedding', *blocks, 'norm']

  def from_weights(self, weights: Weights) -> dict[str, Any]:
    """From the names of timm, which DINOv2's own files have too."""
    if self.form == 'torchvision':
      weights.rename(_TORCHVISION)
    class_token_1x1xD = weights.take('cls_token')
    class_position_NxD, grid_NxD = np.split(weights.take('pos_embed')[0], [1])
    patches = weights.take('patch_embed.proj.weight')
    params = {
      'embedding': {
        'kernel': patches.transpose(2, 3, 1, 0),
        'bias': weights.take('patch_embed.proj.bias'),
        'class_token': class_token_1x1xD[0] + class_position_NxD,
        'position': self._interpolated(grid_NxD),
      },
      'norm': _norm_from(weights, 'norm'),
    }
    for number in range(_DEPTH):
      params[f'block_{number}'] = self._block_from(weights, f'blocks.{number}')
    # Of the classes of ImageNet; of DINOv2's training.
    weights.ignore('head.weight', 'head.bias', 'mask_token')
    return params

  def _interpolated(self, grid_NxD: np.ndarray) -> np.ndarray:
    """The positions of a square grid at those of our patches.

    Raises:
      UserError: it is none, as where the class token has no position.
    """
    side = math.isqrt(len(grid_NxD))
    if side**2 != len(grid_NxD):
      raise errors.UserError(
        f"{self.pretrained}: 'pos_embed' has {len(grid_NxD)} patches, which "
        'are no square; these are weights of another network'
      )
    grid_RxCxD = grid_NxD.reshape(side, side, -1)
    rows, columns = (pixels // self.patch for pixels in self.shape)
    shape = rows, columns, grid_NxD.shape[1]
    grid_RxCxD = jax.image.resize(grid_RxCxD, shape, 'cubic')
    return np.asarray(grid_RxCxD).reshape(rows * columns, -1)

  def _block_from(self, weights: Weights, name: str) -> dict[str, Any]:
    block = {
      'norm_1': _norm_from(weights, f'{name}.norm1'),
      'attention': {
        'qkv': _dense_from(weights, f'{name}.attn.qkv'),
        'out': _dense_from(weights, f'{name}.attn.proj'),
      },
      'norm_2': _norm_from(weights, f'{name}.norm2'),
      'hidden': _dense_from(weights, f'{name}.mlp.fc1'),
      'out': _dense_from(weights, f'{name}.mlp.fc2'),
    }
    if self.form == 'dinov2':
      for layer, scale in ((block['attention'], 'ls1'), (block, 'ls2')):
        scale_D = weights.take(f'{name}.{scale}.gamma')
        layer['out'] = {
          'kernel': layer['out']['kernel'] * scale_D[None],
          'bias': layer['out']['bias'] * scale_D,
        }
    return block


def _norm_from(weights: Weights, name: str) -> dict[str, np.ndarray]:
  return {
    'scale': weights.take(f'{name}.weight'),
    'bias': weights.take(f'{name}.bias'),
  }


def _dense_from(weights: Weights, name: str) -> dict[str, np.ndarray]:
  return {
    'kernel': weights.take(f'{name}.weight').T,
    'bias': weights.take(f'{name}.bias'),
  }


class _ViT(nn.Module):
  config: ViT

  @nn.compact
  def __call__(
    self, image_BxHxWxC: jax.Array, *, deterministic: bool
  ) -> jax.Array:
    del deterministic
    patch, mean, deviation = _FORMS[self.config.form]
    width, heads = _SIZES[self.config.size]
    x_BxHxWxC = trunks.standardized(image_BxHxWxC, mean, deviation)
    x_BxNxD = _Embedding(width, patch, name='embedding')(x_BxHxWxC)
    for number in range(_DEPTH):
      x_BxNxD = _Block(heads, name=f'block_{number}')(x_BxNxD)
    return _norm('norm')(x_BxNxD[:, 0])


class _Embedding(nn.Module):
  """The class token, and a token for each patch, row by row."""

  width: int
  patch: int

  @nn.compact
  def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
    batch_size, height, width, channels = x_BxHxWxC.shape
    rows, columns = height // self.patch, width // self.patch
    small = nn.initializers.normal(0.02)
    kernel_PxQxCxD = self.param(
      'kernel',
      _INITIALIZER,
      (self.patch, self.patch, channels, self.width),
    )
    bias_D = self.param('bias', nn.initializers.zeros, (self.width,))
    class_token_1xD = self.param('class_token', small, (1, self.width))
    position_NxD = self.param('position', small, (rows * columns, self.width))
    x_BxRxPxSxQxC = x_BxHxWxC.reshape(
      batch_size, rows, self.patch, columns, self.patch, channels
    )
    x_BxRxSxD = jnp.einsum('brpsqc,pqcd->brsd', x_BxRxPxSxQxC, kernel_PxQxCxD)
    x_BxNxD = x_BxRxSxD.reshape(batch_size, rows * columns, self.width)
    x_BxNxD = x_BxNxD + (position_NxD + bias_D[None])[None]
    class_token_BxNxD = jnp.broadcast_to(
      class_token_1xD[None], (batch_size, 1, self.width)
    )
    return jnp.concatenate([class_token_BxNxD, x_BxNxD], 1)


class _Block(nn.Module):
  """Adds what attention, then what two dense layers find."""

  heads: int

  @nn.compact
  def __call__(self, x_BxNxD: jax.Array) -> jax.Array:
    width = x_BxNxD.shape[-1]
    attention = _Attention(self.heads, name='attention')
    x_BxNxD = x_BxNxD + attention(_norm('norm_1')(x_BxNxD))
    x_BxNxW = _dense(4 * width, 'hidden')(_norm('norm_2')(x_BxNxD))
    x_BxNxW = nn.gelu(x_BxNxW, approximate=False)
    return x_BxNxD + _dense(width, 'out')(x_BxNxW)


class _Attention(nn.Module):
  """Each token's mean over all tokens, by several heads."""

  heads: int

  @nn.compact
  def __call__(self, x_BxNxD: jax.Array) -> jax.Array:
    *places, width = x_BxNxD.shape
    size = width // self.heads
    qkv = _dense(3 * width, 'qkv')(x_BxNxD)
    qkv_BxNx3xHxK = qkv.reshape(*places, 3, self.heads, size)
    query_BxNxHxK, key_BxNxHxK, value_BxNxHxK = (
      qkv_BxNx3xHxK[:, :, part] for part in range(3)
    )
    score_BxHxNxM = jnp.einsum('bnhk,bmhk->bhnm', query_BxNxHxK, key_BxNxHxK)
    share_BxHxNxM = nn.softmax(score_BxHxNxM / math.sqrt(size))
    x_BxNxHxK = jnp.einsum('bhnm,bmhk->bnhk', share_BxHxNxM, value_BxNxHxK)
    return _dense(width, 'out')(x_BxNxHxK.reshape(x_BxNxD.shape))


def _dense(width: int, name: str) -> nn.Dense:
  return nn.Dense(width, kernel_init=_INITIALIZER, name=name)


def _norm(name: str) -> nn.LayerNorm:
  return nn.LayerNorm(epsilon=_EPSILON, use_fast_variance=False, name=name)
