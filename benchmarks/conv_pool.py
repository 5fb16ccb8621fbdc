"""Times the training step with each way to convolve and pool on a CPU.

  python -m benchmarks.conv_pool

The compiled kernel, XLA's operations with our pooling, and the same with
linen's. Public 3M, two tasks, batches of 128, in turn, medians of 7 steps.
"""

from collections.abc import Callable
from unittest import mock

import jax
from flax import linen as nn

from benchmarks import stepping
from imat_jax.data.types import Batch
from imat_jax.models import conv_pool, kernels
from imat_jax.training import compiled

LABEL_COUNTS = 4, 2


def linen_pool(x_BxHxWxC: jax.Array) -> jax.Array:
  return nn.max_pool(x_BxHxWxC, (4, 4), (2, 2), 'SAME')


def main() -> None:
  if kernels.kernels() is None:
    raise SystemExit(kernels.note())
  batch = stepping.noise_batch(LABEL_COUNTS, labels_per_photo=1.3)
  steps = {'the kernel': timed_step(batch)}
  with mock.patch.object(kernels, 'register', return_value=None):
    steps['XLA, our pooling'] = timed_step(batch)
    with mock.patch.dict(conv_pool.POOLINGS, {2: linen_pool}):
      steps["XLA, linen's pooling"] = timed_step(batch)
  stepping.print_in_turn(steps, repetitions=7)


def timed_step(batch: Batch) -> Callable[[], float]:
  """A step that is traced anew: what is patched is no part of a cache's key."""
  compiled._train_step.cache_clear()
  return stepping.timed_step(LABEL_COUNTS, batch)


if __name__ == '__main__':
  main()
