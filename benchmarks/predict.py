"""Times the way from photo files to labels, on one core, part by part.

  python -m benchmarks.predict --run=runs/color --images=data/photos/train

Each part is a pass over the same photos, in turn, and alone; `predict` is all
of them as the command does it. Decoding is what no labelling can do without:
its rate is the limit.
"""

import itertools
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

from benchmarks import duel


def main() -> int:
  parser = duel.flag_parser(__doc__)
  parser.add_argument('--run', required=True)
  parser.add_argument('--images', required=True, help='a folder of photos')
  parser.add_argument('--photos', type=int, default=1024)
  parser.add_argument('--repetitions', type=int, default=5)
  flags = parser.parse_args()
  # Before jax and the threads are there.
  os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
  from imat_jax import predict

  photos = predict.photos_in(flags.images)
  paths = list(itertools.islice(photos, flags.photos))
  passes = parts(flags.run, paths)
  seconds = {name: [] for name in passes}
  for number in range(flags.repetitions + 1):
    for name, call in passes.items():
      start = time.perf_counter()
      call()
      if number:  # the first is for compiling, and for the disk's cache
        seconds[name].append(time.perf_counter() - start)
  print('| part | ms per photo | photos/s |\n|---|---|---|')
  for name, of_part in seconds.items():
    each = statistics.median(of_part) / len(paths)
    print(f'| {name} | {each * 1e3:.2f} | {1 / each:,.0f} |')
  return 0


def parts(run: str, paths: list[str]) -> dict[str, Callable[[], object]]:
  """Name → a pass over all photos."""
  import numpy as np
  from PIL import Image

  from imat_jax import inference
  from imat_jax.data import augment, input_pipeline, preprocess, source

  predictor = inference.Predictor(run)
  shape = predictor.shape
  resize = predictor.trained.resize
  files = [pathlib.Path(path) for path in paths]
  square = [preprocess.square(f, resize) for f in files]
  jpegs = [
    source.Record(preprocess.compressed(p), '', np.empty(0)) for p in square
  ]
  stored = [input_pipeline.decode(record) for record in jpegs]
  warped = [augment.warp(s, augment.IDENTITY, shape, 'nearest') for s in stored]
  batch_NxHxWxC = np.stack(warped)

  def decode(file):
    with Image.open(file) as image:
      image.load()

  return {
    'decode': lambda: [decode(f) for f in files],
    'decode, turn, squash': lambda: [
      preprocess.square(f, resize) for f in files
    ],
    'compress': lambda: [preprocess.compressed(p) for p in square],
    'decode again': lambda: [input_pipeline.decode(r) for r in jpegs],
    'resize': lambda: [
      augment.warp(s, augment.IDENTITY, shape, 'nearest') for s in stored
    ],
    'network': lambda: predictor.probabilities(batch_NxHxWxC),
    'predict': lambda: list(predictor.label(paths)),
  }


if __name__ == '__main__':
  sys.exit(main())
