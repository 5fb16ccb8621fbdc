"""What saving costs: the same steps with and without checkpoints.

  python -m benchmarks.checkpoint [--rounds=6]

Public 3M, two tasks, batches of 128. A save costs what it adds to the time of
the steps around it; the share is of the default `--save_seconds`.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import jax
import numpy as np

from imat_jax import config, tasks
from imat_jax.data.types import Batch
from imat_jax.training import checkpoint, compiled
from imat_jax.training.ensemble import Ensemble
from imat_jax.training.inputs import StepInput

RUN = config.Run(data_dir='', workdir='')
TASKS = tasks.TaskSet(
  (tasks.Task('apparel', tuple('dops')), tasks.Task('age', ('adult', 'kids')))
)
# Steps measured after a save: the background thread is at work in these.
WINDOW = 6


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--rounds', type=int, default=6)
  rounds = parser.parse_args().rounds
  rng = np.random.default_rng(0)
  batch = Batch(
    rng.integers(0, 256, (RUN.batch_size, 128, 128, 3), np.uint8),
    rng.integers(-1, 2, (RUN.batch_size, 2)).astype(np.int32),
  )
  group = Ensemble((RUN,), TASKS)
  here, update = compiled.fresh(group), compiled.train_step(group)
  step_input = StepInput(batch, None)
  plain, saving = [], []
  with (
    tempfile.TemporaryDirectory() as folder,
    checkpoint.Checkpointer(pathlib.Path(folder), 'benchmark') as store,
  ):
    for number in range(2 * rounds + 1):
      saves = number % 2 == 0
      start = time.perf_counter()
      if saves:
        store.save(number, here)
      for _ in range(WINDOW):
        now, so_far = update(here.state, here.metrics, step_input)
        here = here._replace(state=jax.block_until_ready(now), metrics=so_far)
      seconds = time.perf_counter() - start
      if number:  # the first round compiles
        (saving if saves else plain).append(seconds)
  cost = statistics.median(saving) - statistics.median(plain)
  share = cost / RUN.saving.save_seconds
  print(f'{WINDOW} steps: {statistics.median(plain):.3f} s')
  print(f'{WINDOW} steps and a save: {statistics.median(saving):.3f} s')
  print(
    f'a save costs {cost:.3f} s: {share:.2%} of {RUN.saving.save_seconds} s'
  )


if __name__ == '__main__':
  main()
