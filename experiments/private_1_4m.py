"""TODO

python -m experiments.private_1_4m --data_dir=data/built --workdir=runs/private_1_4m
"""

import functools

from imat_jax import config, flags
from imat_jax.models import presets


def main(run: config.Run) -> None:
  from imat_jax.study import engine  # here, so that --help stays quick

  engine.run_one(run)


if __name__ == '__main__':
  flags.run(
    main,
    functools.partial(
      config.Run, model=presets.PRIVATE_1_4M, tasks=('apparel',)
    ),
  )
