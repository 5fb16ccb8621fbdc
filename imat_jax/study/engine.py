"""Runs what an experiment describes, from the config to the report."""

import os
import pathlib
import sys

import jax

from imat_jax import config, evaluate, files
from imat_jax.data import source
from imat_jax.models import native
from imat_jax.study import plots, report
from imat_jax.training import checkpoint, loop
from imat_jax.training import workdir as workdir_lib


def run_one(run: config.Run) -> None:
  """Trains, evaluates and reports one run; goes on where it was stopped."""
  use_compilation_cache()
  if note := native.note():
    print(note, file=sys.stderr)
  metadata = source.read_metadata(run.data_dir)
  task_set = source.read_tasks(run.data_dir).select(run.tasks)
  workdir = workdir_lib.Workdir(run.workdir)
  with workdir_lib.locked(workdir):
    identity = workdir_lib.claim(
      workdir, run, task_set, metadata['fingerprint']
    )
    end = loop.train(
      run,
      task_set,
      workdir.checkpoints,
      identity,
      on_start=lambda here: _started(workdir, run, here),
      on_save=lambda course: workdir_lib.write_metrics(workdir, course),
    )
    trained = workdir_lib.Trained(run, task_set, end.best_params, end.course)
    _report(workdir, trained)


def _started(
  workdir: workdir_lib.Workdir, run: config.Run, here: checkpoint.Checkpoint
) -> None:
  """Says what a start found; counts it unless all is done."""
  step, epochs = int(here.state.step), len(here.course.rows)
  # What an earlier process wrote may be ahead of its last checkpoint.
  workdir_lib.write_metrics(workdir, here.course)
  if here.course.finished(run):
    print(f'{workdir.path}: is done after epoch {epochs}', flush=True)
    return
  if step:
    print(f'{workdir.path}: goes on at step {step}', flush=True)
  workdir_lib.note_start(workdir, step)


def _report(workdir: workdir_lib.Workdir, trained: workdir_lib.Trained) -> None:
  """Leaves the evaluation, the plots and the page."""
  run = trained.run
  found = evaluate.evaluate(
    trained,
    run.data_dir,
    'validation',
    batch_size=run.batch_size,
    loader=run.loader,
  )
  files.write_json(workdir.evaluation, found)
  drawn = plots.draw_run(workdir.plots, trained.course, found)
  report.write_run(workdir, trained, found, drawn)
  print(report.summary(workdir, trained, found))


def use_compilation_cache() -> None:
  """Keeps compiled programs for the next start.

  In `JAX_COMPILATION_CACHE_DIR`, or the user's cache folder.
  """
  if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    home = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    jax.config.update(
      'jax_compilation_cache_dir', str(pathlib.Path(home) / 'imat_jax')
    )
  # By default only what takes over a second to compile is kept.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
