"""The trunks of others' weights equal the networks that they come from.

Their features under random weights, of two pictures each, are in
golden/trunks.npz: golden/make_trunks.py made them with torch 2.14, torchvision
0.29 and timm 1.0.31.
"""

import json
import pathlib

import jax
import numpy as np
import pytest
import random_weights

from imat_jax import errors
from imat_jax.models import pretrained
from imat_jax.models.trunks import PretrainedTrunk
from imat_jax.models.trunks.imagenet_resnet import ImagenetResNet
from imat_jax.models.trunks.vit import ViT
from imat_jax.models.weights import Weights

GOLDEN = np.load(pathlib.Path(__file__).parent / 'golden' / 'trunks.npz')
TRUNKS = {
  'resnet18': ImagenetResNet(depth='18', image_size=75, image_width=50),
  'resnet50': ImagenetResNet(depth='50', image_size=64, image_width=96),
  # The positions of 14 × 14 patches, and of 37 × 37, at other sizes.
  'augreg_tiny': ViT(size='tiny', image_size=240, image_width=32),
  'dinov2_small': ViT(form='dinov2', image_size=42, image_width=56),
  'torchvision_tiny': ViT(form='torchvision', size='tiny', image_size=48),
}


def _arrays(name: str) -> dict[str, np.ndarray]:
  return random_weights.arrays(json.loads(str(GOLDEN[f'{name}_shapes'])))


def _params(trunk: PretrainedTrunk, arrays: dict[str, np.ndarray]) -> dict:
  weights = Weights('', arrays)
  params = trunk.from_weights(weights)
  weights.check_all_taken()
  return params


@pytest.mark.parametrize('name', TRUNKS)
def test_features_are_those_of_the_reference(name):
  trunk = TRUNKS[name]
  features = jax.jit(
    lambda params, image_BxHxWxC: trunk.make().apply(
      {'params': params}, image_BxHxWxC, deterministic=True
    )
  )
  feature_BxD = features(
    _params(trunk, _arrays(name)), random_weights.images(trunk.shape)
  )
  expected_BxD = GOLDEN[f'{name}_feature']
  # The two pictures are farther apart by far.
  assert np.abs(np.diff(expected_BxD, axis=0)).max() > 0.1 * expected_BxD.std()
  atol = 1e-4 * expected_BxD.std()
  np.testing.assert_allclose(feature_BxD, expected_BxD, rtol=0, atol=atol)


@pytest.mark.parametrize(
  ('trunk', 'number', 'folded'),
  [
    # Of the reference without its classes; the numbers that are folded.
    (ImagenetResNet(depth='18'), 11_176_512, 4_800),
    (ImagenetResNet(depth='50'), 23_508_032, 26_560),
    (ViT(size='tiny'), 5_524_416, 192),
    (ViT(size='small'), 21_665_664, 384),
    (ViT(size='base'), 85_798_656, 768),
    (ViT(size='base', form='torchvision'), 85_798_656, 768),
    (ViT(size='small', form='dinov2', image_size=518), 22_056_192, 25 * 384),
    (ViT(size='base', form='dinov2', image_size=518), 86_579_712, 25 * 768),
  ],
)
def test_number_of_parameters(trunk, number, folded):
  shapes = pretrained.shapes(trunk)
  assert sum(x.size for x in jax.tree.leaves(shapes)) == number - folded


def test_a_file_of_weights_without_classes(tmp_path):
  from safetensors import numpy as safetensors

  arrays = _arrays('resnet18')
  del arrays['fc.weight'], arrays['fc.bias']
  safetensors.save_file(arrays, tmp_path / 'model.safetensors')
  trunk = ImagenetResNet(
    depth='18', pretrained=str(tmp_path / 'model.safetensors')
  )
  jax.tree.map(
    np.testing.assert_array_equal,
    pretrained.params(trunk),
    _params(trunk, arrays),
  )


def test_weights_of_another_form_are_refused(tmp_path):
  np.savez(tmp_path / 'weights.npz', **_arrays('augreg_tiny'))
  trunk = ViT(
    size='tiny', form='dinov2', pretrained=str(tmp_path / 'weights.npz')
  )
  with pytest.raises(errors.UserError, match=r"has no 'blocks\.0\.ls1\.gamma'"):
    pretrained.params(trunk)


def test_a_class_token_without_a_position_is_refused():
  """As of networks with registers."""
  arrays = _arrays('augreg_tiny')
  arrays['pos_embed'] = arrays['pos_embed'][:, 1:]
  with pytest.raises(errors.UserError, match="'pos_embed' has 195 patches"):
    _params(TRUNKS['augreg_tiny'], arrays)


def test_names_in_files_of_the_authors():
  """DINOv2's have a mask token; torchvision's are from before a renaming."""
  arrays = _arrays('dinov2_small') | {'mask_token': np.zeros((1, 384))}
  _params(TRUNKS['dinov2_small'], arrays)
  arrays = _arrays('torchvision_tiny')
  former = {
    name.replace('mlp.0.', 'mlp.linear_1.').replace(
      'mlp.3.', 'mlp.linear_2.'
    ): array
    for name, array in arrays.items()
  }
  trunk = TRUNKS['torchvision_tiny']
  assert former.keys() != arrays.keys()
  jax.tree.map(
    np.testing.assert_array_equal,
    _params(trunk, former),
    _params(trunk, arrays),
  )


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'image_size': 230}, '--image_size=230: .* 16 with .*such as 240'),
    ({'form': 'dinov2', 'image_width': 80}, '--image_size=224|_width=80: .*84'),
  ],
)
def test_half_a_patch_is_refused(options, message):
  with pytest.raises(ValueError, match=message):
    ViT(**options)
