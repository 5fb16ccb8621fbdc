"""The training program, to be read from top to bottom.

`train` is one experiment, from its config to its report: everything that a run
is made of, in the order in which it is needed. `fit` is the loop: evaluate →
save → next batch → step. A study trains ensembles, several runs at once, with
the same loop. What a step computes is in `training.step`.
"""

import dataclasses
import functools
import math
import operator
import os
import pathlib
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from imat_jax import config, errors
from imat_jax.data import source
from imat_jax.data.types import Resize
from imat_jax.models import kernels, pretrained
from imat_jax.reporting import results
from imat_jax.runtime import (
  distributed,
  extras,
  files,
  preemption,
  profiling,
  progress,
)
from imat_jax.runtime import workdir as workdir_lib
from imat_jax.training import (
  compiled,
  gradient_similarity,
  inputs,
  metrics,
  scoring,
  sharding,
)
from imat_jax.training.checkpoint import (
  Checkpoint,
  Checkpointer,
  restore_latest,
  steps,
)
from imat_jax.training.ensemble import Ensemble
from imat_jax.training.history import History, epoch_metrics
from imat_jax.training.trained_model import TrainedModel
from imat_jax.writers import multi
from imat_jax.writers.base import MetricWriter
from imat_jax.writers.multi import MultiWriter


def train(
  run: config.Run,
  writers: Sequence[MetricWriter] = (),
  start: TrainedModel | None = None,
) -> TrainedModel:
  """Trains, evaluates and reports one run, from its latest checkpoint on.

  Prints the scores, and the files that it writes to `run.workdir`.

  Args:
    run: the config.
    writers: of its epochs, beside those of its flags; what one raises ends the
      run, which can be resumed.
    start: a network of the run's form that it starts from, with the epochs
      that it has behind it; None for a new one.

  Raises:
    UserError: the data set, the folder or the machine does not suit the run.
    Interrupted: by SIGTERM or SIGINT to any process, once all is saved.
  """
  if bool(run.pruned_from) != bool(start):
    raise errors.UserError(
      f'--pruned_from={run.pruned_from}: is for imat_jax.prune alone'
    )
  workdir = workdir_lib.Workdir(run.workdir)
  # In this order: processes meet before they touch a device, and nothing in the
  # folder, or its bucket, is read before the lock is held.
  with (
    distributed.initialize(run.cluster),
    prepared(run.batch_size, run.model.trunk.uses_kernels),
    workdir_lib.lock(workdir),
    workdir_lib.synced(workdir),
  ):
    data_set = check_data_set(run.data_dir)
    task_set = source.read_tasks(run.data_dir).select(run.tasks)
    run = dataclasses.replace(
      run, tasks=task_set.names, model=pretrained.resolve(run.model)
    )
    # A study trains several runs at once with what follows.
    ensemble = Ensemble((run,), task_set)
    data = inputs.open_inputs(run, run.model.trunk, task_set)

    def init_or_check() -> str:
      begun = bool(steps(workdir.checkpoints))
      return workdir_lib.init_or_check(workdir, run, task_set, data_set, begun)

    # Before a step is compiled: another config in the folder is refused now.
    config_hash = distributed.broadcast_from_primary(init_or_check)
    with multi.make_writers(
      run, workdir, task_set, config_hash, writers
    ) as all_writers:
      # The best epoch's parameters are evaluated once more, photo by photo.
      end = fit(
        *(ensemble, data, workdir.checkpoints, config_hash, all_writers),
        start,
      )
      (scored,) = evaluate_best(ensemble, data, end)

      def report() -> None:
        results.write(workdir, scored)
        if note := extras.report_missing():
          return print(note)
        from imat_jax.reporting import run_page

        print(run_page.write(workdir))

      distributed.broadcast_from_primary(report)
  variables = jax.tree.map(lambda leaf_R: leaf_R[0], end.best_variables)
  variables = pretrained.complete(run.model.trunk, variables)
  resize = Resize.of(data_set['image_size'], data_set['exact_size'])
  return TrainedModel(run, task_set, variables, end.histories[0], resize)


def fit(
  ensemble: Ensemble,
  data: inputs.StreamedInputs,
  directory: pathlib.Path,
  config_hash: str,
  writers: MultiWriter,
  start: TrainedModel | None = None,
) -> Checkpoint:
  """The training loop, from the latest checkpoint on.

  All runs of an ensemble take the same steps at the same time; one that stops
  early keeps its state while the others continue.

  Args:
    ensemble: the runs; most often one.
    data: what they read.
    directory: of the checkpoints.
    config_hash: of the runs, see `checkpoint.restore_latest`.
    writers: of the epochs, for an ensemble of one run.
    start: see `train`.

  Returns:
    the runs at their end.

  Raises:
    UserError: a loss or a gradient is not finite, or the disk fails.
    Interrupted: by SIGTERM or SIGINT to any process, once saved.
  """
  training = ensemble.training
  checkpoint = _restore_or_init(ensemble, directory, config_hash, start)
  step, is_done = checkpoint.step, not _num_active(ensemble, checkpoint)
  rows = checkpoint.histories[0].rows
  distributed.broadcast_from_primary(
    lambda: writers.start(step, rows, resumes=not is_done)
  )
  if is_done:
    if start:  # which may have been all
      with Checkpointer(directory, config_hash) as checkpointer:
        checkpointer.save(step, checkpoint)
    return checkpoint
  train_step = compiled.train_step(ensemble, data.steps_per_epoch)
  eval_step = compiled.eval_step(ensemble)
  batches = data.train(ensemble.seed_R, step)
  num_steps = training.epochs * data.steps_per_epoch
  with (
    preemption.PreemptionHandler() as preempted,
    Checkpointer(directory, config_hash) as checkpointer,
    progress.Progress(num_steps, 'train', 'step', step) as bar,
    profiling.Trace(_profile_folder(ensemble, directory)) as trace,
  ):
    saved_at = -math.inf
    while True:
      # The order matters: an epoch is evaluated with the parameters before the
      # next step, and what is saved has not seen the next batch. So a start
      # from any checkpoint does what this one would have done.
      is_due = _is_due(training.saving, step, saved_at)
      signal_number = distributed.any_preempted(step, preempted.received)
      epoch_ends = step == data.steps_per_epoch * (_num_epochs(checkpoint) + 1)
      if epoch_ends or is_due or signal_number:
        # Nothing is evaluated or saved that has lost its numbers.
        _check_finite(ensemble, checkpoint.metrics, step, checkpointer)

      # 1. Evaluate.
      if epoch_ends:
        checkpoint = _end_epoch(
          ensemble, checkpoint, step, data, eval_step, checkpointer, writers
        )

      # 2. Save the state, the running sums and the history, together.
      num_active = _num_active(ensemble, checkpoint)
      if (
        is_due
        or signal_number
        or not num_active
        or (epoch_ends and training.saving.save_epochs)
      ):
        checkpointer.save(step, checkpoint)
        saved_at = time.monotonic()
      if not num_active:
        return checkpoint
      if signal_number:
        checkpointer.wait()
        raise _interrupted(directory.parent, signal_number, step)

      # 3. Step.
      trace.advance()
      started = time.monotonic()
      step_input = next(batches)
      if writers.draws and step == 0:
        begun = time.monotonic()
        seen_photos = compiled.seen_photos(ensemble, multi.NUM_PHOTOS)
        writers.write_batch(seen_photos(checkpoint.state, step_input))
        started += time.monotonic() - begun  # no part of the epoch's time
      checkpoint = _compare_tasks(ensemble, checkpoint, step, data, step_input)
      pending = checkpoint.metrics
      state, sums = train_step(checkpoint.state, pending, step_input)
      # One step ahead of the device and no further: batches in flight would
      # fill the memory.
      _check_finite(ensemble, pending, step, checkpointer)
      seconds = (time.monotonic() - started) / num_active
      histories = tuple(h.add_seconds(seconds) for h in checkpoint.histories)
      checkpoint = checkpoint._replace(
        state=state, metrics=sums, histories=histories
      )
      step += 1
      bar.advance()


def prepared(batch_size: int, uses_kernels: bool):
  """A context with what each training needs first: devices, caches, a mesh.

  A line on stderr where the compiled kernels that it would use are missing.

  Raises:
    UserError: no such device, or it does not suit the batch size.
  """
  sharding.check_devices()
  # Compiled programs are kept for the next start, in JAX_COMPILATION_CACHE_DIR
  # or the user's cache folder.
  if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    jax.config.update('jax_compilation_cache_dir', str(files.cache_folder()))
  # By default only what takes over a second to compile is kept.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  note = kernels.note() if uses_kernels else None
  if note and distributed.is_primary():
    print(note, file=sys.stderr)
  return sharding.set_mesh(batch_size)


def check_data_set(data_dir: str) -> dict[str, Any]:
  """The data set's identity, the same in all processes; see `source`.

  Raises:
    UserError: there is no data set, or the first process has another one.
  """
  data_set = source.identity(data_dir)
  if data_set != distributed.broadcast_from_primary(lambda: data_set):
    raise errors.UserError(
      f'{data_dir}: not the data set that the first process has; give all '
      'processes the same one'
    )
  return data_set


def _restore_or_init(
  ensemble: Ensemble,
  directory: pathlib.Path,
  config_hash: str,
  given: TrainedModel | None,
) -> Checkpoint:
  """The latest checkpoint that the first process has, or a fresh start."""
  shapes, latest = compiled.fresh_shapes(ensemble), None

  def restore() -> list | None:
    nonlocal latest
    latest = restore_latest(directory, config_hash, shapes)
    return latest and [history.to_json() for history in latest.histories]

  histories = distributed.broadcast_from_primary(restore)
  if histories is None and given:
    start = compiled.fresh(ensemble, given.variables)
    start = start._replace(histories=(given.history,))
  elif histories is None:
    start = compiled.fresh(ensemble)
  else:
    arrays = distributed.broadcast_arrays(latest and latest[:-1], shapes[:-1])
    start = Checkpoint(*arrays, tuple(map(History.from_json, histories)))
  start = Checkpoint(*sharding.replicate(start[:-1]), start.histories)
  return _set_active(ensemble, start)


def evaluate_best(
  ensemble: Ensemble, data: inputs.StreamedInputs, end: Checkpoint
) -> list[scoring.Scored]:
  """Scores the runs at their best epochs.

  Those are of the validation photos; the scores are of the test photos, where
  the data set has a test split.
  """
  return scoring.score_runs(
    ensemble,
    end.best_variables,
    end.histories,
    data.reported(),
    data.reported_split,
    data.num_reported,
  )


def _end_epoch(
  ensemble: Ensemble,
  checkpoint: Checkpoint,
  step: int,
  data: inputs.StreamedInputs,
  eval_step: compiled.EvalStep,
  checkpointer: Checkpointer,
  writers: MultiWriter,
) -> Checkpoint:
  """Evaluates; adds the epoch to the histories, keeps the best parameters."""
  epoch, active_R = _num_epochs(checkpoint) + 1, _active(ensemble, checkpoint)
  validation, _ = scoring.evaluate_batches(
    eval_step, checkpoint.state.variables, data.validation()
  )
  _check_finite(ensemble, validation, step, checkpointer)
  train, validation, cosines = jax.device_get(
    (checkpoint.metrics, validation, checkpoint.cosines)
  )
  histories = list(checkpoint.histories)
  # Before its end the network still loses weights: no such epoch is the best.
  may_be_best = step >= ensemble.training.optimizer.last_pruning(
    ensemble.training.epochs * data.steps_per_epoch
  )
  for r in np.flatnonzero(active_R):
    of_run = functools.partial(jax.tree.map, operator.itemgetter(r))
    scores = {
      'train': scoring.compute(of_run(train), ensemble.task_set),
      'validation': scoring.compute(of_run(validation), ensemble.task_set),
    }
    row = epoch_metrics(
      ensemble.runs[r],
      ensemble.own_tasks(r).names,
      ensemble.training.strategy,
      epoch=epoch,
      step=step,
      seconds=histories[r].seconds,
      num_examples=data.num_train,
      **scores,
      cosines=gradient_similarity.read(
        of_run(cosines), ensemble.task_set.names
      ),
      look_ahead=histories[r].look_ahead,
    )
    histories[r] = histories[r].append(
      row, ensemble.training.stopping, may_be_best=may_be_best
    )
    writers.write_epoch(row, scores['validation'])
  better_R = active_R & [h.stopping.best_epoch == epoch for h in histories]
  best = compiled.keep_best(
    better_R, checkpoint.state.variables, checkpoint.best_variables
  )
  zeros = jax.tree.map(jnp.zeros_like, (checkpoint.metrics, checkpoint.cosines))
  ended = Checkpoint(checkpoint.state, best, *zeros, tuple(histories))
  return _set_active(ensemble, ended)


def _set_active(ensemble: Ensemble, checkpoint: Checkpoint) -> Checkpoint:
  """The same, in whose state the finished runs are not active."""
  active_R = sharding.replicate(_active(ensemble, checkpoint))
  return checkpoint._replace(state=checkpoint.state.replace(active=active_R))


def _active(ensemble: Ensemble, checkpoint: Checkpoint) -> np.ndarray:
  """Which runs are not finished, R."""
  pairs = zip(ensemble.runs, checkpoint.histories, strict=True)
  return np.array([not history.finished(run) for run, history in pairs])


def _num_active(ensemble: Ensemble, checkpoint: Checkpoint) -> int:
  return int(_active(ensemble, checkpoint).sum())


def _num_epochs(checkpoint: Checkpoint) -> int:
  """Finished epochs; a run that stopped early has fewer."""
  return max(len(history.rows) for history in checkpoint.histories)


def _is_due(saving: config.Saving, step: int, saved_at: float) -> bool:
  """Whether steps or seconds ask for a checkpoint; the first start does."""
  by_steps = saving.save_steps and step % saving.save_steps == 0
  waited = time.monotonic() - saved_at
  if by_steps or waited == math.inf:
    return True
  # Processes have clocks of their own.
  if not saving.save_seconds or not distributed.is_sync_step(step):
    return False
  return distributed.broadcast_from_primary(
    lambda: waited >= saving.save_seconds
  )


def _compare_tasks(
  ensemble: Ensemble,
  checkpoint: Checkpoint,
  step: int,
  data: inputs.StreamedInputs,
  step_input: inputs.StepInput,
) -> Checkpoint:
  """With what `affinity_steps` and `suggest_tasks` ask for before this step."""
  if ensemble.most_tasks == 1:
    return checkpoint
  every = ensemble.training.affinity_steps
  if every and step % every == 0:
    compare = compiled.compare_gradients(ensemble)
    cosines = compare(checkpoint.cosines, checkpoint.state, step_input)
    checkpoint = checkpoint._replace(cosines=cosines)
  (run, *more) = ensemble.runs
  if not more and run.suggest_tasks and step % run.suggest_tasks == 0:
    checkpoint = _look_ahead(ensemble, checkpoint, step, data, step_input)
  return checkpoint


def _look_ahead(
  ensemble: Ensemble,
  checkpoint: Checkpoint,
  step: int,
  data: inputs.StreamedInputs,
  step_input: inputs.StepInput,
) -> Checkpoint:
  """With what each other task would do to the first one's loss."""
  (run,), (history,) = ensemble.runs, checkpoint.histories
  gain = compiled.look_ahead(ensemble, data.steps_per_epoch)
  held_out = data.held_out(step // run.suggest_tasks)
  (gain_T,) = jax.device_get(gain(checkpoint.state, step_input, held_out))
  gains = {
    name: float(of_task)
    for name, of_task in zip(ensemble.task_set.names, gain_T, strict=True)
    if np.isfinite(of_task)
  }
  return checkpoint._replace(histories=(history.add_look_ahead(gains),))


def _profile_folder(
  ensemble: Ensemble, directory: pathlib.Path
) -> pathlib.Path | None:
  (run, *more) = ensemble.runs
  if more or not run.profile or not distributed.is_primary():
    return None
  return directory.parent / 'profile'


def _check_finite(
  ensemble: Ensemble,
  sums: metrics.Metrics,
  step: int,
  checkpointer: Checkpointer,
) -> None:
  """Waits for the steps before `step`; none may have lost its numbers."""
  nonfinite_RxT = jax.device_get(sums.nonfinite_T)
  if nonfinite_RxT.any():
    names = ', '.join(np.array(ensemble.task_set.names)[nonfinite_RxT.any(0)])
    run = ensemble.runs[nonfinite_RxT.any(1).argmax()]
    where = f' in {run.workdir}' if len(ensemble) > 1 else ''
    latest = distributed.broadcast_from_primary(checkpointer.latest)
    raise errors.Diverged(
      f'non-finite loss or gradient in task {names}{where} at step {step} '
      f'(last good checkpoint: step {latest}). Try a smaller --learning_rate '
      'in a new --workdir'
    )


def _interrupted(
  folder: pathlib.Path, number: int, step: int
) -> errors.Interrupted:
  name = signal.Signals(number).name
  return errors.Interrupted(
    number,
    f'{name}: saved at step {step} in {folder}; run the same command to resume',
  )
