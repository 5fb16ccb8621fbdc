"""Training steps of ours, to be timed by several benchmarks."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from imat_jax import config, tasks
from imat_jax.data.types import Batch
from imat_jax.training import compiled, sharding
from imat_jax.training.ensemble import Ensemble
from imat_jax.training.inputs import StepInput

RUN = config.Run(data_dir='', workdir='')  # public 3M, batches of 128


def task_set(label_counts: Sequence[int]) -> tasks.TaskSet:
  """Tasks with so many labels each."""
  return tasks.TaskSet(
    tuple(
      tasks.Task(f'task {t}', tuple(map(str, range(number))))
      for t, number in enumerate(label_counts)
    )
  )


def noise_batch(label_counts: Sequence[int], labels_per_photo: float) -> Batch:
  """Pictures of noise, with as many labels on average."""
  rng = np.random.default_rng(0)
  shape = RUN.batch_size, len(label_counts)
  label_BxT = rng.integers(0, label_counts, shape)
  labelled_BxT = rng.random(shape) < labels_per_photo / len(label_counts)
  return Batch(
    rng.integers(0, 256, (RUN.batch_size, 128, 128, 3), np.uint8),
    np.where(labelled_BxT, label_BxT, tasks.MISSING).astype(np.int32),
  )


class Trainer:
  """The loop's steps, without its checkpoints and evaluations."""

  def __init__(self, run: config.Run, task_set: tasks.TaskSet):
    run = dataclasses.replace(run, tasks=task_set.names)
    ensemble = Ensemble((run,), task_set)
    start = compiled.fresh(ensemble)
    # As the loop does; it also copies what two parts of the state share.
    self.checkpoint = start._replace(
      state=sharding.replicate(start.state),
      metrics=sharding.replicate(start.metrics),
    )
    self._update = compiled.train_step(ensemble)

  def train(self, step_inputs: Iterable[StepInput]) -> None:
    """A step for each input, one ahead of the device, as the loop does."""
    state, metrics = self.checkpoint.state, self.checkpoint.metrics
    for step_input in step_inputs:
      before = metrics
      state, metrics = self._update(state, before, step_input)
      jax.block_until_ready(before)
    jax.block_until_ready((state, metrics))
    self.checkpoint = self.checkpoint._replace(state=state, metrics=metrics)

  def reset_metrics(self) -> None:
    """Begins new sums, as an epoch does."""
    metrics = jax.tree.map(jnp.zeros_like, self.checkpoint.metrics)
    self.checkpoint = self.checkpoint._replace(metrics=metrics)


def timed_step(
  label_counts: Sequence[int], batch: Batch, run: config.Run = RUN
) -> Callable[[], float]:
  """Compiles a step; returns a function that runs it and gives its seconds."""
  trainer = Trainer(run, task_set(label_counts))
  step_inputs = [StepInput(batch, None)]
  trainer.train(step_inputs)
  return lambda: seconds(trainer.train, step_inputs)


def print_in_turn(
  steps: dict[str, Callable[[], float]], repetitions: int
) -> None:
  """Lets the steps repeat in turn; prints medians and ratios to the first."""
  rows = [[step() for step in steps.values()] for _ in range(repetitions)]
  for name, column in zip(steps, zip(*rows, strict=True), strict=True):
    pairs = zip(column, rows, strict=True)
    ratio = statistics.median(mine / row[0] for mine, row in pairs)
    median = statistics.median(column)
    print(f'{name}: {median:.3f} s, {ratio:.2f} of the first')


def seconds(call: Callable, *arguments: Any) -> float:
  """How long a call takes, until its result is there."""
  start = time.perf_counter()
  jax.block_until_ready(call(*arguments))
  return time.perf_counter() - start


def median_seconds(call: Callable, *arguments: Any, repetitions: int) -> float:
  """The median of some calls after a first one, which compiles."""
  seconds(call, *arguments)
  return statistics.median(
    seconds(call, *arguments) for _ in range(repetitions)
  )
