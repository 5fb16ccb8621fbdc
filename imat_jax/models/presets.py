"""Networks by name: the paper's four, and two of today with their recipes."""

from imat_jax import config
from imat_jax.models.trunks.efficientnet_lite import EfficientNetLite
from imat_jax.models.trunks.paper import Paper
from imat_jax.models.trunks.resnet import ResNet

PRIVATE_1_4M = config.Model(
  trunk=Paper(shared_widths=(128,), shared_activation='tanh'),
  head_widths=(16, 8),
  head_activation='relu',
  head_widths_per_label=True,
)
PUBLIC_1_4M = config.Model(trunk=Paper(shared_widths=(160, 126)))
PUBLIC_3M = config.Model(trunk=Paper(shared_widths=(384, 384)))
# The same network; the experiment differs in its number of tasks.
PUBLIC_3M_THREE_TASKS = PUBLIC_3M


# A network of today and how to train it: `experiments.from_scratch`.
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

BY_NAME = dict(
  zip(
    config.MODELS,
    (
      *(PRIVATE_1_4M, PUBLIC_1_4M, PUBLIC_3M, PUBLIC_3M_THREE_TASKS),
      *(MODERN, LINEAR_PROBE, FINETUNED),
    ),
    strict=True,
  )
)
