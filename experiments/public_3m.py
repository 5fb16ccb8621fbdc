"""Does one more attribute help the report's best model to tell the class?

The report's public 3M, 3.35 M parameters for the apparel class alone: as
public 1.4M, with shared layers of 384 and 384.

  python -m experiments.public_3m --data_dir=data/built --workdir=runs/apparel
  python -m experiments.public_3m --data_dir=data/built \\
    --workdir=runs/color --tasks=apparel,color

Expected: 1 minute on 2 CPU cores for 1,500 photos and 20 epochs.
Result on those, three seeds: apparel accuracy 0.568 ± 0.025 alone, with age
0.547 ± 0.050, with color 0.492 ± 0.016; experiments/README.md has the rest.
"""

import functools

from imat_jax import config, flags, preflight
from imat_jax.models.presets import paper

DEFAULTS = functools.partial(
  config.Run, model=paper.PUBLIC_3M, tasks=('apparel',)
)


if __name__ == '__main__':
  flags.run(preflight.train, DEFAULTS)
