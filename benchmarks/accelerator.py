"""Times training with the photos on the device, against what the device can do.

  python -m benchmarks.accelerator

Public 3M, apparel and color, batches of 128 with augmentation, through the
loop's own functions, on noise of the size of the report's data (24,642 photos).
It prints photos/s, the host's share of a step, and which fractions of the
measured memory bandwidth and matrix peak the step reaches. Under two minutes on
one GPU; `--photos=1000 --steps=5 --size=512` tries it on a CPU.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from imat_jax import config, tasks
from imat_jax.data import resident
from imat_jax.training import loop, metrics

STORED_SIDE = 160
RUN = config.Run(data_dir='', workdir='', resident=True)
TASKS = tasks.TaskSet(
  (
    tasks.Task('apparel', tuple('dops')),
    tasks.Task('color', tuple(map(str, range(33)))),
  )
)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--photos', type=int, default=24_642)
  parser.add_argument('--steps', type=int, default=200)
  parser.add_argument('--size', type=int, default=8192, help='of the matrices')
  flags = parser.parse_args()
  print('device:', jax.devices()[0].device_kind, '· jax', jax.__version__)
  bandwidth, peak = memory_bandwidth(flags.size), matrix_peak(flags.size)
  print(f'measured: {bandwidth / 1e9:,.0f} GB/s, {peak / 1e12:,.1f} TFLOP/s')
  whole, host, cost = training(flags.photos, flags.steps)
  print(f'training: {RUN.batch_size / whole:,.0f} photos/s')
  print(f'host: {host * 1e3:.3f} ms, {host / whole:.1%} of a step')
  print(
    f'a step reaches {cost["bytes accessed"] / whole / bandwidth:.1%} of the '
    f'bandwidth and {cost["flops"] / whole / peak:.1%} of the peak (by the '
    "compiler's count)"
  )


def training(photos: int, steps: int) -> tuple[float, float, dict]:
  """Seconds of a step, seconds of it on the host, and the compiler's count."""
  fed = resident.feeds(noise(photos), RUN.seed, RUN.batch_size)
  zeros = metrics.zeros(TASKS)
  now = loop.start(RUN, TASKS).state
  update = loop.compiled_update(RUN, TASKS)
  cost = update.lower(now, zeros, next(fed)).compile().cost_analysis()
  for _ in range(3):
    now, so_far = update(now, zeros, next(fed))
  jax.block_until_ready(now)
  host, start = 0.0, time.perf_counter()
  for _ in range(steps):
    begin = time.perf_counter()
    now, so_far_next = update(now, so_far, next(fed))
    host += time.perf_counter() - begin
    jax.block_until_ready(so_far)
    so_far = so_far_next
  jax.block_until_ready((now, so_far))
  return (time.perf_counter() - start) / steps, host / steps, cost


def noise(photos: int) -> resident.Photos:
  shape = (photos, STORED_SIDE, STORED_SIDE, 3)
  rng = np.random.default_rng(0)
  label_NxT = rng.integers(-1, 4, (photos, len(TASKS)))
  return resident.Photos(
    jax.random.bits(jax.random.key(0), shape, jnp.uint8),
    jnp.asarray(label_NxT, jnp.int32),
  )


def memory_bandwidth(size: int) -> float:
  """Bytes per second of reading and writing a large array."""
  x = jnp.zeros((4 * size, size), jnp.float32)
  return 2 * x.nbytes / seconds(jax.jit(lambda x: x + 1), x)


def matrix_peak(size: int) -> float:
  """FLOP per second of a product of bfloat16 matrices."""
  x = jnp.ones((size, size), jnp.bfloat16)
  return 2 * size**3 / seconds(jax.jit(lambda x: x @ x), x)


def seconds(function, x: jax.Array) -> float:
  """The median of ten calls."""
  jax.block_until_ready(function(x))
  found = []
  for _ in range(10):
    start = time.perf_counter()
    jax.block_until_ready(function(x))
    found.append(time.perf_counter() - start)
  return statistics.median(found)


if __name__ == '__main__':
  main()
