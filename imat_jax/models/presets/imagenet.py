"""Networks that start from ImageNet's weights, and their recipes."""

from imat_jax import config
from imat_jax.models.trunks.efficientnet_lite import EfficientNetLite

# Heads on the features of a frozen network: `experiments.linear_probe`.
LINEAR_PROBE = config.Model(
  trunk=EfficientNetLite(pretrained='imagenet', train_trunk='head'),
  normalize_features=True,
  head_widths=(),
)
LINEAR_PROBE_TRAINING = {
  'epochs': 40,
  'batch_size': 128,
  'optimizer': config.Optimizer(
    learning_rate=3e-3, weight_decay=3.0, schedule='cosine', average=0.99
  ),
  'stopping': config.Stopping(patience=1000),
}

# The same network, whose last stages are trained, too: `experiments.finetune`.
FINETUNED = config.Model(
  trunk=EfficientNetLite(
    pretrained='imagenet', train_trunk='6', image_size=160
  ),
  normalize_features=True,
  head_widths=(),
  average_mirrored=True,
)
FINETUNED_TRAINING = {
  'epochs': 4,
  'batch_size': 32,
  'optimizer': config.Optimizer(
    learning_rate=3e-3,
    trunk_factor=0.2,
    weight_decay=0.05,
    schedule='cosine',
    warmup=0.1,
    average=0.99,
  ),
  'augmentation': config.Augmentation(rotation=0, shift=0, zoom=0, crop=0.4),
  'loss': config.Loss(label_smoothing=0.1),
  'stopping': config.Stopping(patience=1000),
}
