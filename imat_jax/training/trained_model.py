"""A run that has been trained, read back from its folder or bucket."""

import pathlib
from typing import Any, NamedTuple

import jax

from imat_jax import config, errors, tasks
from imat_jax.data.types import Resize
from imat_jax.models import pretrained
from imat_jax.runtime import checksums, files, run_folders
from imat_jax.runtime import workdir as workdir_lib
from imat_jax.training import checkpoint, compiled, sharding
from imat_jax.training.ensemble import Ensemble
from imat_jax.training.history import History


class TrainedModel(NamedTuple):
  """A run at its best epoch."""

  run: config.Run
  task_set: tasks.TaskSet
  variables: dict[str, Any]  # parameters, and collections if there are any
  history: History
  resize: Resize  # of the photos that it was trained on


def load(path: str | pathlib.Path) -> TrainedModel:
  """Reads a trained run, here or, through a copy, in a bucket.

  Raises:
    UserError: no run, a damaged one, or one without a finished epoch.
  """
  sharding.check_devices()
  if files.is_url(path):
    from imat_jax.runtime import storage  # only a bucket needs it

    url, parts = path, ('config.json', 'checkpoints/')
    path = storage.cached_download(url, parts, checksums.only_complete)
    if not any(path.iterdir()):
      raise errors.UserError(f'{url}: no trained run here')
  else:
    run_folders.check(path)
  workdir = workdir_lib.Workdir(path)
  run, task_set = workdir_lib.read_run(workdir)
  stored = files.read_json(workdir.config)
  shapes = compiled.fresh_shapes(Ensemble((run,), task_set))
  restored = checkpoint.restore_best(
    workdir.checkpoints,
    workdir_lib.config_hash(config.Run, stored),
    like=shapes.best_variables,
  )
  variables, (history,) = restored or (None, (History(),))
  if not history.rows:
    raise errors.UserError(f'{workdir.path}: no epoch of this run is finished')
  variables = jax.tree.map(lambda leaf_R: leaf_R[0], variables)
  variables = pretrained.complete(run.model.trunk, variables)
  # Runs of before 2026-12 do not say what their data set was built for.
  image_size = stored.get('image_size', max(run.model.trunk.shape))
  resize = Resize.of(image_size, stored.get('exact_size', False))
  return TrainedModel(run, task_set, variables, history, resize)
