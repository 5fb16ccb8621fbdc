"""Times the training step with each way to convolve and pool on a CPU.

  python -m benchmarks.conv_pool

The compiled kernel, XLA's operations with our pooling, and the same with
linen's. Public 3M, two tasks, batches of 128, in turn, medians of 7 steps.
"""

import statistics
from unittest import mock

import jax
import numpy as np
from flax import linen as nn

from benchmarks import stepping
from imat_jax import config, tasks
from imat_jax.data.types import Batch
from imat_jax.models import conv_pool, kernels
from imat_jax.training import compiled

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
  if kernels.kernels() is None:
    raise SystemExit(kernels.note())
  steps = {'the kernel': timed_step(batch)}
  with mock.patch.object(kernels, 'register', return_value=None):
    steps['XLA, our pooling'] = timed_step(batch)
    with mock.patch.dict(conv_pool.POOLINGS, {2: linen_pool}):
      steps["XLA, linen's pooling"] = timed_step(batch)
  rows = [[step() for step in steps.values()] for _ in range(7)]
  for name, column in zip(steps, zip(*rows, strict=True), strict=True):
    ratio = statistics.median(
      mine / row[0] for mine, row in zip(column, rows, strict=True)
    )
    print(
      f'{name}: {statistics.median(column):.3f} s, {ratio:.2f} of the first'
    )


def timed_step(batch: Batch):
  """A step that is traced anew: what is patched is no part of a cache's key."""
  compiled._train_step.cache_clear()
  return stepping.timed_step(RUN, TASKS, batch)


if __name__ == '__main__':
  main()
