"""What every trunk has to do: one run of each, in the smallest size."""

import dataclasses
import io
import pathlib
import zipfile
from collections.abc import Iterator

import jax
import numpy as np
import pytest
import tiny

from imat_jax import artefact, config, inference, options, train
from imat_jax.data import source
from imat_jax.data.types import Batch, Resize
from imat_jax.models import pretrained
from imat_jax.models.trunks import (
  PretrainedTrunk,
  efficientnet_lite,
  imagenet_resnet,
  vit,
)
from imat_jax.models.trunks.efficientnet_lite import EfficientNetLite
from imat_jax.models.trunks.imagenet_resnet import ImagenetResNet
from imat_jax.models.trunks.paper import Paper
from imat_jax.models.trunks.resnet import ResNet
from imat_jax.models.trunks.vit import ViT
from imat_jax.training import compiled, inputs, sharding, trained_model
from imat_jax.training.ensemble import Ensemble

# Portraits, as H and W must not be mixed up.
SHAPE = {'image_size': 48, 'image_width': 32}
TRUNKS = {
  'paper': Paper(filters=(4, 4, 8), shared_widths=(32,), **SHAPE),
  'resnet': ResNet(width=8, blocks=(1, 1), **SHAPE),
  'efficientnet_lite': EfficientNetLite(**SHAPE),
  'imagenet_resnet': ImagenetResNet(**SHAPE),
  'vit': ViT(size='tiny', **SHAPE),
}
# Not Adam, which makes of a gradient near zero a whole step, either way.
SGD = config.Optimizer(update_rule='sgd', learning_rate=0.01)


def test_all_trunks_are_in_the_table():
  names = set(options.part_names('imat_jax.models.trunks'))
  assert set(TRUNKS) == names, 'each trunk has an entry in TRUNKS'


def test_stages_are_the_parts_of_the_parameters():
  for trunk in TRUNKS.values():
    if isinstance(trunk, PretrainedTrunk):
      assert set(trunk.stages) == set(pretrained.shapes(trunk))


@pytest.fixture(autouse=True, scope='module')
def shallow() -> Iterator[None]:
  """Networks of others with few blocks and channels.

  In full, which reference_test and pretrained_test have, each takes a minute to
  compile.
  """
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(efficientnet_lite, '_STAGES', efficientnet_lite._STAGES[:2])
    patch.setattr(efficientnet_lite, '_HEAD', 16)
    patch.setattr(imagenet_resnet, '_STEM', 8)
    patch.setattr(imagenet_resnet, '_REPEATS', {'50': (1, 1)})
    patch.setattr(vit, '_SIZES', {'tiny': vit._Size(16, 2)})
    patch.setattr(vit, '_DEPTH', 2)
    yield


@pytest.fixture(scope='module', params=TRUNKS)
def run(request, built, tmp_path_factory) -> config.Run:
  """A run of two epochs that nothing interrupted."""
  workdir = tmp_path_factory.mktemp(request.param) / 'run'
  model = config.Model(
    trunk=TRUNKS[request.param], head_widths=(), normalize_features=True
  )
  run = config.Run(
    data_dir=built,
    workdir=str(workdir),
    tasks=('apparel', 'age'),
    model=model,
    optimizer=SGD,
    batch_size=16,
    epochs=2,
  )
  train.train(run)
  return run


def test_a_resumed_run_ends_with_the_same_bytes(run, tmp_path, capsys):
  resumed = dataclasses.replace(run, workdir=str(tmp_path / 'run'))
  train.train(dataclasses.replace(resumed, epochs=1))
  train.train(resumed)
  assert 'resumes at step 4' in capsys.readouterr().out
  assert tiny.results(resumed.workdir) == tiny.results(run.workdir)


def test_predictions_are_those_of_both_exports(run, kaggle):
  onnxruntime = pytest.importorskip('onnxruntime')
  pytest.importorskip('jax2onnx')
  photos = sorted(map(str, (kaggle.images / 'validation').glob('*.jpg')))[:5]
  predictor = inference.Predictor(run.workdir, batch_size=8)
  probability_BxTxK = np.stack(
    [prediction.probability_TxK for prediction in predictor.label(photos)]
  )
  image_BxHxWxC = np.stack(
    [
      inference.prepare(pathlib.Path(p), run.model.trunk.shape, Resize.of(128))
      for p in photos
    ]
  )
  model = trained_model.load(run.workdir)
  stablehlo = zipfile.ZipFile(io.BytesIO(artefact.stablehlo(model)))
  exported = jax.export.deserialize(bytearray(stablehlo.read(artefact.NETWORK)))
  session = onnxruntime.InferenceSession(artefact.onnx(model))
  of_onnx = session.run(None, {artefact.INPUT: image_BxHxWxC})
  of_stablehlo = exported.call(image_BxHxWxC)
  for t, task in enumerate(model.task_set):
    expected_BxK = probability_BxTxK[:, t, : len(task.labels)]
    for actual_BxK in (of_stablehlo[task.name], of_onnx[t]):
      np.testing.assert_allclose(actual_BxK, expected_BxK, rtol=0, atol=1e-4)


def test_two_runs_on_two_devices_are_each_alone_on_one(run, monkeypatch):
  task_set = source.read_tasks(run.data_dir).select(run.tasks)
  runs = run, dataclasses.replace(run, seed=1)
  ensembles = [Ensemble((each,), task_set) for each in runs]
  starts = [
    (start.state, start.metrics) for start in map(compiled.fresh, ensembles)
  ]
  start_of_both = _joined(*starts)
  alone = [
    _after_steps(ensemble, *start)
    for ensemble, start in zip(ensembles, starts, strict=True)
  ]
  monkeypatch.setattr(sharding, 'max_devices', lambda: 2)
  together = _after_steps(Ensemble(runs, task_set), *start_of_both)
  jax.tree.map(
    lambda *pair: np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-5),
    together,
    _joined(*alone),
  )


def _joined(*of_runs):
  """Trees of single runs as one of them all, R in front."""
  return jax.tree.map(lambda *leaves: np.concatenate(leaves), *of_runs)


def _after_steps(ensemble: Ensemble, state, sums) -> tuple:
  """Parameters and losses after two steps, R in front."""
  rng = np.random.default_rng(0)
  shape = ensemble.model.trunk.shape
  batch = Batch(
    rng.integers(0, 256, (16, *shape, 3), np.uint8),
    rng.integers(-1, 2, (16, len(ensemble.task_set)), np.int32),
  )
  with sharding.set_mesh(len(batch.label_BxT)):
    state, sums = sharding.replicate((state, sums))
    step_input = inputs.StepInput(sharding.shard_batch(batch), None)
    step = compiled.train_step(ensemble)
    for _ in range(2):
      state, sums = step(state, sums, step_input)
    return jax.device_get((state.params, sums.loss))
