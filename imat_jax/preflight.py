"""Checks of a run before jax is loaded.

Loading jax and compiling take seconds; a typo in --tasks is reported at once.
Skipped for several processes: none may exit before all have connected.
"""

from imat_jax import config
from imat_jax.runtime import extras, run_folders


def train(run: config.Run) -> None:
  """Checks a run, then trains it: the command of most experiments."""
  check_run(run)
  from imat_jax import train  # late: a typo is reported before jax is loaded

  train.train(run)


def check_run(run: config.Run) -> None:
  """Raises a `UserError` if a run could not start.

  A package is missing, the workdir has other files, or the data set lacks a
  task.
  """
  from imat_jax.data import source  # late, so that --help is fast

  if run.cluster.num_processes > 1:
    return
  extras.require_for(run)
  run_folders.refuse_foreign(run.workdir)
  source.read_tasks(run.data_dir).select(run.tasks)
  source.read_statistics(run.data_dir)  # the page needs them, in the end
