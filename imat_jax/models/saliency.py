"""Saliency maps: the pixels that influence a prediction most.

The gradient of the likeliest label's log probability with respect to the pixels
(Simonyan et al., "Deep inside convolutional networks", 2014), its magnitude
averaged over noisy copies of the photo (Smilkov et al., "SmoothGrad: removing
noise by adding noise", 2017).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from imat_jax import config, tasks
from imat_jax.models.network import Network

_COPIES = 16
_NOISE = 0.1  # its standard deviation, where black is 0 and white is 1
_CLIP_PERCENTILE = 99  # of a map's pixels; larger ones are clipped


def saliency(
  model: config.Model,
  task_set: tasks.TaskSet,
  variables: dict,
  image_HxWxC: np.ndarray,
) -> np.ndarray:
  """A saliency map per task, T × H × W, from 0 to 1.

  Args:
    model, task_set: of the network.
    variables: its parameters, and collections such as batch statistics.
    image_HxWxC: uint8.
  """
  gradient_TxHxW = _saliency(model, task_set, variables, image_HxWxC)
  largest_T = np.percentile(gradient_TxHxW, _CLIP_PERCENTILE, axis=(1, 2))
  scale_T = np.where(largest_T > 0, largest_T, 1)
  return np.clip(gradient_TxHxW / scale_T[:, None, None], 0, 1)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _saliency(model, task_set, variables, image_HxWxC):
  network = Network(model, task_set)
  image_HxWxC = image_HxWxC.astype(jnp.float32) / 255
  shape = _COPIES, *image_HxWxC.shape
  noise_BxHxWxC = _NOISE * jax.random.normal(jax.random.key(0), shape)

  def log_prob(image_BxHxWxC):
    logits_BxTxK = network.apply(variables, image_BxHxWxC, deterministic=True)
    return jax.nn.log_softmax(logits_BxTxK)

  predicted_T = log_prob(image_HxWxC[None])[0].argmax(1)

  def of_task(task):
    def score(image_BxHxWxC):
      return log_prob(image_BxHxWxC)[:, task, predicted_T[task]].sum()

    gradient_BxHxWxC = jax.grad(score)(image_HxWxC[None] + noise_BxHxWxC)
    return jnp.abs(gradient_BxHxWxC).max(3).mean(0)

  return jax.lax.map(of_task, jnp.arange(len(task_set)))


def overlay(image_HxWxC: np.ndarray, saliency_HxW: np.ndarray) -> Image.Image:
  """The image in grey, orange where the network looks."""
  gray_HxWxC = np.asarray(Image.fromarray(image_HxWxC).convert('L'))[..., None]
  heat_HxWxC = saliency_HxW[..., None]
  mixed_HxWxC = (1 - heat_HxWxC) * 0.6 * gray_HxWxC
  mixed_HxWxC = mixed_HxWxC + heat_HxWxC * np.array([255, 120, 0])
  return Image.fromarray(mixed_HxWxC.astype(np.uint8))
