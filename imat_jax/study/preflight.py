"""Checks of a study, a search or a label space before jax is loaded.

Those of a run are in `imat_jax.preflight`.
"""

import pathlib

from imat_jax import errors
from imat_jax.runtime import extras, files, run_folders
from imat_jax.study.config import Study
from imat_jax.study.label_space_config import LabelSpace
from imat_jax.study.search_config import Search


def check_study(study: Study) -> None:
  """Raises a `UserError` if a study could not start.

  As with a run; and the task that it compares needs labels in each split.
  """
  from imat_jax.data import source
  from imat_jax.study import grid

  if study.cluster.num_processes > 1:
    return
  extras.require_report('a study')
  run_folders.refuse_foreign(study.workdir)
  planned = grid.make(study, source.read_tasks(study.data_dir))
  statistics = source.read_statistics(study.data_dir)
  compared = planned.task_names[0]
  for split, described in statistics['splits'].items():
    if not described['tasks'][compared]['labelled']:
      raise errors.UserError(
        f"{study.data_dir}: no {split} photo has a label of '{compared}', the "
        'task that the study compares; build a data set that has some'
      )


def check_search(search: Search) -> None:
  """The same for a search."""
  from imat_jax.data import source

  extras.require('optuna', 'search', 'a search')
  extras.require_report('a search')
  _refuse_foreign(search.workdir, 'search', 'search.json')
  source.read_tasks(search.data_dir).select(search.tasks)
  built = source.read_metadata(search.data_dir)['image_size']
  for dimension in search.dimensions:
    if dimension.name not in ('image_size', 'image_width'):
      continue
    if (largest := max(dimension.ends)) > built:
      raise errors.UserError(
        f'--space={search.space}: photos of {search.data_dir} are for {built} '
        f'pixels, not {largest}; build with --image_size={largest}'
      )


def check_label_space(settings: LabelSpace) -> None:
  """The same for groups of labels."""
  from imat_jax.data import source

  extras.require_report('a label space')
  _refuse_foreign(settings.workdir, 'label space', 'label_space.json')
  path = pathlib.Path(settings.workdir) / 'label_space.json'
  match files.read_json(path) if path.exists() else None:
    case {'task': task} if task != settings.task:
      raise errors.UserError(
        f'{settings.workdir}: has groups of the labels of {task}; choose '
        'another --workdir'
      )
  source.read_tasks(settings.data_dir).select([settings.task])


def _refuse_foreign(workdir: str, kind: str, own: str) -> None:
  """Raises if a folder has files, but not the one that its kind begins with."""
  root = pathlib.Path(workdir)
  names = [p.name for p in root.glob('*') if not files.is_foreign(p.name)]
  if names and own not in names:
    raise errors.UserError(
      f'{root}: has files of no {kind} ({min(names)}); choose a new folder for '
      '--workdir'
    )
