"""A network of today and its recipe: `experiments.from_scratch`."""

from imat_jax import config
from imat_jax.models.trunks.resnet import ResNet

MODERN = config.Model(trunk=ResNet(), head_widths=(), average_mirrored=True)
MODERN_TRAINING = {
  'epochs': 80,
  'batch_size': 64,
  'optimizer': config.Optimizer(
    learning_rate=3e-3,
    weight_decay=0.05,
    schedule='cosine',
    warmup=0.1,
    average=0.99,
  ),
  'augmentation': config.Augmentation(
    rotation=0, shift=0, zoom=0, crop=0.4, color_jitter=0.3
  ),
  'loss': config.Loss(label_smoothing=0.1),
  # The schedule ends the run.
  'stopping': config.Stopping(patience=1000),
}
