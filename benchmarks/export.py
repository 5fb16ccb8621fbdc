"""Times an exported network against the one that it was made of.

  python -m benchmarks.export

Public 3M for the apparel class, from uint8 photos in memory to probabilities:
the jitted network of this process, with the compiled kernel where there is one;
the StableHLO artefact; the ONNX artefact in onnxruntime. Interleaved, medians
of 15.
"""

import io
import statistics
import zipfile

import jax
import numpy as np
import onnxruntime

from benchmarks import stepping
from imat_jax import artefact
from imat_jax.data.types import Resize
from imat_jax.models import kernels
from imat_jax.models.network import Network
from imat_jax.training import history
from imat_jax.training.trained_model import TrainedModel

RUN, TASKS, ROUNDS = stepping.RUN, stepping.task_set((4,)), 15


def main() -> None:
  rng = np.random.default_rng(0)
  network = Network(RUN.model, TASKS)
  variables = jax.jit(lambda key, x: network.init(key, x, deterministic=True))(
    jax.random.key(0), np.zeros((1, 128, 128, 3), np.float32)
  )
  trained = TrainedModel(
    RUN, TASKS, variables, history.History(), Resize.of(128)
  )
  contestants = {
    f'in process ({"kernel" if kernels.kernels() else "XLA"})': jax.jit(
      artefact.probabilities(trained)
    ),
    'stablehlo': stablehlo(trained),
    'onnxruntime': onnx(trained),
  }
  print(f'{"photos at once":>14}', *contestants, sep='  ')
  for size in (1, 16, 128):
    photos = rng.integers(0, 256, (size, 128, 128, 3), np.uint8)
    rates = rate(contestants.values(), photos)
    cells = (
      f'{rate:{len(name)},.0f}'
      for name, rate in zip(contestants, rates, strict=True)
    )
    print(f'{size:14}', *cells, sep='  ')


def stablehlo(trained):
  """The artefact as its user calls it."""
  with zipfile.ZipFile(io.BytesIO(artefact.stablehlo(trained))) as archive:
    blob = bytearray(archive.read(artefact.NETWORK))
  return jax.jit(jax.export.deserialize(blob).call)


def onnx(trained):
  """The same, in onnxruntime with its defaults."""
  session = onnxruntime.InferenceSession(artefact.onnx(trained))
  return lambda photos: session.run(None, {artefact.INPUT: photos})


def rate(calls, photos) -> list[float]:
  """Photos per second of each, in turn."""
  calls = list(calls)
  rows = [
    [stepping.seconds(call, photos) for call in calls]
    for _ in range(ROUNDS + 1)
  ]
  return [  # the first round compiles
    len(photos) / statistics.median(column)
    for column in zip(*rows[1:], strict=True)
  ]


if __name__ == '__main__':
  main()
