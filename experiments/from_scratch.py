"""A small modern network from scratch: what to train without other weights.

A residual network with group normalisation, AdamW with a cosine schedule and an
averaged network. Every option of it is a flag.

  python -m experiments.from_scratch --data_dir=data/built \\
    --workdir=runs/apparel
"""

import functools

from imat_jax import config, flags, preflight
from imat_jax.models.presets import modern

DEFAULTS = functools.partial(
  config.Run,
  model=modern.MODERN,
  tasks=('apparel',),
  **modern.MODERN_TRAINING,
)


if __name__ == '__main__':
  flags.run(preflight.train, DEFAULTS)
