"""Do two or three more attributes at once help more than one?

The network of public 3M with the apparel class and several attributes.

  python -m experiments.public_3m_three_tasks --data_dir=data/built \\
    --workdir=runs/three --tasks=apparel,color,age

Expected: 1 minute on 2 CPU cores for 1,500 photos and 20 epochs.
Result on those, one seed: apparel accuracy 0.487 with color and age; with color
0.500, alone 0.559 (experiments/README.md).
"""

import functools

from imat_jax import config, flags, preflight
from imat_jax.models.presets import paper

DEFAULTS = functools.partial(
  config.Run,
  model=paper.PUBLIC_3M_THREE_TASKS,
  tasks=('apparel', 'color', 'age'),
)


if __name__ == '__main__':
  flags.run(preflight.train, DEFAULTS)
