"""The trunks of today in PyTorch: a contestant of `benchmarks/trunks.py`.

  torch-env/bin/python benchmarks/peers/trunk_worker.py --work=resnet_step \\
    --runtime=compiled

The same layers as ours, channels last; `onnxruntime` runs what PyTorch exports.
"""

import argparse
import io
import os

import onnxruntime
import torch
import torch.nn.functional as F
import worker
import workload
from torch import nn


def convolution(inputs, outputs, size, stride=1, groups=1, **options):
  return nn.Conv2d(
    inputs, outputs, size, stride, size // 2, groups=groups, **options
  )


class ConvNorm(nn.Sequential):
  """A 3 × 3 convolution and its normalisation, by groups of 8 channels."""

  def __init__(self, inputs, outputs, stride=1):
    super().__init__(
      convolution(inputs, outputs, 3, stride, bias=False),
      nn.GroupNorm(outputs // 8, outputs),
    )


class Residual(nn.Module):
  def __init__(self, width):
    super().__init__()
    self.first, self.second = ConvNorm(width, width), ConvNorm(width, width)

  def forward(self, x):
    change = self.second(F.relu(self.first(x), inplace=True))
    return F.relu(x + change, inplace=True)


class ResNet(nn.Module):
  """64 pixels; the widths 16, 32, 64, 128."""

  features, trained_stages = 128, None

  def __init__(self):
    super().__init__()
    layers = [ConvNorm(3, 16, 2), nn.ReLU(inplace=True)]
    for width in (32, 64, 128):
      layers += [ConvNorm(width // 2, width), nn.ReLU(inplace=True)]
      layers += [nn.MaxPool2d(2), Residual(width)]
    self.layers = nn.Sequential(*layers)

  def forward(self, x):
    return F.dropout(self.layers(x).amax((2, 3)), 0.2, self.training)


class Inverted(nn.Module):
  """Expand, convolve by channel, project."""

  def __init__(self, inputs, outputs, size, stride, expansion):
    super().__init__()
    width = inputs * expansion
    expand = [convolution(inputs, width, 1), nn.ReLU6(inplace=True)]
    self.layers = nn.Sequential(
      *(expand if expansion > 1 else []),
      convolution(width, width, size, stride, groups=width),
      nn.ReLU6(inplace=True),
      convolution(width, outputs, 1),
    )
    self.is_residual = stride == 1 and inputs == outputs

  def forward(self, x):
    return x + self.layers(x) if self.is_residual else self.layers(x)


class Lite0(nn.Module):
  """Batch norm is folded; stages in front of the last six are frozen."""

  features, trained_stages = 1280, 6

  def __init__(self):
    super().__init__()
    stages = [nn.Sequential(convolution(3, 32, 3, 2), nn.ReLU6(inplace=True))]
    inputs = 32
    for repeats, size, stride, expansion, outputs in (
      *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40)),
      *((3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192)),
      (1, 3, 1, 6, 320),
    ):
      for repeat in range(repeats):
        stride = 1 if repeat else stride
        stages.append(Inverted(inputs, outputs, size, stride, expansion))
        inputs = outputs
    head = convolution(inputs, 1280, 1), nn.ReLU6(inplace=True)
    self.stages = nn.ModuleList([*stages, nn.Sequential(*head)])

  def forward(self, x):
    frozen = len(self.stages) - self.trained_stages
    with torch.no_grad():
      for stage in self.stages[:frozen]:
        x = stage(x)
    for stage in self.stages[frozen:]:
      x = stage(x)
    return x.mean((2, 3))


def prepare_step(trunk, work, runtime):
  _, labels = workload.trunk_batch(work)
  labels, photos = torch.as_tensor(labels).long(), as_tensor(work)
  if trunk.trained_stages:
    for stage in trunk.stages[: -trunk.trained_stages]:
      stage.requires_grad_(False)
  head = nn.Linear(trunk.features, workload.TRUNK_LABELS)
  model = nn.Sequential(trunk, head).to(memory_format=torch.channels_last)
  trained = [p for p in model.parameters() if p.requires_grad]
  optimizer = torch.optim.AdamW(trained, 3e-3, weight_decay=0.05, fused=True)
  called = torch.compile(model) if runtime == 'compiled' else model

  def repeat():
    optimizer.zero_grad(set_to_none=True)
    F.cross_entropy(called(photos), labels, label_smoothing=0.1).backward()
    optimizer.step()
    return work.photos

  return repeat


def prepare_forward(trunk, work, runtime):
  photos = as_tensor(work)
  trunk = trunk.eval().to(memory_format=torch.channels_last)
  if runtime == 'onnxruntime':
    return prepare_onnxruntime(trunk, photos)
  called = torch.compile(trunk) if runtime == 'compiled' else trunk

  def repeat():
    with torch.inference_mode():
      called(photos)
    return work.photos

  return repeat


def prepare_onnxruntime(trunk, photos):
  model = io.BytesIO()
  torch.onnx.export(
    trunk, (photos,), model, input_names=['photos'], dynamo=False
  )
  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = torch.get_num_threads()
  session = onnxruntime.InferenceSession(model.getvalue(), options)
  inputs = {'photos': photos.contiguous().numpy()}

  def repeat():
    session.run(None, inputs)
    return len(photos)

  return repeat


def as_tensor(work):
  """Float, channels last, about [-1, 1]."""
  photos, _ = workload.trunk_batch(work)
  return torch.as_tensor(photos).permute(0, 3, 1, 2).float().div_(127).sub_(1)


def prepare(flags):
  torch.set_num_threads(os.cpu_count())
  torch.manual_seed(0)
  work = workload.TRUNKS[flags.work]
  trunk = {'resnet': ResNet, 'lite0': Lite0}[work.trunk]()
  kind = prepare_step if work.is_step else prepare_forward
  repeat = kind(trunk, work, flags.runtime)
  for _ in range(3):
    repeat()
  versions = {
    'torch': torch.__version__,
    'onnxruntime': onnxruntime.__version__,
  }
  return versions, repeat


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--work', choices=workload.TRUNKS, required=True)
  parser.add_argument(
    '--runtime', choices=('eager', 'compiled', 'onnxruntime'), required=True
  )
  flags = parser.parse_args()
  worker.serve(lambda: prepare(flags))


if __name__ == '__main__':
  main()
