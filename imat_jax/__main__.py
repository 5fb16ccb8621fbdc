"""Lists the commands: python -m imat_jax."""

import pathlib

from imat_jax import commands, flags

__doc__ = f"""Multi-task learning on product photos with few labels.

{commands.listed('imat_jax', pathlib.Path(__file__).parent)}

Runs and studies are trained by the commands that python -m experiments lists.
See python -m COMMAND --help for each."""


def main(_: commands.NoFlags) -> None:
  print(__doc__)


if __name__ == '__main__':
  flags.run(main, commands.NoFlags)
