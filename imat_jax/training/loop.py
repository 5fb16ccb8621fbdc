"""The training loop: evaluate → save → next batch → step.

It trains a group of runs, most often of one. All take the same steps at the
same time; one that stops early stays as it is while the others go on.
"""

import functools
import math
import operator
import pathlib
import signal
import time
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np

from imat_jax import config, errors
from imat_jax.data import input_pipeline
from imat_jax.runtime import distributed, preemption, profiling, progress
from imat_jax.training import (
  checkpoint,
  gradient_similarity,
  inputs,
  metrics,
  program,
  sharding,
  step,
  watch,
)
from imat_jax.training.checkpoint import Checkpoint
from imat_jax.training.ensemble import Ensemble
from imat_jax.training.history import History, epoch_metrics


def train(
  group: Ensemble,
  data: inputs.Data,
  checkpoints: pathlib.Path,
  identity: str,
  on_start: Callable[[Checkpoint], None],
  on_save: Callable[[Checkpoint], None],
  says_epochs: bool = True,
  watched: watch.Watch | None = None,
) -> Checkpoint:
  """Trains to the end, from the latest checkpoint where there is one.

  Args:
    group: the runs.
    data: what they read.
    checkpoints: the folder of the checkpoints.
    identity: what the runs are, see `checkpoint.restore_latest`.
    on_start: called, in the first process, with what a start finds.
    on_save: the same with what is saved.
    says_epochs: whether each epoch has a line on stderr.
    watched: who is told of the epochs of a group of one run.

  Returns:
    the runs at their end.

  Raises:
    UserError: a loss or a gradient is not finite, or the disk fails.
    Interrupted: by SIGTERM or SIGINT to any process, once saved.
  """
  here = _latest(group, checkpoints, identity) or program.start(group)
  here = Checkpoint(*sharding.replicate(here[:-1]), here.histories)
  distributed.broadcast_from_primary(lambda: on_start(here))
  if not _is_active(group, here).any():
    return here
  at, training = here.at, group.training
  update, score = program.update(group), program.score(group)
  fed = data.train(group.seed_R, at)

  with (
    preemption.PreemptionHandler() as stop,
    checkpoint.Checkpointer(checkpoints, identity) as store,
    progress.Progress(training.epochs * data.steps, 'train', 'step', at) as bar,
    profiling.Trace(_profiles(group, checkpoints)) as trace,
  ):
    saved_at = -math.inf
    while True:
      due = _is_due(training.saving, at, saved_at)
      leaving = distributed.any_preempted(at, stop.received)
      epoch_ends = at == data.steps * (_epochs(here) + 1)
      if epoch_ends or due or leaving:
        _check_finite(group, here.metrics, _is_active(group, here), at, store)
      if epoch_ends:
        here = _after_epoch(group, here, at, data, score, store, watched)
        if says_epochs:
          bar.say(_line(group, here))
      active_R = _is_active(group, here)
      done = not active_R.any()
      if due or leaving or done or (epoch_ends and training.saving.save_epochs):
        store.save(at, here)
        if distributed.is_primary():
          on_save(here)
        saved_at = time.monotonic()
      if done:
        return here
      if leaving:
        store.wait()
        raise _interrupted(checkpoints.parent, leaving, at)
      trace.advance()
      started, before = time.monotonic(), here.metrics
      batch = next(fed)
      if watched and not at:
        shown = time.monotonic()
        watched.batch(program.seen(group, watch.PHOTOS)(here.state, batch))
        started += time.monotonic() - shown  # no part of the epoch's time
      if _compares(group, at):
        here = here._replace(cosines=program.compare(group)(here, batch))
      now, so_far = update(here.state, before, active_R, batch)
      # One step ahead of the device and no further: batches in flight would
      # fill the memory.
      _check_finite(group, before, active_R, at, store)
      seconds = time.monotonic() - started
      courses = tuple(c.later(seconds / active_R.sum()) for c in here.histories)
      here = here._replace(state=now, metrics=so_far, histories=courses)
      at += 1
      bar.advance()


def _latest(
  group: Ensemble, checkpoints: pathlib.Path, identity: str
) -> Checkpoint | None:
  """The latest checkpoint that the first process has."""
  shapes, found = program.start_shapes(group), None

  def read() -> list | None:
    nonlocal found
    found = checkpoint.restore_latest(checkpoints, identity, shapes)
    return found and [course.to_json() for course in found.histories]

  courses = distributed.broadcast_from_primary(read)
  if courses is None:
    return None
  arrays = distributed.broadcast_arrays(found and found[:-1], shapes[:-1])
  return Checkpoint(*arrays, tuple(map(History.from_json, courses)))


def evaluate_batches(
  score: program.Score, params: dict, batches: Iterable[input_pipeline.Batch]
) -> tuple[metrics.Metrics, list[step.Predictions]]:
  """The metrics of a whole data set, and each batch's guesses."""
  total, guesses = None, []
  for batch in batches:
    before = total
    found, guess = score(params, batch)
    total = found if before is None else metrics.merge(before, found)
    guesses.append(guess)
    jax.block_until_ready(before)
  return total, guesses


def _profiles(
  group: Ensemble, checkpoints: pathlib.Path
) -> pathlib.Path | None:
  (run, *more) = group.runs
  wanted = not more and run.profile and distributed.is_primary()
  return checkpoints.parent / 'profile' if wanted else None


def _epochs(here: Checkpoint) -> int:
  """Finished epochs; a run that stopped early has fewer."""
  return max(len(course.rows) for course in here.histories)


def _is_active(group: Ensemble, here: Checkpoint) -> np.ndarray:
  """Which runs are not finished, R."""
  pairs = zip(group.runs, here.histories, strict=True)
  return np.array([not course.finished(run) for run, course in pairs])


def _compares(group: Ensemble, at: int) -> bool:
  """Whether gradients are to be compared before this step."""
  every = group.training.affinity_steps
  return bool(every) and at % every == 0 and group.most_tasks > 1


def _is_due(saving: config.Saving, at: int, saved_at: float) -> bool:
  """Whether steps or seconds ask for a checkpoint; the first start does."""
  by_steps = saving.save_steps and at % saving.save_steps == 0
  waited = time.monotonic() - saved_at
  if by_steps or waited == math.inf:
    return True
  # Processes have clocks of their own.
  if not saving.save_seconds or not distributed.is_sync_step(at):
    return False
  return distributed.broadcast_from_primary(
    lambda: waited >= saving.save_seconds
  )


def _after_epoch(
  group: Ensemble,
  here: Checkpoint,
  at: int,
  data: inputs.Data,
  score: program.Score,
  store: checkpoint.Checkpointer,
  watched: watch.Watch | None,
) -> Checkpoint:
  """Evaluates; notes the runs' rows, and their parameters where it is best."""
  epoch = _epochs(here) + 1
  validation, _ = evaluate_batches(score, here.state.params, data.validation())
  active_R, courses = _is_active(group, here), list(here.histories)
  _check_finite(group, validation, active_R, at, store)
  train, validation, cosines = jax.device_get(
    (here.metrics, validation, here.cosines)
  )
  for r, course in enumerate(courses):
    if not active_R[r]:
      continue
    own = group.own_tasks(r)
    of_run = functools.partial(jax.tree.map, operator.itemgetter(r))
    results = {
      'train': metrics.compute(of_run(train), group.task_set),
      'validation': metrics.compute(of_run(validation), group.task_set),
    }
    new = epoch_metrics(
      group.runs[r],
      own.names,
      epoch=epoch,
      step=at,
      seconds=course.seconds,
      num_examples=data.num_train,
      **results,
      cosines=gradient_similarity.read(of_run(cosines), group.task_set.names),
    )
    courses[r] = course.after(new, group.training.stopping)
    if watched:
      watched.epoch(new, results['validation'])
  better_R = active_R & [c.stopping.best_epoch == epoch for c in courses]
  best_params = program.keep(better_R, here.state.params, here.best_params)
  zeros = jax.tree.map(jnp.zeros_like, (here.metrics, here.cosines))
  return Checkpoint(here.state, best_params, *zeros, tuple(courses))


def _check_finite(
  group: Ensemble,
  so_far: metrics.Metrics,
  active_R: np.ndarray,
  at: int,
  store: checkpoint.Checkpointer,
) -> None:
  """Waits for the steps before `at`; none may have lost its numbers."""
  broken_RxT = jax.device_get(so_far.nonfinite_T) * active_R[:, None]
  if broken_RxT.any():
    names = ', '.join(np.array(group.task_set.names)[broken_RxT.any(0)])
    run = group.runs[broken_RxT.any(1).argmax()]
    of = f' in {run.workdir}' if len(group) > 1 else ''
    latest = distributed.broadcast_from_primary(store.latest)
    raise errors.UserError(
      f'step {at}: the loss or a gradient of {names}{of} is not finite; the '
      f'last good checkpoint is that of step {latest}; a '
      'smaller --learning_rate in another --workdir may help'
    )


def _interrupted(
  folder: pathlib.Path, number: int, at: int
) -> errors.Interrupted:
  name = signal.Signals(number).name
  return errors.Interrupted(
    number,
    f'{name}: saved at step {at} in {folder}; the same command goes on from '
    'there',
  )


def _line(group: Ensemble, here: Checkpoint) -> str:
  """What is said of an epoch: of its first run, where it has several."""
  new, run = here.histories[0].rows[-1], group.runs[0]
  first = next(iter(new['validation']))
  accuracy = new['validation'][first]['accuracy']
  losses = {split: _shown(loss) for split, loss in new['total'].items()}
  return (
    f'epoch {new["epoch"]}/{run.epochs}: loss {losses["train"]}, validation '
    f'loss {losses["validation"]}, {first} accuracy {_shown(accuracy)}, '
    f'{new["examples_per_second"]:.0f} photos/s'
  )


def _shown(value: float | None) -> str:
  return '- (no labels)' if value is None else f'{value:.3f}'
