"""What saving costs: the same steps with and without checkpoints.

  python -m benchmarks.checkpoint [--rounds=6]

Public 3M, two tasks, batches of 128. A save costs what it adds to the time of
the steps around it; the share is of the default `--save_seconds`.
"""

import pathlib
import statistics
import tempfile

from benchmarks import duel, stepping
from imat_jax.training import checkpoint
from imat_jax.training.inputs import StepInput

# Steps measured after a save: the background thread is at work in these.
WINDOW = 6


def main() -> None:
  parser = duel.flag_parser(__doc__)
  parser.add_argument('--rounds', type=int, default=6)
  rounds = parser.parse_args().rounds
  trainer = stepping.Trainer(stepping.RUN, stepping.task_set((4, 2)))
  batch = stepping.noise_batch((4, 2), labels_per_photo=1.3)
  plain, saving = [], []
  with (
    tempfile.TemporaryDirectory() as folder,
    checkpoint.Checkpointer(pathlib.Path(folder), 'benchmark') as store,
  ):

    def steps(number: int, saves: bool) -> None:
      if saves:
        store.save(number, trainer.checkpoint)
      for _ in range(WINDOW):
        trainer.train([StepInput(batch, None)])

    for number in range(2 * rounds + 1):
      saves = number % 2 == 0
      seconds = stepping.seconds(steps, number, saves)
      if number:  # the first round compiles
        (saving if saves else plain).append(seconds)
  cost = statistics.median(saving) - statistics.median(plain)
  every = stepping.RUN.saving.save_seconds
  print(f'{WINDOW} steps: {statistics.median(plain):.3f} s')
  print(f'{WINDOW} steps and a save: {statistics.median(saving):.3f} s')
  print(f'a save costs {cost:.3f} s: {cost / every:.2%} of {every} s')


if __name__ == '__main__':
  main()
