"""The training loop: evaluate → save → next batch → step."""

import functools
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import grain
import jax

from imat_jax import config, errors, progress, tasks
from imat_jax.data import pipeline, source
from imat_jax.models import heads, trunk
from imat_jax.training import checkpoint, metrics, state, step
from imat_jax.training.course import Course, row

Score = Callable[[dict, pipeline.Batch], metrics.Metrics]


class Data(NamedTuple):
  """What a run reads: endless train batches, one pass of validation."""

  train: grain.MapDataset
  validation: grain.MapDataset
  num_examples: int  # in train
  steps: int  # of an epoch


def train(
  run: config.Run,
  task_set: tasks.TaskSet,
  store: checkpoint.Store,
  on_epoch: Callable[[Course], None],
) -> tuple[dict, Course]:
  """Trains to the end, from the latest checkpoint where there is one.

  Args:
    run: the config.
    task_set: the run's tasks, the first with weight 1.
    store: where checkpoints are kept.
    on_epoch: called with the course after each epoch, once it is being saved.

  Returns:
    the parameters of the best epoch, and the run's course.
  """
  data = datasets(run, task_set)
  update, score = (
    compiled_update(run, task_set),
    compiled_score(run.model, task_set),
  )
  start = state.create(run, task_set)
  saved = store.restore(like=checkpoint.Checkpoint(start, start.params))
  now, best_params, course = saved or (start, start.params, Course())
  at = int(now.step)
  batches = pipeline.iterate(data.train, run.loader, start=at)
  so_far, started = metrics.zeros(task_set), time.monotonic()
  if course.rows:
    done = 'is done' if course.finished(run) else 'goes on'
    print(f'{run.workdir}: {done} after epoch {len(course.rows)}', flush=True)

  with progress.Progress(run.epochs * data.steps, 'train', 'step', at) as bar:
    while True:
      epoch = len(course.rows) + 1
      if at == epoch * data.steps:
        jax.block_until_ready(so_far)
        new = row(
          run,
          task_set,
          epoch=epoch,
          step=at,
          seconds=time.monotonic() - started,
          num_examples=data.num_examples,
          train=so_far,
          validation=score_all(
            score, now.params, data.validation, run.loader, task_set
          ),
        )
        _check_finite(new)
        course = course.after(new, run.stopping)
        if course.stopping.best_epoch == epoch:
          best_params = jax.tree.map(jax.numpy.copy, now.params)
        store.save(at, checkpoint.Checkpoint(now, best_params, course))
        bar.say(_line(new, run))
        on_epoch(course)
        so_far, started = metrics.zeros(task_set), time.monotonic()
      if course.finished(run):
        return best_params, course
      batch = next(batches)
      before = so_far
      now, so_far = update(now, so_far, batch)
      # Run one step ahead of the device and no further: batches in flight
      # would fill the memory.
      jax.block_until_ready(before)
      at += 1
      bar.advance()


def datasets(run: config.Run, task_set: tasks.TaskSet) -> Data:
  """Opens the data set for a run."""
  side = trunk.image_side(run.model.geometry)
  size = source.read_metadata(run.data_dir)['image_size']
  if size < side:
    raise errors.UserError(
      f'{run.data_dir}: photos are for {size} pixels, --geometry='
      f'{run.model.geometry} needs {side}: build with --image_size={side}'
    )
  train_photos = source.Source(run.data_dir, 'train', task_set)
  eval_photos = source.Source(run.data_dir, 'validation', task_set)
  return Data(
    pipeline.train_dataset(
      train_photos, side, run.batch_size, run.seed, run.augmentation
    ),
    pipeline.eval_dataset(
      eval_photos,
      side,
      run.batch_size,
      seed=run.seed,
      knobs=run.augmentation if run.eval_augmented else None,
    ),
    len(train_photos),
    pipeline.num_steps(len(train_photos), run.batch_size),
  )


def compiled_update(run: config.Run, task_set: tasks.TaskSet):
  """The jitted step: (state, metrics so far, batch) → (state, metrics)."""
  one_step = functools.partial(
    step.train_step,
    heads.Network(run.model, task_set),
    state.optimizer(run.optimizer),
  )

  def update(now, so_far, batch):
    after, found = one_step(now, batch)
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
  data: grain.MapDataset,
  loader: config.Loader,
  task_set: tasks.TaskSet,
) -> metrics.Metrics:
  """The metrics of a whole data set."""
  found = metrics.zeros(task_set)
  for batch in pipeline.iterate(data, loader):
    before, found = found, metrics.merge(found, score(params, batch))
    jax.block_until_ready(before)
  return found


def _check_finite(new: dict) -> None:
  if not all(map(math.isfinite, new['total'].values())):
    raise errors.UserError(
      f'epoch {new["epoch"]}, step {new["step"]}: the loss is not finite; '
      'a smaller --learning_rate may help'
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
