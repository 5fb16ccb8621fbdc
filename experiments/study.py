"""Which extra attribute helps to tell the apparel class?

Trains the report's models on its task sets (apparel alone, and with material,
color, gender or age) with several seeds each, compares them, and leaves one
page that answers the question.

  python -m experiments.study --data_dir=data/built --workdir=studies/report
  python -m experiments.study --data_dir=data/built --workdir=studies/small \\
    --models=public_3m --task_sets='apparel;apparel,color;apparel,age' \\
    --seeds=6 --epochs=10
  python -m experiments.study … --strategies=weighted_sum,pcgrad,famo
  python -m experiments.study … --dry_run

Stopped at any moment, the same command resumes; with more seeds,
task sets or models it trains only what is new.
"""

import functools

from imat_jax import config, flags
from imat_jax.study import preflight
from imat_jax.study.config import Study

DEFAULTS = functools.partial(
  Study,
  cache_on_device=True,
  affinity_steps=20,
  # All arms on equal terms: by the task that is compared.
  stopping=config.Stopping(select_by='main'),
  saving=config.Saving(save_epochs=False),
)


def main(study: Study) -> None:
  preflight.check_study(study)
  from imat_jax.study import sweep  # here: a typo is reported before this loads

  sweep.run_study(study)


if __name__ == '__main__':
  flags.run(main, DEFAULTS)
