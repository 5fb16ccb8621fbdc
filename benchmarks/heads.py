"""Times the training step with 1, 5 and 45 tasks.

  python -m benchmarks.heads

Public 3M, batches of 128, 1.5 labels per photo; the three in turn, medians of 9
steps. The tasks are as many and as large as those of iMaterialist 2017.
"""

import statistics

import numpy as np

from benchmarks import stepping
from imat_jax import config, tasks
from imat_jax.data.types import Batch

RUN = config.Run(data_dir='', workdir='')
# Labels per task, apparel and color first; 13 on average.
LABEL_COUNTS = (4, 33, 2, 5, 34) + (3, 7, 10, 14, 27) * 8


def main() -> None:
  steps = {number: timed_step(number) for number in (1, 5, 45)}
  seconds = [{n: step() for n, step in steps.items()} for _ in range(9)]
  for number in steps:
    median = statistics.median(row[number] for row in seconds)
    ratio = statistics.median(row[number] / row[1] for row in seconds)
    print(f'{number:2} tasks: {median:.3f} s, {ratio:.2f} of one task')


def timed_step(num_tasks: int):
  """Compiles a step; returns a function that runs it and gives its seconds."""
  task_set = tasks.TaskSet(
    tuple(
      tasks.Task(f'task {t}', tuple(map(str, range(number))))
      for t, number in enumerate(LABEL_COUNTS[:num_tasks])
    )
  )
  return stepping.timed_step(RUN, task_set, make_batch(num_tasks))


def make_batch(num_tasks: int) -> Batch:
  rng = np.random.default_rng(0)
  shape = (RUN.batch_size, num_tasks)
  label_BxT = rng.integers(0, LABEL_COUNTS[:num_tasks], shape)
  labelled_BxT = rng.random(shape) < 1.5 / num_tasks
  return Batch(
    rng.integers(0, 256, (RUN.batch_size, 128, 128, 3), np.uint8),
    np.where(labelled_BxT, label_BxT, tasks.MISSING).astype(np.int32),
  )


if __name__ == '__main__':
  main()
