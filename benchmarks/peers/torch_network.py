"""Public 3M in PyTorch, and its loss; for the workers with PyTorch."""

import torch
import torch.nn.functional as F
from torch import nn


class Convolution(nn.Module):
  """4 × 4, stride 1, as many places out as in, and ReLU."""

  def __init__(self, inputs, outputs):
    super().__init__()
    self.conv = nn.Conv2d(inputs, outputs, 4)

  def forward(self, x):
    return F.relu(self.conv(F.pad(x, (1, 2, 1, 2))), inplace=True)


class Public3M(nn.Module):
  """The trunk, the shared layers, and the logits of each task."""

  def __init__(self, counts, geometry):
    super().__init__()
    if geometry == 'report':
      pools = [nn.MaxPool2d(4, 2, padding=1) for _ in range(3)]
    else:
      pools = [nn.MaxPool2d(4), nn.MaxPool2d(4), nn.Identity()]
    widths = zip((3, 8, 16), (8, 16, 32), pools, strict=True)
    self.trunk = nn.Sequential(
      *(
        nn.Sequential(Convolution(inputs, outputs), pool)
        for inputs, outputs, pool in widths
      ),
      nn.Flatten(),
      nn.Dropout(0.5),
      *(nn.Linear(8192, 384), nn.ReLU(), nn.Linear(384, 384), nn.ReLU()),
    )
    self.heads = nn.ModuleList(
      nn.Sequential(nn.Linear(384, 128), nn.Tanh(), nn.Linear(128, count))
      for count in counts
    )
    for module in self.modules():  # as in Keras
      if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)

  def forward(self, photos):
    features = self.trunk(photos)
    return [head(features) for head in self.heads]


def task_losses(logits, labels):
  """The tasks' means over the labelled photos."""
  losses = []
  for task, of_task in enumerate(logits):
    wanted = labels[:, task]
    total = F.cross_entropy(of_task, wanted, ignore_index=-1, reduction='sum')
    losses.append(total / (wanted >= 0).sum().clamp(min=1))
  return losses


def masked_loss(model, photos, labels, weights):
  """Their weighted sum."""
  losses = task_losses(model(photos), labels)
  return sum(w * loss for w, loss in zip(weights, losses, strict=True))


def as_tensors(photos, labels):
  """uint8 B × H × W × C → float channels-last in [0, 1]; int64 labels."""
  photos = torch.as_tensor(photos).permute(0, 3, 1, 2).float().div_(255)
  return photos, torch.as_tensor(labels).long()
