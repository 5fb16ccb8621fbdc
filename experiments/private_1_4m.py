"""How far do tasks get that share only one dense layer?

The report's private model, 1.07 M parameters for the apparel class alone: the
trunk and one common dense layer of 128 (tanh), then for each task dense layers
of 16 and 8 times its number of labels.

  python -m experiments.private_1_4m --data_dir=data/built \\
    --workdir=runs/private --tasks=apparel,color

Expected: 1 minute on 2 CPU cores for 1,500 photos and 20 epochs.
Result on those, one seed: apparel accuracy 0.516 alone (experiments/README.md).
"""

import functools

from imat_jax import config, flags, preflight
from imat_jax.models.presets import paper

DEFAULTS = functools.partial(
  config.Run, model=paper.PRIVATE_1_4M, tasks=('apparel',)
)


if __name__ == '__main__':
  flags.run(preflight.train, DEFAULTS)
