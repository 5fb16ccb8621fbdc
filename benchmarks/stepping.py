"""A training step of ours, to be timed: for benchmarks that compare some."""

import dataclasses
import time
from collections.abc import Callable

import jax

from imat_jax import config, tasks
from imat_jax.data.types import Batch
from imat_jax.training import compiled
from imat_jax.training.ensemble import Ensemble
from imat_jax.training.inputs import StepInput


def timed_step(
  run: config.Run, task_set: tasks.TaskSet, batch: Batch
) -> Callable[[], float]:
  """Compiles a step; returns a function that runs it and gives its seconds."""
  run = dataclasses.replace(run, tasks=task_set.names)
  group = Ensemble((run,), task_set)
  here, update = compiled.fresh(group), compiled.train_step(group)
  rest = here.metrics, StepInput(batch, None)
  now = [update(here.state, *rest)[0]]

  def step() -> float:
    jax.block_until_ready(now)
    start = time.perf_counter()
    now[0] = jax.block_until_ready(update(now[0], *rest)[0])
    return time.perf_counter() - start

  return step
