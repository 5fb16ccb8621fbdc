"""Times the training step against Keras and PyTorch, a batch in memory.

  python -m benchmarks.step --keras=keras-env/bin/python \\
    --torch=torch-env/bin/python [--json=step.json]

Public 3M, batches of 128, float32, with 1, 2 and 5 tasks in both geometries. A
repetition is one step, from the batch in memory to the loss.
"""

import sys

from benchmarks import contestants, duel


def main() -> int:
  parser = duel.arguments(__doc__)
  contestants.add_peers(parser)
  parser.add_argument('--geometries', default='report,original')
  parser.add_argument('--tasks', default='1,2,5', help='how many')
  flags = parser.parse_args()
  contestants.say_who_is_missing(flags)
  report = duel.Report(flags, 'geometry, tasks')
  for geometry in flags.geometries.split(','):
    for tasks in flags.tasks.split(','):
      what = ['--what=step', f'--geometry={geometry}', f'--tasks={tasks}']
      contestants_of_step = [
        contestants.ours(*what),
        *contestants.peer('keras', 'keras', flags.keras, *what),
        *contestants.peer('torch', 'torch', flags.torch, *what),
        *contestants.peer(
          'torch', 'torch compiled', flags.torch, *what, '--variant=compiled'
        ),
      ]
      report.duel(f'{geometry}, {tasks}', contestants_of_step)
  return report.finish()


if __name__ == '__main__':
  sys.exit(main())
