"""Times the training step with our max pooling and with linen's.

  python -m benchmarks.pooling

Public 3M, two tasks, batches of 128, the two in turn, medians of 7 steps.
"""

import statistics
import time
from unittest import mock

import jax
import numpy as np
from flax import linen as nn

from imat_jax import config, tasks
from imat_jax.data.pipeline import Batch
from imat_jax.models import trunk
from imat_jax.training import loop, metrics, state

RUN = config.Run(data_dir='', workdir='')
TASKS = tasks.TaskSet(
  (tasks.Task('apparel', tuple('dops')), tasks.Task('age', ('adult', 'kids')))
)


def linen_pool(x_BxHxWxC: jax.Array) -> jax.Array:
  return nn.max_pool(x_BxHxWxC, (4, 4), (2, 2), 'SAME')


def main() -> None:
  rng = np.random.default_rng(0)
  batch = Batch(
    rng.integers(0, 256, (RUN.batch_size, 128, 128, 3), np.uint8),
    rng.integers(-1, 2, (RUN.batch_size, 2)).astype(np.int32),
  )
  ours = timed_step(batch)
  with mock.patch.dict(trunk.POOLINGS, report=(linen_pool,) * 3):
    linens = timed_step(batch)
  seconds = [(ours(), linens()) for _ in range(7)]
  medians = [statistics.median(column) for column in zip(*seconds, strict=True)]
  print(f'ours {medians[0]:.3f} s, linen {medians[1]:.3f} s')
  ratio = statistics.median(theirs / mine for mine, theirs in seconds)
  print(f'linen / ours, pair by pair: {ratio:.2f}')


def timed_step(batch: Batch):
  """Compiles a step; returns a function that runs it and gives its seconds."""
  update = loop.compiled_update(RUN, TASKS)
  so_far = metrics.zeros(TASKS)
  now = [update(state.create(RUN, TASKS), so_far, batch)[0]]

  def step() -> float:
    jax.block_until_ready(now)
    start = time.perf_counter()
    now[0] = jax.block_until_ready(update(now[0], so_far, batch)[0])
    return time.perf_counter() - start

  return step


if __name__ == '__main__':
  main()
