"""Which options train best? A search on the validation photos.

Takes the experiment whose options it varies, then that experiment's own flags:

  python -m experiments.search public_3m --data_dir=data/built \\
    --workdir=searches/rates \\
    --space='learning_rate=1e-4..1e-2:log; dropout=0..0.6'
  python -m experiments.search from_scratch --data_dir=data/built \\
    --workdir=searches/recipe --cache_on_device --trials=30 --halving=3 \\
    --space='weight_decay=1e-3..0.3:log; label_smoothing=0..0.2; crop=0.2..1'

Started again, it goes on where it was; started several times at once in one
folder, its processes share the trials. It ends with the finalists, trained with
several seeds, and a page. The best options are in WORKDIR/best.flags:

  python -m experiments.public_3m --flagfile=searches/rates/best.flags \\
    --data_dir=data/built --workdir=runs/best
"""

import functools
import importlib
import sys

from imat_jax import flags
from imat_jax.study import preflight, search_config

EXPERIMENTS = (
  *('private_1_4m', 'public_1_4m', 'public_3m', 'public_3m_three_tasks'),
  *('from_scratch', 'linear_probe', 'finetune', 'all_tasks'),
)


def main(search: search_config.Search) -> None:
  preflight.check_search(search)
  from imat_jax.study import search as program  # here: a typo comes first

  program.run_search(search)


def maker(argv: list[str]) -> functools.partial:
  """The config of a search, with the defaults of the experiment in `argv`."""
  defaults = {}
  if argv[1:] and argv[1] in EXPERIMENTS:
    experiment = importlib.import_module(f'experiments.{argv.pop(1)}')
    defaults = experiment.DEFAULTS.keywords
  return functools.partial(search_config.Search, **defaults)


if __name__ == '__main__':
  flags.run(main, maker(sys.argv))
