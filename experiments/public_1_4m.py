"""How far do tasks get that share all but the last hidden layer?

The report's public model, 1.36 M parameters for the apparel class alone: the
trunk and dense layers of 160 and 126 are shared, each task has one of 128.

  python -m experiments.public_1_4m --data_dir=data/built \\
    --workdir=runs/public --tasks=apparel,color

Expected: 1 minute on 2 CPU cores for 1,500 photos and 20 epochs.
Result on those, one seed: apparel accuracy 0.540 alone (experiments/README.md).
"""

import functools

from imat_jax import config, flags, preflight
from imat_jax.models.presets import paper

DEFAULTS = functools.partial(
  config.Run, model=paper.PUBLIC_1_4M, tasks=('apparel',)
)


if __name__ == '__main__':
  flags.run(preflight.train, DEFAULTS)
