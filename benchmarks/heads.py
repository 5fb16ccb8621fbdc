"""Times the training step with 1, 5 and 45 tasks.

  python -m benchmarks.heads

Public 3M, batches of 128, 1.5 labels per photo; the three in turn, medians of 9
steps. The tasks are as many and as large as those of iMaterialist 2017.
"""

from benchmarks import stepping

# Labels per task, apparel and color first; 13 on average.
LABEL_COUNTS = (4, 33, 2, 5, 34) + (3, 7, 10, 14, 27) * 8


def main() -> None:
  steps = {}
  for number in (1, 5, 45):
    counts = LABEL_COUNTS[:number]
    batch = stepping.noise_batch(counts, labels_per_photo=1.5)
    steps[f'{number:2} tasks'] = stepping.timed_step(counts, batch)
  stepping.print_in_turn(steps, repetitions=9)


if __name__ == '__main__':
  main()
