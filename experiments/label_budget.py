"""How many labels of an attribute does it take to help?

Trains a task alone and with an attribute, on shares of the labels of both:
those of a smaller share are among those of a larger one, drawn by the seed. The
page has the difference that the attribute makes over the number of its labels,
a curve for each number of labels of the task.

  python -m experiments.label_budget --data_dir=data/built \\
    --workdir=studies/budget --task_sets='article;article,color'
  python -m experiments.label_budget … --main_label_shares=0.1,1 \\
    --other_label_shares=0.1,1 --seeds=8
  python -m experiments.label_budget … --dry_run

Needs a data set whose attribute is labelled on most photos. It is a study
(experiments.study), and stopped at any moment it resumes.
"""

import functools

from experiments import study
from imat_jax import flags
from imat_jax.study.config import Study

DEFAULTS = functools.partial(
  study.DEFAULTS,
  models=('public_3m',),
  main_label_shares=(0.01, 0.1, 1.0),
  other_label_shares=(0.01, 0.03, 0.1, 0.3, 1.0),
  affinity_steps=0,
)


def main(settings: Study) -> None:
  study.main(settings)


if __name__ == '__main__':
  flags.run(main, DEFAULTS)
