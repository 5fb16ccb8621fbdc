"""Runs one experiment, from the config to the report."""

import dataclasses
import os
import sys

import jax

from imat_jax import config, errors
from imat_jax.data import source
from imat_jax.models import kernels
from imat_jax.reporting import page, results
from imat_jax.runtime import distributed, files
from imat_jax.training import checkpoint, inputs, loop, scoring, sharding, watch
from imat_jax.training import workdir as workdir_lib
from imat_jax.training.ensemble import Ensemble


def run_one(run: config.Run) -> None:
  """Trains, evaluates and reports one run; goes on where it was stopped."""
  with distributed.initialize(run.cluster):
    prepare()
    workdir = workdir_lib.Workdir(run.workdir)
    with (
      workdir_lib.lock(workdir),
      workdir_lib.synced(workdir),
      sharding.set_mesh(run.batch_size),
    ):
      _run(run, workdir)


def _run(run: config.Run, workdir: workdir_lib.Workdir) -> None:
  fingerprint = one_fingerprint(run.data_dir)
  task_set = source.read_tasks(run.data_dir).select(run.tasks)
  run = dataclasses.replace(run, tasks=task_set.names)

  def claim() -> str:
    begun = bool(checkpoint.steps(workdir.checkpoints))
    return workdir_lib.init_or_check(workdir, run, task_set, fingerprint, begun)

  identity = distributed.broadcast_from_primary(claim)
  group = Ensemble((run,), task_set)
  data = inputs.open_data(run, run.model.geometry, task_set)
  with watch.watching(run, workdir, task_set, identity) as watched:
    end = loop.train(
      group,
      data,
      workdir.checkpoints,
      identity,
      on_start=lambda here: _started(workdir, run, here, watched),
      on_save=lambda here: workdir_lib.write_metrics(
        workdir, here.histories[0]
      ),
      watched=watched,
    )
    (scored,) = score(group, data, end)

    def finish() -> None:
      results.write(workdir, scored)
      print(page.write_run(workdir))

    distributed.broadcast_from_primary(finish)


def one_fingerprint(data_dir: str) -> str:
  """The data set's fingerprint, the same in all processes.

  Raises:
    UserError: there is no data set, or the first process has another one.
  """
  own = source.read_metadata(data_dir)['fingerprint']
  if own != distributed.broadcast_from_primary(lambda: own):
    raise errors.UserError(
      f'{data_dir}: not the data set that the first process has; give all '
      'processes the same one'
    )
  return own


def score(
  group: Ensemble, data: inputs.Data, end: checkpoint.Checkpoint
) -> list[scoring.Scored]:
  """Scores the runs of a group at their best epochs, on validation photos."""
  return scoring.score_runs(
    group,
    end.best_params,
    end.histories,
    data.validation(),
    'validation',
    data.num_validation,
  )


def prepare() -> None:
  """What each start of a training command needs first."""
  sharding.check_devices()
  _use_compilation_cache()
  note = kernels.note()
  if note and distributed.is_primary():
    print(note, file=sys.stderr)


def _started(
  workdir: workdir_lib.Workdir,
  run: config.Run,
  here: checkpoint.Checkpoint,
  watched: watch.Watch | None,
) -> None:
  """Says what a start found; counts it unless all is done."""
  (course,) = here.histories
  # What an earlier process wrote may be ahead of its last checkpoint.
  workdir_lib.write_metrics(workdir, course)
  if watched:
    watched.start(here.at, course.rows, not course.finished(run))
  if course.finished(run):
    said = f'is done after epoch {len(course.rows)}'
    print(f'{workdir.path}: {said}', flush=True)
    return
  if here.at:
    print(f'{workdir.path}: goes on at step {here.at}', flush=True)
  workdir_lib.log_start(workdir, here.at)


def _use_compilation_cache() -> None:
  """Keeps compiled programs for the next start.

  In `JAX_COMPILATION_CACHE_DIR`, or the user's cache folder.
  """
  if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    jax.config.update('jax_compilation_cache_dir', str(files.cache_folder()))
  # By default only what takes over a second to compile is kept.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
