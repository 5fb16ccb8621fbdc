"""A training step of ours, to be timed: for benchmarks that compare some."""

import time
from collections.abc import Callable

import jax

from imat_jax import config, tasks
from imat_jax.data.pipeline import Batch
from imat_jax.training import loop, metrics


def timed_step(
  run: config.Run, task_set: tasks.TaskSet, batch: Batch
) -> Callable[[], float]:
  """Compiles a step; returns a function that runs it and gives its seconds."""
  update = loop.compiled_update(run, task_set)
  so_far = metrics.zeros(task_set)
  now = [update(loop.start(run, task_set).state, so_far, batch)[0]]

  def step() -> float:
    jax.block_until_ready(now)
    start = time.perf_counter()
    now[0] = jax.block_until_ready(update(now[0], so_far, batch)[0])
    return time.perf_counter() - start

  return step
