"""Times training with the photos on the device, against what the device can do.

  python -m benchmarks.accelerator

Public 3M on the report's five tasks, batches of 128 with augmentation, through
the loop's own programs, on noise of the size of the report's data (24,642
photos). It prints, for one run and for the study's program of many runs at
once, photos/s summed over the runs, the host's share of a step, which fractions
of the measured memory bandwidth and matrix peak a step reaches, and how long
the report's table of 15 runs and 20 epochs would take at that rate. Some
minutes on one GPU; `--photos=1000 --steps=5 --size=512 --runs=2` tries it on a
CPU.
"""

import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import duel, stepping
from imat_jax import config, tasks
from imat_jax.data import device_dataset, input_pipeline
from imat_jax.training import compiled
from imat_jax.training.ensemble import Ensemble
from imat_jax.training.inputs import StepInput

STORED_SIDE = 160
LABELS = {'apparel': 4, 'material': 34, 'color': 33, 'gender': 3, 'age': 3}
TASKS = tasks.TaskSet(
  tuple(tasks.Task(n, tuple(map(str, range(k)))) for n, k in LABELS.items())
)
TABLE = 15 * 20 * 24_642  # photos that the report's runs see


def main() -> None:
  parser = duel.flag_parser(__doc__)
  parser.add_argument('--photos', type=int, default=24_642)
  parser.add_argument('--steps', type=int, default=100)
  parser.add_argument('--size', type=int, default=8192, help='of the matrices')
  parser.add_argument('--runs', type=int, nargs='+', default=[1, 5, 15, 40])
  flags = parser.parse_args()
  print('device:', jax.devices()[0].device_kind, '· jax', jax.__version__)
  bandwidth, peak = memory_bandwidth(flags.size), matrix_peak(flags.size)
  print(f'measured: {bandwidth / 1e9:,.0f} GB/s, {peak / 1e12:,.1f} TFLOP/s')
  photos = noise(flags.photos)
  for number in flags.runs:
    whole, host, cost = training(photos, number, flags.steps)
    rate = number * 128 / whole
    print(
      f'{number} runs: {rate:,.0f} photos/s; host {host / whole:.1%} of it; '
      f'{cost["bytes accessed"] / whole / bandwidth:.1%} of the bandwidth, '
      f'{cost["flops"] / whole / peak:.1%} of the peak (by the compiler’s '
      f'count); the report’s table in {TABLE / rate:,.0f} s',
      flush=True,
    )


def training(
  photos: device_dataset.Photos, number: int, steps: int
) -> tuple[float, float, dict]:
  """Seconds of a step, seconds of it on the host, and the compiler's count."""
  group = Ensemble(tuple(map(run_config, range(number))), TASKS)
  here, update = compiled.fresh(group), compiled.train_step(group)
  fed = feeds(photos, group)
  so_far = here.metrics
  lowered = update.lower(here.state, so_far, next(fed))
  cost = lowered.compile().cost_analysis()
  now = here.state
  for _ in range(3):
    now, so_far = update(now, so_far, next(fed))
  jax.block_until_ready(now)
  host, start = 0.0, time.perf_counter()
  for _ in range(steps):
    begin, before = time.perf_counter(), so_far
    now, so_far = update(now, before, next(fed))
    host += time.perf_counter() - begin
    jax.block_until_ready(before)
  jax.block_until_ready((now, so_far))
  return (time.perf_counter() - start) / steps, host / steps, cost


def run_config(number: int) -> config.Run:
  """Runs take turns in the report's task sets: apparel alone, and with one."""
  alone, *others = LABELS
  sets = [(alone,), *((alone, other) for other in others)]
  return config.Run(
    data_dir='',
    workdir='',
    cache_on_device=True,
    seed=number // len(sets),
    tasks=sets[number % len(sets)],
  )


def feeds(
  photos: device_dataset.Photos, group: Ensemble
) -> Iterator[StepInput]:
  batch_size = group.training.batch_size
  steps = input_pipeline.num_steps(len(photos.label_NxT), batch_size)
  order = device_dataset.order(group.seed_R, 0, steps, batch_size)
  while True:
    yield StepInput(photos, order)


def noise(photos: int) -> device_dataset.Photos:
  shape = (photos, STORED_SIDE, STORED_SIDE, 3)
  rng = np.random.default_rng(0)
  label_NxT = rng.integers(-1, 3, (photos, len(TASKS)))
  return device_dataset.Photos(
    jax.random.bits(jax.random.key(0), shape, jnp.uint8),
    jnp.asarray(label_NxT, jnp.int32),
  )


def memory_bandwidth(size: int) -> float:
  """Bytes per second of reading and writing a large array."""
  x = jnp.zeros((4 * size, size), jnp.float32)
  return 2 * x.nbytes / timed(lambda x: x + 1, x)


def matrix_peak(size: int) -> float:
  """FLOP per second of a product of bfloat16 matrices."""
  x = jnp.ones((size, size), jnp.bfloat16)
  return 2 * size**3 / timed(lambda x: x @ x, x)


def timed(function: Callable, x: jax.Array) -> float:
  return stepping.median_seconds(jax.jit(function), x, repetitions=10)


if __name__ == '__main__':
  main()
