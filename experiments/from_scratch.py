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


def main(run: config.Run) -> None:
  preflight.check_run(run)
  from imat_jax import train  # here: a typo is reported before this loads

  train.train(run)


if __name__ == '__main__':
  flags.run(main, DEFAULTS)
