"""Writes trunks.npz: features of the reference networks under random weights.

  python tests/golden/make_trunks.py

Needs torch, torchvision and timm, which the project does not install. A weight
follows from its name and shape (`random_weight`), so the file holds none.
"""

import json
import pathlib
import sys

import numpy as np
import timm
import torch
import torchvision

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import random_weights  # noqa: E402

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALVES = (0.5,) * 3, (0.5,) * 3


def load(model: torch.nn.Module) -> dict[str, list[int]]:
  """Gives a network its random weights; returns their shapes by name."""
  shapes = {name: list(x.shape) for name, x in model.state_dict().items()}
  arrays = random_weights.arrays(shapes)
  model.load_state_dict({n: torch.as_tensor(x) for n, x in arrays.items()})
  return shapes


def pixels(shape: tuple[int, int], mean, deviation) -> torch.Tensor:
  """The two pictures as the network sees them, B × C × H × W."""
  image_BxHxWxC = torch.as_tensor(random_weights.images(shape)) / 255
  x_BxHxWxC = (image_BxHxWxC - torch.tensor(mean)) / torch.tensor(deviation)
  return x_BxHxWxC.permute(0, 3, 1, 2)


def of_timm(name: str, shape: tuple[int, int], mean_and_deviation):
  model = timm.create_model(name, pretrained=False).eval()
  shapes = load(model)
  if name.startswith('vit'):
    model.set_input_size(shape)
  feature = model.forward_features(pixels(shape, *mean_and_deviation))
  return shapes, model.forward_head(feature, pre_logits=True)


def of_torchvision(model: torch.nn.Module, head: str, shape: tuple[int, int]):
  model.eval()
  shapes = load(model)
  setattr(model, head, torch.nn.Identity())
  return shapes, model(pixels(shape, *IMAGENET))


def tiny_vit(side: int) -> torch.nn.Module:
  """torchvision has no smaller one than ViT-B of its own."""
  return torchvision.models.VisionTransformer(side, 16, 12, 3, 192, 768)


@torch.inference_mode()
def main() -> None:
  cases = {
    'resnet18': of_torchvision(torchvision.models.resnet18(), 'fc', (75, 50)),
    'resnet50': of_torchvision(torchvision.models.resnet50(), 'fc', (64, 96)),
    # More rows than in its training, fewer columns.
    'augreg_tiny': of_timm('vit_tiny_patch16_224', (240, 32), HALVES),
    'dinov2_small': of_timm('vit_small_patch14_dinov2', (42, 56), IMAGENET),
    'torchvision_tiny': of_torchvision(tiny_vit(48), 'heads', (48, 48)),
  }
  shapes, feature_BxD = of_timm('resnet50', (64, 96), IMAGENET)
  assert shapes == cases['resnet50'][0]  # timm's names are the same
  torch.testing.assert_close(feature_BxD, cases['resnet50'][1])
  arrays = {}
  for name, (shapes, feature_BxD) in cases.items():
    arrays[f'{name}_shapes'] = np.array(json.dumps(shapes))
    arrays[f'{name}_feature'] = feature_BxD.numpy()
  folder = pathlib.Path(__file__).parent
  np.savez_compressed(folder / 'trunks.npz', **arrays)


if __name__ == '__main__':
  main()
