"""The loss: masked cross entropy per task, weighted and summed over tasks.

A mean is carried as (sum, weight) and divided once, at its end. So batches of
any filling merge exactly, and one without a label adds nothing.

Mixup (Zhang et al., 2018) blends each photo with another of the batch, cutmix
(Yun et al., 2019) puts a rectangle of one into the other; the label of each
photo counts with its share. Of a photo without a label nothing counts: the
other's label then has its own share as weight, and no more.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from imat_jax.data.types import Batch
from imat_jax.training import rng
from imat_jax.training.state import TrainState

if TYPE_CHECKING:  # a step is read without the options of everything
  from imat_jax import config


@struct.dataclass
class Mean:
  """A weighted mean per task on its way: the sums and the weights so far."""

  sum_T: jax.Array
  weight_T: jax.Array

  def value_T(self) -> jax.Array:
    """The means; 0 where nothing has weight, and then without a gradient."""
    return divide(self.sum_T, self.weight_T)


# The mean loss per task of a batch's logits.
LossOf = Callable[[jax.Array], Mean]


class Mix(NamedTuple):
  """Which photo is mixed into each of a batch, and what it leaves."""

  image_BxHxWxC: jax.Array
  partner_B: jax.Array  # the other photo
  share: jax.Array  # of a photo's own labels; 1 - share are its partner's


def divide(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
  """The quotient; the numerator, which is 0, where the denominator is."""
  return numerator / jnp.where(denominator > 0, denominator, 1)


def masked_cross_entropy(logits_BxTxK: jax.Array, label_BxT: jax.Array) -> Mean:
  """Each task's softmax cross entropy in nats over what has a label.

  Args:
    logits_BxTxK: unnormalised log probabilities; -inf for what is no label.
    label_BxT: label numbers; -1 where there is none.
  """
  labelled_BxT = label_BxT >= 0
  # A missing label would index the last class, and its logit may be -inf: the
  # first class stands in, so that a finite number is multiplied by weight 0.
  loss_BxT = optax.softmax_cross_entropy_with_integer_labels(
    logits_BxTxK, jnp.where(labelled_BxT, label_BxT, 0)
  )
  weight_BxT = labelled_BxT.astype(loss_BxT.dtype)
  return Mean((loss_BxT * weight_BxT).sum(0), weight_BxT.sum(0))


def soft_cross_entropy(
  logits_BxTxK: jax.Array, target_BxTxK: jax.Array, focal_gamma: float = 0.0
) -> Mean:
  """Each task's cross entropy in nats with distributions over its labels.

  With a focal gamma γ each label's term, -log p, is multiplied by (1 - p)^γ:
  the focal loss of Lin et al. (2017), for targets that are distributions. The
  weights by which its sum is divided stay those of the targets.

  Args:
    logits_BxTxK: unnormalised log probabilities; -inf for what is no label.
    target_BxTxK: a photo's targets for a task; they add up to its weight, 0
      without a label. 0 for what is no label.
    focal_gamma: 0, or 1 or more: between them the slope at p = 1 is infinite.
  """
  log_BxTxK = jax.nn.log_softmax(logits_BxTxK)
  # 0 × -inf is NaN. A logit that is NaN stays one: a run ends at it.
  log_BxTxK = jnp.where(jnp.isneginf(logits_BxTxK), 0, log_BxTxK)
  if focal_gamma:
    log_BxTxK = log_BxTxK * (-jnp.expm1(log_BxTxK)) ** focal_gamma
  return Mean(-(target_BxTxK * log_BxTxK).sum((0, 2)), target_BxTxK.sum((0, 2)))


def weighted_sum(loss: Mean, weight_T: jax.Array) -> jax.Array:
  """The sum over tasks of weight × mean loss: what training minimises.

  A task with weight 0 sends no gradient through its head.
  """
  return jnp.dot(weight_T, loss.value_T())


def objective(
  recipe: 'config.Recipe',
  state: TrainState,
  batch: Batch,
  class_weight_TxK: jax.Array | None = None,
) -> tuple[jax.Array, LossOf]:
  """The images that the network sees, and the loss per task of its logits."""
  augmentation, smoothing = recipe.augmentation, recipe.loss.label_smoothing
  mixes = augmentation.mixup or augmentation.cutmix
  focal_gamma = recipe.loss.focal_gamma
  changes_targets = mixes or smoothing or class_weight_TxK is not None
  if not (changes_targets or focal_gamma):
    return (
      batch.image_BxHxWxC,
      lambda logits_BxTxK: masked_cross_entropy(logits_BxTxK, batch.label_BxT),
    )
  mixed = mix(augmentation, state, batch.image_BxHxWxC) if mixes else None

  def loss_of(logits_BxTxK: jax.Array) -> Mean:
    # All 0 for a missing label, which is -1.
    target_BxTxK = jax.nn.one_hot(batch.label_BxT, logits_BxTxK.shape[2])
    if class_weight_TxK is not None:
      target_BxTxK = target_BxTxK * class_weight_TxK[None]
    if mixed:
      other_BxTxK = target_BxTxK[mixed.partner_B]
      target_BxTxK = (
        mixed.share * target_BxTxK + (1 - mixed.share) * other_BxTxK
      )
    is_label_BxTxK = ~jnp.isneginf(logits_BxTxK)
    return soft_cross_entropy(
      logits_BxTxK,
      smooth(target_BxTxK, is_label_BxTxK, smoothing),
      focal_gamma,
    )

  return mixed.image_BxHxWxC if mixed else batch.image_BxHxWxC, loss_of


def class_weights(count_TxK: np.ndarray, power: float) -> np.ndarray:
  """The weight of each label in its task's loss, T × K.

  With power 1 all labels together have the same weight, with 0 all photos.

  Args:
    count_TxK: train photos with each label; a label without one has weight 0.
    power: from 0 to 1.
  """
  number_Tx1 = count_TxK.sum(1, keepdims=True)
  labels_Tx1 = (count_TxK > 0).sum(1, keepdims=True)
  mean_Tx1 = number_Tx1 / np.maximum(labels_Tx1, 1)
  weight_TxK = (mean_Tx1 / np.maximum(count_TxK, 1)) ** power
  return np.where(count_TxK > 0, weight_TxK, 0).astype(np.float32)


def smooth(
  target_BxTxK: jax.Array, is_label_BxTxK: jax.Array, smoothing: float
) -> jax.Array:
  """Spreads a share of each target evenly over the labels of its task."""
  weight_BxTx1 = target_BxTxK.sum(2, keepdims=True)
  number_BxTx1 = is_label_BxTxK.sum(2, keepdims=True)
  even_BxTxK = weight_BxTx1 * is_label_BxTxK / number_BxTx1
  return (1 - smoothing) * target_BxTxK + smoothing * even_BxTxK


def mix(
  augmentation: 'config.Augmentation',
  state: TrainState,
  image_BxHxWxC: jax.Array,
) -> Mix:
  """Mixes the photos of a batch in pairs; a function of (seed, step)."""
  keys = jax.random.split(rng.key(state.seed, 'mix', state.step), 4)
  image = image_BxHxWxC.astype(jnp.float32)
  if image_BxHxWxC.dtype == jnp.uint8:
    image = image / 255
  partner_B = jax.random.permutation(keys[0], len(image))
  kinds = (_mixup, augmentation.mixup), (_cutmix, augmentation.cutmix)
  drawn = [
    mixer(image, image[partner_B], jax.random.beta(keys[1], alpha, alpha), keys)
    for mixer, alpha in kinds
    if alpha
  ]
  if len(drawn) == 1:
    ((mixed, share),) = drawn
  else:
    first = jax.random.bernoulli(keys[3])
    mixed, share = jax.tree.map(lambda a, b: jnp.where(first, a, b), *drawn)
  return Mix(mixed, partner_B, share)


def _mixup(image, other, share, keys) -> tuple[jax.Array, jax.Array]:
  del keys
  return share * image + (1 - share) * other, share


def _cutmix(image, other, share, keys) -> tuple[jax.Array, jax.Array]:
  """The other photo in a rectangle of its share, cut at the edges."""
  _, height, width, _ = image.shape
  center_y, center_x = jax.random.uniform(keys[2], (2,))
  half = jnp.sqrt(1 - share) / 2
  inside_H = jnp.abs((jnp.arange(height) + 0.5) / height - center_y) < half
  inside_W = jnp.abs((jnp.arange(width) + 0.5) / width - center_x) < half
  inside_HxW = inside_H[:, None] & inside_W[None]
  mixed = jnp.where(inside_HxW[None, ..., None], other, image)
  return mixed, 1 - inside_HxW.mean()
