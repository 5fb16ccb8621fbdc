"""The training loop: evaluate → save → next batch → step."""

import functools
import math
import pathlib
import signal
import time
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp

from imat_jax import config, errors, progress, tasks
from imat_jax.data import pipeline
from imat_jax.models import heads
from imat_jax.training import (
  checkpoint,
  feed,
  interruption,
  metrics,
  profiling,
  state,
  step,
)
from imat_jax.training.checkpoint import Checkpoint
from imat_jax.training.course import Course, row

Score = Callable[[dict, pipeline.Batch], metrics.Metrics]


def train(
  run: config.Run,
  task_set: tasks.TaskSet,
  checkpoints: pathlib.Path,
  identity: str,
  on_start: Callable[[Checkpoint], None],
  on_save: Callable[[Course], None],
) -> Checkpoint:
  """Trains to the end, from the latest checkpoint where there is one.

  Args:
    run: the config.
    task_set: the run's tasks, the first with weight 1.
    checkpoints: the folder of the run's checkpoints.
    identity: what the run is, see `checkpoint.read_latest`.
    on_start: called with what a start finds.
    on_save: called with the course whenever a checkpoint is on its way.

  Returns:
    the run at its end.

  Raises:
    UserError: a loss or a gradient is not finite, or the disk fails.
    Interrupted: by SIGTERM, SIGINT or the machine's preemption, once saved.
  """
  data = feed.open_data(run, task_set)
  here = start(run, task_set)
  here = checkpoint.read_latest(checkpoints, identity, like=here) or here
  on_start(here)
  if here.course.finished(run):
    return here
  at = int(here.state.step)
  update = compiled_update(run, task_set)
  profiles = pathlib.Path(run.workdir, 'profile') if run.profile else None
  score = compiled_score(run.model, task_set)
  fed = data.train(at)

  with (
    interruption.Interruption() as stop,
    checkpoint.Store(checkpoints, identity) as store,
    progress.Progress(run.epochs * data.steps, 'train', 'step', at) as bar,
    profiling.Trace(profiles) as trace,
  ):
    saved_at = -math.inf
    while True:
      due = _is_due(run.saving, at, saved_at)
      leaving = stop.received or store.reached_preemption(at)
      epoch_ends = at == data.steps * (len(here.course.rows) + 1)
      if epoch_ends or due or leaving:
        _check_finite(here.so_far, at, task_set, store)
      if epoch_ends:
        here = _after_epoch(here, at, run, task_set, data, score, store)
        bar.say(_line(here.course.rows[-1], run))
      if epoch_ends or due or leaving:
        store.save(at, here)
        on_save(here.course)
        saved_at = time.monotonic()
      if here.course.finished(run):
        return here
      if leaving:
        store.wait()
        raise _interrupted(run, stop.received or signal.SIGTERM, at)
      trace.advance()
      started, before = time.monotonic(), here.so_far
      now, so_far = update(here.state, before, next(fed))
      # One step ahead of the device and no further: batches in flight would
      # fill the memory.
      _check_finite(before, at, task_set, store)
      course = here.course.later(time.monotonic() - started)
      here = here._replace(state=now, so_far=so_far, course=course)
      at += 1
      bar.advance()


def start(run: config.Run, task_set: tasks.TaskSet) -> Checkpoint:
  """The run before its first step."""
  return Checkpoint(*jax.jit(_start_arrays(run, task_set))(), Course())


def start_shapes(run: config.Run, task_set: tasks.TaskSet) -> Checkpoint:
  """The shapes and types of `start`'s arrays."""
  return Checkpoint(*jax.eval_shape(_start_arrays(run, task_set)), Course())


def compiled_update(run: config.Run, task_set: tasks.TaskSet):
  """The jitted step: (state, metrics so far, feed) → (state, metrics)."""
  one_step = functools.partial(
    step.train_step,
    heads.Network(run.model, task_set),
    state.optimizer(run.optimizer),
  )

  def update(now, so_far, fed):
    after, found = one_step(now, feed.to_batch(run, fed, now))
    return after, metrics.merge(so_far, found)

  return jax.jit(update, donate_argnums=0)


def compiled_score(model: config.Model, task_set: tasks.TaskSet) -> Score:
  """The jitted evaluation: (params, batch) → metrics."""
  return jax.jit(
    functools.partial(step.eval_step, heads.Network(model, task_set))
  )


def score_all(
  score: Score,
  params: dict,
  batches: Iterable[pipeline.Batch],
  task_set: tasks.TaskSet,
) -> metrics.Metrics:
  """The metrics of a whole data set."""
  found = metrics.zeros(task_set)
  for batch in batches:
    before, found = found, metrics.merge(found, score(params, batch))
    jax.block_until_ready(before)
  return found


def _start_arrays(run: config.Run, task_set: tasks.TaskSet):
  def make():
    first = state.create(run, task_set)
    return first, first.params, metrics.zeros(task_set)

  return make


def _is_due(saving: config.Saving, at: int, saved_at: float) -> bool:
  """Whether steps or seconds ask for a checkpoint; the first start does."""
  by_steps = saving.save_steps and at % saving.save_steps == 0
  waited = time.monotonic() - saved_at
  by_time = saving.save_seconds and waited >= saving.save_seconds
  return bool(by_steps or by_time or waited == math.inf)


def _after_epoch(
  here: Checkpoint,
  at: int,
  run: config.Run,
  task_set: tasks.TaskSet,
  data: feed.Data,
  score: Score,
  store: checkpoint.Store,
) -> Checkpoint:
  """Evaluates; notes the epoch's row, and its parameters where it is best."""
  epoch = len(here.course.rows) + 1
  validation = score_all(score, here.state.params, data.validation(), task_set)
  _check_finite(validation, at, task_set, store)
  new = row(
    run,
    task_set,
    epoch=epoch,
    step=at,
    seconds=here.course.seconds,
    num_examples=data.num_examples,
    train=here.so_far,
    validation=validation,
  )
  course = here.course.after(new, run.stopping)
  best_params = here.best_params
  if course.stopping.best_epoch == epoch:
    best_params = jax.tree.map(jnp.copy, here.state.params)
  zeros = metrics.zeros(task_set)
  return Checkpoint(here.state, best_params, zeros, course)


def _check_finite(
  so_far: metrics.Metrics,
  at: int,
  task_set: tasks.TaskSet,
  store: checkpoint.Store,
) -> None:
  """Waits for the steps before `at`; none may have lost its numbers."""
  broken_T = jax.device_get(so_far.broken_T)
  if broken_T.any():
    names = [t.name for t, b in zip(task_set, broken_T, strict=True) if b]
    raise errors.UserError(
      f'step {at}: the loss or a gradient of {", ".join(names)} is not finite; '
      f'the last good checkpoint is that of step {store.latest_step()}; a '
      'smaller --learning_rate in another --workdir may help'
    )


def _interrupted(run: config.Run, number: int, at: int) -> errors.Interrupted:
  name = signal.Signals(number).name
  return errors.Interrupted(
    number,
    f'{name}: saved at step {at} in {run.workdir}; the same command goes on '
    'from there',
  )


def _line(new: dict, run: config.Run) -> str:
  first = next(iter(new['validation']))
  accuracy = new['validation'][first]['accuracy']
  shown = 'no labels' if accuracy is None else f'{accuracy:.3f}'
  return (
    f'epoch {new["epoch"]}/{run.epochs}: loss {new["total"]["train"]:.3f}, '
    f'validation loss {new["total"]["validation"]:.3f}, {first} accuracy '
    f'{shown}, {new["examples_per_second"]:.0f} photos/s'
  )
