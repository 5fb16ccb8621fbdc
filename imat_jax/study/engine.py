"""Runs what an experiment describes, from the config to the report."""

import os
import pathlib

import jax

from imat_jax import config, evaluate, files
from imat_jax.data import source
from imat_jax.study import plots, report
from imat_jax.training import checkpoint, loop
from imat_jax.training import workdir as workdir_lib


def run_one(run: config.Run) -> None:
  """Trains, evaluates and reports one run; goes on where it was stopped."""
  use_compilation_cache()
  metadata = source.read_metadata(run.data_dir)
  task_set = source.read_tasks(run.data_dir).select(run.tasks)
  workdir = workdir_lib.Workdir(run.workdir)
  workdir_lib.claim(workdir, run, task_set, metadata['fingerprint'])
  with checkpoint.Store(workdir.checkpoints) as store:
    params, course = loop.train(
      run,
      task_set,
      store,
      on_epoch=lambda course: workdir_lib.write_metrics(workdir, course),
    )
  trained = workdir_lib.Trained(run, task_set, params, course)
  found = evaluate.evaluate(
    trained,
    run.data_dir,
    'validation',
    batch_size=run.batch_size,
    loader=run.loader,
  )
  files.write_json(workdir.evaluation, found)
  drawn = plots.draw_run(workdir.plots, course, found)
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
