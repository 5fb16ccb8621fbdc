"""Checks of a run or study before jax is loaded.

Loading jax and compiling take seconds; a typo in --tasks is reported at once.
Skipped for several processes: none may exit before all have connected.
"""

import pathlib
from typing import TYPE_CHECKING

from imat_jax import config, errors
from imat_jax.runtime import extras, files, run_folders

if TYPE_CHECKING:
  from imat_jax.study.label_space_config import LabelSpace


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


def check_search(search: config.Run) -> None:
  """The same for a search, whose folder is of no run."""
  from imat_jax.data import source

  extras.require('optuna', 'search', 'a search')
  extras.require_report('a search')
  source.read_tasks(search.data_dir).select(search.tasks)


def check_label_space(settings: 'LabelSpace') -> None:
  """The same for groups of labels; their folder has `label_space.json`."""
  from imat_jax.data import source

  extras.require_report('a label space')
  root = pathlib.Path(settings.workdir)
  names = [p.name for p in root.glob('*') if not files.is_foreign(p.name)]
  if names and 'label_space.json' not in names:
    raise errors.UserError(
      f'{root}: has files of no label space ({min(names)}); choose a new '
      'folder for --workdir'
    )
  source.read_tasks(settings.data_dir).select([settings.task])


def check_study(study: config.Study) -> None:
  """The same for a study; its compared task also needs labels."""
  from imat_jax.data import source
  from imat_jax.study import grid

  if study.cluster.num_processes > 1:
    return
  extras.require_report('a study')
  run_folders.refuse_foreign(study.workdir)
  planned = grid.make(study, source.read_tasks(study.data_dir))
  path = source.folder(study.data_dir) / 'statistics.json'
  compared = planned.task_names[0]
  for split, described in files.read_json(path)['splits'].items():
    if not described['tasks'][compared]['labelled']:
      raise errors.UserError(
        f"{study.data_dir}: no {split} photo has a label of '{compared}', the "
        'task that the study compares; build a data set that has some'
      )
