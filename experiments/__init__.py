"""Commands that train."""

import sys

from imat_jax import flags

if sys.argv[0] == '-m':  # python -m experiments.NAME, which has imported little
  flags.set_malloc()
