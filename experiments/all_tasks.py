"""Can one network answer all 45 questions of the competition?

The network of public 3M with a head for each task of one class, such as
`shoe:color`: 45 heads in Kaggle's data, where a photo has 1.5 labels. A photo
has labels of its own class alone, so the other classes' heads learn nothing of
it. All tasks weigh the same. `imat_jax.submit` makes the competition's file of
such a run.

  python -m experiments.all_tasks --data_dir=data/built --workdir=runs/all

Expected: 1 minute on 2 CPU cores for 1,500 photos and 20 epochs.
Result on those, which have labels of 10 of the 45 tasks, one seed: color is
learned best, pants:color with accuracy 0.619 where the commonest has 0.162; age
is not, in no class (experiments/README.md).
"""

import dataclasses
import functools

from imat_jax import config, flags, preflight
from imat_jax.models.presets import paper

ALL = ('all',)
DEFAULTS = functools.partial(
  config.Run, model=paper.PUBLIC_3M, tasks=ALL, task_weight_decay=1.0
)


def main(run: config.Run) -> None:
  # Here, so that --help stays quick.
  from imat_jax.data import source

  if run.tasks == ALL:
    names = source.read_tasks(run.data_dir).names
    of_one_class = tuple(name for name in names if ':' in name)
    run = dataclasses.replace(run, tasks=of_one_class)
  preflight.train(run)


if __name__ == '__main__':
  flags.run(main, DEFAULTS)
