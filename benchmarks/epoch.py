"""Times whole training epochs against Keras and PyTorch.

  python -m benchmarks.epoch --data_dir=data/built --annotations=data/raw \\
    --images=data/photos --keras=keras-env/bin/python \\
    --torch=torch-env/bin/python [--source=jpeg] [--json=epoch.json]

A repetition is an epoch of public 3M, apparel and age, over the train photos in
batches of 128 with the report's augmentation, without validation. With
`--source=jpeg` each photo is read and decoded in each epoch, with `memory` all
of them were before the first.
"""

import sys

from benchmarks import contestants, duel

KERAS = ('threads_1', 'tf_data', 'tf_warp')


def main() -> int:
  parser = duel.arguments(__doc__)
  contestants.add_peers(parser)
  contestants.add_photos(parser)
  parser.add_argument('--source', choices=('jpeg', 'memory'), default='jpeg')
  flags = parser.parse_args()
  contestants.say_who_is_missing(flags)
  report = duel.Report(flags, 'source')
  what = '--what=epoch', f'--source={flags.source}'
  report.duel(
    flags.source, contestants.loaders(flags, *what, keras_inputs=KERAS)
  )
  return report.finish()


if __name__ == '__main__':
  sys.exit(main())
