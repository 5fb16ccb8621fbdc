"""Times the training step with each multi-task method.

  python -m benchmarks.strategies [NAME ...]

Public 3M, batches of 128, 1.5 labels per photo, with 2, 5 and 10 tasks; all
methods, or those that are named, after the plain sum. They take turns; medians
of 5 steps, as a ratio to the plain sum.
"""

import dataclasses
import sys

from benchmarks import heads, stepping
from imat_jax import options

PACKAGE = 'imat_jax.strategies'


def main(names: list[str]) -> None:
  others = names or options.part_names(PACKAGE)
  for number in (2, 5, 10):
    counts = heads.LABEL_COUNTS[:number]
    batch = stepping.noise_batch(counts, labels_per_photo=1.5)
    steps = {}
    for name in dict.fromkeys(('weighted_sum', *others)):
      strategy = options.part(PACKAGE, name)()
      run = dataclasses.replace(stepping.RUN, strategy=strategy)
      steps[f'{number:2} tasks, {name}'] = stepping.timed_step(
        counts, batch, run
      )
    stepping.print_in_turn(steps, repetitions=5)


if __name__ == '__main__':
  main(sys.argv[1:])
