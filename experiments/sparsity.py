"""How much of the network do the tasks need?

Trains one network whole, and pruned to each sparsity by each pruner: weights by
magnitude and at random, units likewise, and a network that has as few units
from the start. The page has the accuracy of each task over the number of
parameters that are left.

  python -m experiments.sparsity --data_dir=data/built \\
    --workdir=studies/sparsity --task_sets='article,color'
  python -m experiments.sparsity … --sparsities=0.9 --pruners=magnitude,random
  python -m experiments.sparsity … --dry_run

It is a study (experiments.study), and stopped at any moment it resumes.
"""

import functools

from experiments import study
from imat_jax import flags
from imat_jax.study.config import FEWER_UNITS, Study

DEFAULTS = functools.partial(
  study.DEFAULTS,
  models=('public_3m',),
  task_sets='apparel',
  sparsities=(0.5, 0.8, 0.9, 0.95, 0.98),
  pruners=(
    *('magnitude', 'random', 'unit_magnitude', 'unit_random'),
    FEWER_UNITS,
  ),
  affinity_steps=0,
)


def main(settings: Study) -> None:
  study.main(settings)


if __name__ == '__main__':
  flags.run(main, DEFAULTS)
