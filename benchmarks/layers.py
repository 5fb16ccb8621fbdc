"""Times the layers of `resnet` on a CPU, ours and PyTorch's, one by one.

  python -m benchmarks.layers [--torch=torch-env/bin/python]

The seven convolutions of the preset `modern` for 64 photos of 64 pixels, and
behind each a normalisation with ReLU, and pooling where it halves: medians of
31 in ms, and for convolutions 10^9 operations a second. A gradient is timed
alone; those of normalisation and pooling with their forward pass.
"""

import argparse
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import stepping
from benchmarks.peers import workload
from imat_jax.models import conv, group_norm, kernels, pooling

PEER = 'benchmarks/peers/torch_layers.py'


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--torch', metavar='PYTHON')
  flags = parser.parse_args()
  if kernels.kernels() is None:
    raise SystemExit(kernels.note())
  print('ours')
  for layer in workload.RESNET_LAYERS:
    print(workload.layer_row(layer, milliseconds(layer)), flush=True)
  if flags.torch:
    print('PyTorch', flush=True)
    subprocess.run([flags.torch, PEER], check=True)


def milliseconds(layer: workload.Layer) -> dict[str, float]:
  """Part → its time."""
  x, dy = noise(*layer.inputs), noise(*layer.outputs)
  kernel = noise(3, 3, layer.channels, layer.filters)
  scale = noise(layer.filters)

  def convolve(x, kernel):
    return conv.conv(x, kernel, jnp.zeros(layer.filters), layer.stride)

  def normalize(x, scale):
    return group_norm.group_norm(x, scale, scale, True)

  def pool(x):
    return pooling.halve(pooling.halve(x, 1), 2)

  seconds = {
    'forward': timed(convolve, x, kernel),
    'of kernel': timed(
      lambda x, k, dy: jax.vjp(lambda k: convolve(x, k), k)[1](dy),
      *(x, kernel, dy),
    ),
    'norm': timed(normalize, dy, scale),
    'norm, both': timed(
      lambda x, s, dy: jax.vjp(normalize, x, s)[1](dy), dy, scale, dy
    ),
  }
  if not layer.is_first:
    seconds['of input'] = timed(
      lambda x, k, dy: jax.vjp(lambda x: convolve(x, k), x)[1](dy),
      *(x, kernel, dy),
    )
  if layer.is_pooled:
    seconds['pool'] = timed(pool, dy)
    seconds['pool, both'] = timed(
      lambda x, dy: jax.vjp(pool, x)[1](dy), dy, dy[:, ::2, ::2]
    )
  return seconds


def timed(part, *arguments: jax.Array) -> float:
  return 1e3 * stepping.median_seconds(
    jax.jit(part), *arguments, repetitions=workload.LAYER_REPETITIONS
  )


def noise(*shape: int) -> jax.Array:
  rng = np.random.default_rng(0)
  return jnp.asarray(rng.normal(size=shape).astype(np.float32))


if __name__ == '__main__':
  sys.exit(main())
