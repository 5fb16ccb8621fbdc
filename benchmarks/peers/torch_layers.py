"""The layers of `benchmarks/layers.py` in PyTorch, channels last.

torch-env/bin/python benchmarks/peers/torch_layers.py
"""

import os
import statistics
import time

import torch
import torch.nn.functional as F
import workload

BACKWARD = torch.ops.aten.convolution_backward


def milliseconds(layer):
  """Part → its time."""
  x, dy = noise(*layer.inputs), noise(*layer.outputs)
  kernel = noise(layer.filters, 3, 3, layer.channels)
  scale = torch.randn(layer.filters, requires_grad=True)
  y = dy.clone().requires_grad_(True)

  def backward(*asked):
    return BACKWARD(
      *(dy, x, kernel, None, [layer.stride] * 2, [1, 1], [1, 1], False, [0, 0]),
      *(1, [*asked, False]),
    )

  def normalize():
    return F.relu(F.group_norm(y, layer.filters // 8, scale, scale))

  with torch.no_grad():
    seconds = {
      'forward': timed(lambda: F.conv2d(x, kernel, None, layer.stride, 1)),
      'of kernel': timed(lambda: backward(False, True)),
      'norm': timed(normalize),
    }
    if not layer.is_first:
      seconds['of input'] = timed(lambda: backward(True, False))
    if layer.is_pooled:
      seconds['pool'] = timed(lambda: F.max_pool2d(y, 2))
  seconds['norm, both'] = timed(lambda: normalize().backward(dy))
  if layer.is_pooled:
    half = dy[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)
    seconds['pool, both'] = timed(lambda: F.max_pool2d(y, 2).backward(half))
  return seconds


def noise(photos, height, width, channels):
  x = torch.randn(photos, channels, height, width)
  return x.to(memory_format=torch.channels_last)


def timed(part):
  part()
  seconds = []
  for _ in range(workload.LAYER_REPETITIONS):
    start = time.perf_counter()
    part()
    seconds.append(time.perf_counter() - start)
  return 1e3 * statistics.median(seconds)


if __name__ == '__main__':
  torch.set_num_threads(os.cpu_count())
  for layer in workload.RESNET_LAYERS:
    print(workload.layer_row(layer, milliseconds(layer)), flush=True)
