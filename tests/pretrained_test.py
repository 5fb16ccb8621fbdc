"""Weights of others: read safely, equal to the reference, frozen or tuned."""

import dataclasses
import functools
import io
import json
import os
import pathlib
import pickle
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from experiments import linear_probe
from imat_jax import artefact, config, errors, flags, inference
from imat_jax.data import device_dataset, input_pipeline, source
from imat_jax.models import pretrained, weights
from imat_jax.models.trunks.efficientnet_lite import EfficientNetLite
from imat_jax.training import features, scoring, trained_model

GOLDEN = pathlib.Path(__file__).parent / 'golden'
# Features of two pictures each, and a file of tensors in both of PyTorch's
# forms: made with torch 2.13 and the package efficientnet_lite_pytorch 0.1.

IMAGE_SIZE = 32


def _model(**options) -> config.Model:
  trunk = EfficientNetLite(
    pretrained='imagenet', image_size=IMAGE_SIZE, **options
  )
  return config.Model(trunk=trunk, normalize_features=True, head_widths=())


@pytest.mark.parametrize('size', ['lite0', 'lite2'])
def test_features_are_those_of_the_reference(size):
  golden = np.load(GOLDEN / 'efficientnet_lite.npz')
  trunk = EfficientNetLite(size=size, pretrained='imagenet')
  params = pretrained.params(trunk)
  feature_BxD = jax.jit(
    lambda image: trunk.make().apply(
      {'params': params}, image, deterministic=True
    )
  )(golden[f'{size}_image'])
  np.testing.assert_allclose(feature_BxD, golden[f'{size}_feature'], atol=1e-4)


@pytest.mark.parametrize(
  'size, number', [('lite0', 3_350_000), ('lite2', 4_782_024)]
)
def test_number_of_parameters(size, number):
  shapes = pretrained.shapes(EfficientNetLite(size=size))
  assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == number


TENSORS = {
  'a.b': np.arange(6, dtype=np.float32).reshape(2, 3).T,
  'n.w': np.array([1, 2, 3], np.float16),
}


@pytest.mark.parametrize('name', ['torch_zip.pth', 'torch_pickle.pth'])
def test_both_forms_of_a_torch_file(name):
  read = weights.read(GOLDEN / name)
  # Views of memory in another order.
  expected = TENSORS['a.b'].T if name == 'torch_zip.pth' else TENSORS['a.b']
  np.testing.assert_array_equal(read.take('a.b'), expected)
  if name == 'torch_zip.pth':  # in which dictionaries may be nested
    np.testing.assert_array_equal(read.take('n.w'), TENSORS['n.w'])
  read.check_all_taken()


def test_npz_and_safetensors(tmp_path):
  from safetensors import numpy as safetensors

  np.savez(tmp_path / 'w.npz', **TENSORS)
  contiguous = {n: np.ascontiguousarray(a) for n, a in TENSORS.items()}
  safetensors.save_file(contiguous, tmp_path / 'w.safetensors')
  for name in ('w.npz', 'w.safetensors'):
    read = weights.read(tmp_path / name)
    for key, array in TENSORS.items():
      np.testing.assert_array_equal(read.take(key), array)


class _Calls:
  """Pickles as a call of a function."""

  def __init__(self, function, *arguments):
    self._call = function, arguments

  def __reduce__(self):
    return self._call


def _torch_file(path: pathlib.Path, content: bytes) -> pathlib.Path:
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('archive/data.pkl', content)
    archive.writestr('archive/data/0', np.zeros(4, np.float32).tobytes())
  return path


HOSTILE = {
  'os.system': lambda mark: _Calls(os.system, f'touch {mark}'),
  'builtins.eval': lambda mark: _Calls(eval, f'open({str(mark)!r}, "w")'),
  'builtins.getattr': lambda mark: _Calls(getattr, 'a', 'join'),
  'inside': lambda mark: {'a': [_Calls(os.mkdir, str(mark))]},
  'numpy': lambda mark: np.zeros(3),
}


@pytest.mark.parametrize('kind', HOSTILE)
@pytest.mark.parametrize('is_zip', [True, False])
def test_a_hostile_pickle_is_refused(tmp_path, kind, is_zip):
  mark, path = tmp_path / 'called', tmp_path / 'w.pth'
  content = pickle.dumps(HOSTILE[kind](mark), protocol=2)
  if is_zip:
    _torch_file(path, content)
  else:
    path.write_bytes(content)
  with pytest.raises(errors.UserError, match=r'w\.pth') as caught:
    weights.read(path)
  assert '\n' not in str(caught.value)
  assert not mark.exists()


class _Pickler(pickle.Pickler):
  def persistent_id(self, obj):
    if isinstance(obj, np.dtype):
      return 'storage', _Global('torch', 'FloatStorage'), '0', 'cpu', 4
    return None


class _Global:
  """Stands for a name of torch, which is not installed."""

  def __init__(self, module, name):
    self.module, self.name = module, name


def _view(offset, size, stride) -> bytes:
  """A pickled tensor over a storage of four numbers."""
  text = io.BytesIO()
  text.write(b'\x80\x02}U\x01a')  # {'a':
  text.write(b'ctorch._utils\n_rebuild_tensor_v2\n(')
  text.write(b'(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04tQ')
  numbers = lambda values: pickle.dumps(tuple(values), 2)[2:-1]  # noqa: E731
  text.write(pickle.dumps(offset, 2)[2:-1] + numbers(size) + numbers(stride))
  text.write(b'\x89}tRs.')
  return text.getvalue()


@pytest.mark.parametrize(
  'offset, size, stride',
  [(0, (5,), (1,)), (3, (2,), (1,)), (0, (2, 2), (1, 9)), (-1, (2,), (1,)),
   (0, (2,), (-1,)), (0, (0,), (1,)), (0, (10**9,), (10**9,))],
)  # fmt: skip
def test_a_tensor_outside_of_its_memory_is_refused(
  tmp_path, offset, size, stride
):
  inside = _torch_file(tmp_path / 'w.pth', _view(1, (3,), (1,)))
  assert weights.read(inside).take('a').shape == (3,)
  outside = _torch_file(tmp_path / 'w.pth', _view(offset, size, stride))
  with pytest.raises(errors.UserError, match='not a readable file'):
    weights.read(outside)


def _installed() -> dict[str, np.ndarray]:
  path = pretrained.find(EfficientNetLite(pretrained='imagenet'))
  return weights.read(path)._arrays


def test_weights_that_do_not_fit_are_named(tmp_path):
  arrays = _installed()
  path = tmp_path / 'w.npz'
  trunk = EfficientNetLite(pretrained=str(path))
  changes = {
    "no '_bn0.bias'": {'_bn0.bias': None},
    "'extra.bias'": {'extra.bias': np.zeros(3)},
    "'head'.*1281.*1280": {
      '_conv_head.weight': np.zeros((1281, 320, 1, 1)),
      **{
        f'_bn1.{name}': np.ones(1281)
        for name in ('weight', 'bias', 'running_mean', 'running_var')
      },
    },
  }
  for message, change in changes.items():
    changed = {n: a for n, a in (arrays | change).items() if a is not None}
    np.savez(path, **changed)
    pretrained.params.cache_clear()
    with pytest.raises(errors.UserError, match=message):
      pretrained.params(trunk)


@pytest.mark.parametrize(
  'name, message',
  [
    ('none.npz', 'no such file'),
    (f'{__file__}', 'weights are read from'),
    ('hf://nobody/nothing-of-this-name', 'cannot be had'),
  ],
)
def test_weights_that_cannot_be_had(name, message, monkeypatch):
  monkeypatch.setenv('HF_HUB_OFFLINE', '1')
  with pytest.raises(errors.UserError, match=message) as caught:
    pretrained.params(EfficientNetLite(pretrained=name))
  assert '\n' not in str(caught.value)


def test_a_head_on_random_features_is_refused():
  with pytest.raises(ValueError, match='needs --pretrained'):
    EfficientNetLite(train_trunk='head')


def test_photos_that_are_not_there_are_not_mixed():
  with pytest.raises(ValueError, match='cutmix'):
    config.Run(
      data_dir='', workdir='', model=_model(train_trunk='head'),
      augmentation=config.Augmentation(cutmix=1.0),
    )  # fmt: skip


PROBE = _model(train_trunk='head', mirrored=True)


@pytest.fixture(scope='module')
def probe(built, tmp_path_factory):
  """A run on frozen features, of photos and their mirror images."""
  path = tmp_path_factory.mktemp('probe') / 'run'
  tiny.run(built, path, model=PROBE)
  return path


def test_frozen_features_are_computed_once(built, probe, monkeypatch, tmp_path):
  """A second run, of other tasks, reads them; a killed one resumes."""
  monkeypatch.setattr(features, '_compute', lambda *_: 1 / 0)
  changes = {'model': PROBE}
  tiny.run(built, tmp_path / 'run', **changes, epochs=1)
  tiny.run(built, tmp_path / 'run', **changes)
  assert tiny.results(tmp_path / 'run') == tiny.results(probe)
  tiny.run(built, tmp_path / 'color', **changes, tasks=('color',), epochs=1)


def test_views_of_the_train_photos(built, tmp_path):
  """The first is the photo; a step draws each about as often."""
  model = pretrained.resolve(_model(train_trunk='head', views=2))
  run = config.Run(data_dir=built, workdir='', model=model)
  examples = source.Source(built, 'train', source.read_tasks(built))
  feature_NxVxD, label_NxT = features.read(run, model.trunk, examples)
  plain_Nx1xD, _ = features.read(
    run, dataclasses.replace(model.trunk, views=0), examples
  )
  np.testing.assert_allclose(feature_NxVxD[:, :1], plain_Nx1xD, atol=1e-5)
  apart = np.abs(np.diff(feature_NxVxD, axis=1)).max((0, 2))
  assert (apart > 0.1).all()
  held = device_dataset.Features(
    jnp.asarray(feature_NxVxD), jnp.asarray(label_NxT)
  )
  order_SxB = jnp.arange(len(examples))[None]
  drawn = []
  for step in range(60):
    batch = device_dataset.feature_batch(
      held, order_SxB, jnp.uint32(1), jnp.int32(step)
    )
    same_NxV = (feature_NxVxD == batch.image_BxHxWxC[:, None]).all(2)
    assert same_NxV.any(1).all()
    drawn.append(same_NxV.argmax(1))
  assert np.bincount(np.ravel(drawn)) / np.size(drawn) == pytest.approx(
    1 / 3, abs=0.04
  )
  tiny.run(built, tmp_path / 'run', model=model, epochs=1)
  _assert_evaluated_from_photos(built, tmp_path / 'run')


def test_a_frozen_run_saves_only_its_head(probe):
  size = sum(p.stat().st_size for p in probe.rglob('*') if p.is_file())
  assert size < 8e6  # the trunk has 13 MB
  lines = (probe / 'README.md').read_text().splitlines()
  (line,) = [x for x in lines if x.startswith('* Its trunk starts from')]
  assert line.endswith('licence: Apache-2.0) and stays as they are.')
  assert '* A label on less' in lines[lines.index(line) + 1]
  trained = trained_model.load(probe)
  assert set(trained.variables['params']) == {'trunk', 'heads'}


def test_features_of_mirror_images(built, probe):
  model = trained_model.load(probe).run.model
  settings = config.Training(data_dir=built, workdir='')
  examples = source.Source(built, 'validation', source.read_tasks(built))
  mean_Nx1xD, _ = features.read(settings, model.trunk, examples)
  image_NxHxWxC = input_pipeline.eval_dataset(
    examples, model.trunk.shape, len(examples)
  )[0].image_BxHxWxC
  params, module = pretrained.params(model.trunk), model.trunk.make()
  of_trunk = jax.jit(functools.partial(module.apply, deterministic=True))
  plain_NxD, mirrored_NxD = (
    of_trunk({'params': params}, image)
    for image in (image_NxHxWxC, np.flip(image_NxHxWxC, 2))
  )
  assert np.abs(plain_NxD - mirrored_NxD).max() > 0.1
  np.testing.assert_allclose(
    mean_Nx1xD[:, 0], (plain_NxD + mirrored_NxD) / 2, atol=1e-4
  )


def _assert_evaluated_from_photos(built: str, path: pathlib.Path) -> None:
  """With the losses that training had from stored features."""
  trained = trained_model.load(path)
  outputs = scoring.outputs(
    trained, built, 'validation', batch_size=16, loader=trained.run.loader
  )
  stored = json.loads((path / 'evaluation.json').read_text())
  for name, task in scoring.score(trained, outputs, 'validation')[
    'tasks'
  ].items():
    assert task['loss'] == pytest.approx(
      stored['tasks'][name]['loss'], rel=1e-3
    )


def test_a_frozen_run_is_evaluated_and_exported_from_photos(built, probe):
  _assert_evaluated_from_photos(built, probe)
  trained = trained_model.load(probe)
  image_BxHxWxC = np.random.default_rng(0).integers(
    0, 256, (3, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8
  )
  exported = artefact.probabilities(trained)(image_BxHxWxC)['apparel']
  predicted = inference.Predictor(probe).probabilities(image_BxHxWxC)
  number = exported.shape[1]
  np.testing.assert_allclose(exported, predicted[:, 0, :number], rtol=1e-4)


@pytest.mark.parametrize('cached', [False, True])
def test_only_the_last_stages_are_trained(built, tmp_path, cached):
  model = _model(train_trunk='2')
  tiny.run(
    built, tmp_path / 'run', model=model, cache_on_device=cached, epochs=1,
    optimizer=config.Optimizer(weight_decay=0.1, trunk_factor=0.1),
  )  # fmt: skip
  trained = trained_model.load(tmp_path / 'run').variables['params']['trunk']
  start = pretrained.params(model.trunk)
  moved = {
    name
    for name in start
    if any(
      not np.array_equal(a, b)
      for a, b in zip(
        jax.tree.leaves(start[name]),
        jax.tree.leaves(trained[name]),
        strict=True,
      )
    )
  }
  assert moved == {'block_15', 'head'}


def test_other_weights_are_another_run(built, tmp_path):
  """By their content, whatever the file is called."""
  arrays = _installed()
  for name in ('a.npz', 'same.npz'):
    np.savez(tmp_path / name, **arrays)
  np.savez(tmp_path / 'other.npz', **(arrays | {'_bn0.bias': np.zeros(32)}))

  def train(name: str, epochs: int) -> None:
    trunk = EfficientNetLite(
      pretrained=str(tmp_path / name), train_trunk='head', image_size=IMAGE_SIZE
    )
    model = config.Model(trunk=trunk, head_widths=())
    tiny.run(built, tmp_path / 'run', model=model, epochs=epochs)

  train('a.npz', 1)
  train('same.npz', 2)
  with pytest.raises(errors.UserError, match='weights_hash'):
    train('other.npz', 3)


def test_the_command_has_the_options():
  argv = ['probe', '--data_dir=a', '--workdir=b', '--size=lite2']
  run = flags.parse(linear_probe.DEFAULTS, argv)
  assert run.model.trunk.shape == (260, 260)
  assert run.model.trunk.is_frozen
