"""Times whole training epochs against Keras and PyTorch.

  python -m benchmarks.epoch --data_dir=data/built --annotations=data/raw \\
    --images=data/photos --keras=keras-env/bin/python \\
    --torch=torch-env/bin/python [--source=jpeg] [--json=epoch.json]

A repetition is an epoch of public 3M, apparel and age, over the train photos in
batches of 128 with the report's augmentation, without validation. With
`--source=jpeg` each photo is read and decoded in each epoch, with `memory` all
of them were before the first.
"""

import argparse
import sys

from benchmarks import contestants, duel

KERAS = ('threads_1', 'tf_data', 'tf_warp')
TORCH_WORKERS = (0, 2)


def main() -> int:
  parser = duel.arguments(__doc__)
  contestants.add_peers(parser)
  contestants.add_photos(parser)
  parser.add_argument('--source', choices=('jpeg', 'memory'), default='jpeg')
  flags = parser.parse_args()
  contestants.say_who_is_missing(flags)
  report = duel.Report(flags, 'source')
  report.duel(flags.source, all_of(flags))
  return report.finish()


def all_of(flags: argparse.Namespace) -> list[duel.Contestant]:
  what = ['--what=epoch', f'--source={flags.source}']
  theirs = [*what, *contestants.photos_of_peers(flags)]
  found = [contestants.ours(*what, f'--data_dir={flags.data_dir}')]
  for kind in KERAS:
    found += contestants.keras(
      f'keras {kind}', flags.keras, *theirs, f'--input={kind}'
    )
  for workers in TORCH_WORKERS:
    found += contestants.torch(
      f'torch workers_{workers}', flags.torch, *theirs, f'--workers={workers}'
    )
  return found


if __name__ == '__main__':
  sys.exit(main())
