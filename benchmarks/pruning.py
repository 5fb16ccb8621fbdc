"""What removing units saves: parameters, the file, and onnxruntime's time.

  python -m benchmarks.pruning

Public 3M and the residual network for the apparel class, whole and without 50
and 75% of their units, exported to ONNX; milliseconds of the processor in
onnxruntime with one thread, which other work slows down less than the clock's,
from uint8 photos in memory to probabilities, interleaved, medians of 15. The
weights are random ones, which changes no time.
"""

import dataclasses
import statistics
import time

import jax
import numpy as np
import onnxruntime

from benchmarks import stepping
from imat_jax import artefact
from imat_jax.data.types import Resize
from imat_jax.models import network, presets, units
from imat_jax.training.history import History
from imat_jax.training.trained_model import TrainedModel

SHARES, SIZES, ROUNDS = (0, 0.5, 0.75), (1, 64), 15
TASKS = stepping.task_set((4,))


def main() -> None:
  print(f'{"network":>12} {"removed":>8} {"parameters":>11} {"MB":>7}', end='')
  print(*(f'{f"{size} photos, ms":>14}' for size in SIZES))
  for name in ('public_3m', 'modern'):
    whole = presets.by_name(name)
    models = [units.small(whole, share) if share else whole for share in SHARES]
    files = [exported(model) for model in models]
    times = [milliseconds(files, whole.trunk.shape, size) for size in SIZES]
    for number, share in enumerate(SHARES):
      params = network.num_params(models[number], TASKS)
      megabytes = len(files[number]) / 1e6
      print(f'{name:>12} {share:8.0%} {params:11,} {megabytes:7.2f}', end='')
      print(*(f'{of_size[number]:14.2f}' for of_size in times))


def exported(model) -> bytes:
  """The network as an ONNX file."""
  run = dataclasses.replace(stepping.RUN, model=model)
  of = network.Network(model, TASKS)
  image_BxHxWxC = network.trained_input(model.trunk)
  variables = jax.jit(lambda key, x: of.init(key, x, deterministic=True))(
    jax.random.key(0), image_BxHxWxC
  )
  trained = TrainedModel(run, TASKS, variables, History(), Resize.of(128))
  return artefact.onnx(trained)


def milliseconds(files, shape, size) -> list[float]:
  """Of each file's network on so many photos, in turn."""
  photos = np.random.default_rng(0).integers(
    0, 256, (size, *shape, 3), np.uint8
  )
  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = 1
  sessions = [onnxruntime.InferenceSession(file, options) for file in files]
  rows = [
    [seconds(session, photos) for session in sessions]
    for _ in range(ROUNDS + 1)
  ]
  return [  # the first round warms up
    1000 * statistics.median(column) for column in zip(*rows[1:], strict=True)
  ]


def seconds(session: onnxruntime.InferenceSession, photos: np.ndarray) -> float:
  """Of the processor."""
  start = time.process_time()
  session.run(None, {artefact.INPUT: photos})
  return time.process_time() - start


if __name__ == '__main__':
  main()
