"""Times the way from photos on the disk to augmented batches.

  python -m benchmarks.input --data_dir=data/built --annotations=data/raw \\
    --images=data/photos --keras=keras-env/bin/python \\
    --torch=torch-env/bin/python [--json=input.json]

A repetition is a pass over the train photos, in batches of 128 with the
report's augmentation, to float32 in [0, 1]. The peers read the photos as they
were downloaded; ours reads the data set that was built from them once.
"""

import sys

from benchmarks import contestants, duel

KERAS = ('threads_1', 'threads_2', 'tf_data', 'tf_warp')


def main() -> int:
  parser = duel.arguments(__doc__)
  contestants.add_peers(parser)
  contestants.add_photos(parser)
  flags = parser.parse_args()
  contestants.say_who_is_missing(flags)
  report = duel.Report(flags, 'what')
  report.duel(
    'input', contestants.loaders(flags, '--what=input', keras_inputs=KERAS)
  )
  return report.finish()


if __name__ == '__main__':
  sys.exit(main())
