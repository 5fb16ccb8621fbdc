"""TODO

python -m experiments.public_3m --data_dir=data/built --workdir=runs/public_3m
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
    functools.partial(config.Run, model=presets.PUBLIC_3M, tasks=('apparel',)),
  )
