"""Times the way from photos on the disk to augmented batches.

  python -m benchmarks.input --data_dir=data/built --annotations=data/raw \\
    --images=data/photos --keras=keras-env/bin/python \\
    --torch=torch-env/bin/python [--json=input.json]

A repetition is a pass over the train photos, in batches of 128 with the
report's augmentation, to float32 in [0, 1]. The peers read the photos as they
were downloaded; ours reads the data set that was built from them once.
"""

import argparse
import sys

from benchmarks import contestants, duel

KERAS = ('threads_1', 'threads_2', 'tf_data', 'tf_warp')
TORCH_WORKERS = (0, 2)


def main() -> int:
  parser = duel.arguments(__doc__)
  contestants.add_peers(parser)
  contestants.add_photos(parser)
  flags = parser.parse_args()
  contestants.say_who_is_missing(flags)
  report = duel.Report(flags, 'what')
  report.duel('input', all_of(flags))
  return report.finish()


def all_of(flags: argparse.Namespace) -> list[duel.Contestant]:
  what = ['--what=input', *contestants.photos_of_peers(flags)]
  found = [contestants.ours('--what=input', f'--data_dir={flags.data_dir}')]
  for kind in KERAS:
    found += contestants.keras(
      f'keras {kind}', flags.keras, *what, f'--input={kind}'
    )
  for workers in TORCH_WORKERS:
    found += contestants.torch(
      f'torch workers_{workers}', flags.torch, *what, f'--workers={workers}'
    )
  return found


if __name__ == '__main__':
  sys.exit(main())
