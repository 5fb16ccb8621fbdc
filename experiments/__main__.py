"""Lists the experiments: python -m experiments."""

import pathlib

from imat_jax import commands, flags

__doc__ = f"""Each experiment has its question, and trains what answers it.

{commands.listed('experiments', pathlib.Path(__file__).parent)}

python -m EXPERIMENT --help describes it; python -m imat_jax lists the
commands for data, evaluation and use."""


def main(_: commands.NoFlags) -> None:
  print(__doc__)


if __name__ == '__main__':
  flags.run(main, commands.NoFlags)
