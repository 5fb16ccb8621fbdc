"""Exported networks equal the network, in every reader."""

import functools
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import jax
import numpy as np
import pytest
import tiny

from imat_jax import artefact, config, errors, inference, tasks
from imat_jax.data.garments import render, sample
from imat_jax.data.types import Batch, Resize
from imat_jax.models.network import Network, trained_input
from imat_jax.models.presets import paper
from imat_jax.models.trunks.paper import Paper
from imat_jax.models.trunks.resnet import ResNet
from imat_jax.training import history
from imat_jax.training.evaluation import logits
from imat_jax.training.trained_model import TrainedModel

SHARED = pathlib.Path(__file__).resolve().parents[2] / 'shared'
REAL = SHARED / 'data/clothing/images/validation'
CLOSE = 1e-4
NUMBER = 24
SIZES = (1, 3, NUMBER)
TASKS = tasks.TaskSet(
  (
    tasks.Task('color', tuple(f'color {k}' for k in range(33))),
    tasks.Task('apparel', ('dress', 'outerwear', 'pants', 'shoe')),
    tasks.Task('pants:length', ('kurz', 'über das Knie')),
    tasks.Task('one', ('only',)),
  )
)
NETWORKS = {
  'public_3m': paper.PUBLIC_3M,
  'private_1_4m': paper.PRIVATE_1_4M,
  'original': config.Model(
    trunk=Paper(geometry='original', shared_widths=(160, 126))
  ),
  'resnet': config.Model(
    trunk=ResNet(image_size=48, width=8, blocks=(1, 2)),
    head_widths=(),
    average_mirrored=True,
  ),
  'no hidden layers': config.Model(
    trunk=Paper(shared_widths=()), head_widths=()
  ),
}


@functools.cache
def network(name: str) -> TrainedModel:
  """A network whose numbers are all from a dice, its biases too."""
  run = config.Run(data_dir='', workdir='', model=NETWORKS[name])
  init = tiny.jit(
    functools.partial(Network(run.model, TASKS).init, deterministic=True)
  )
  variables = init(jax.random.key(0), trained_input(run.model.trunk))
  rng = np.random.default_rng(0)
  shaken = jax.tree.map(
    lambda leaf: (
      leaf
      + 0.1 * leaf.std() * rng.normal(size=leaf.shape)
      + 0.05 * (leaf.ndim < 3) * rng.normal(size=leaf.shape)
    ),
    variables,
  )
  shaken = jax.tree.map(lambda leaf: leaf.astype(np.float32), shaken)
  return TrainedModel(run, TASKS, shaken, history.History(), Resize.of(128))


@functools.cache
def photos(kind: str, shape: tuple[int, int]) -> np.ndarray:
  """What networks see of drawn or of real photos."""
  if kind == 'real':
    paths = sorted(REAL.glob('*.jpg'))[:NUMBER]
  else:
    drawn = sample.photos(0, 'validation', NUMBER)
    paths = map(io.BytesIO, map(render.jpeg, drawn))
  return np.stack(
    [inference.prepare(file, shape, Resize.of(max(shape))) for file in paths]
  )


def expected(
  trained: TrainedModel, image_BxHxWxC: np.ndarray
) -> dict[str, np.ndarray]:
  """Softmax, in numpy's doubles, of the logits that the evaluation takes."""
  probability = tiny.jit(functools.partial(logits, _module(trained)))
  logits_BxTxK = probability(trained.variables, Batch(image_BxHxWxC, None))
  probability_by_task = {}
  for t, task in enumerate(trained.task_set):
    own_BxK = np.float64(logits_BxTxK)[:, t, : len(task.labels)]
    odds_BxK = np.exp(own_BxK - own_BxK.max(1, keepdims=True))
    probability_by_task[task.name] = odds_BxK / odds_BxK.sum(1, keepdims=True)
  return probability_by_task


def _module(trained: TrainedModel) -> Network:
  return Network(trained.run.model, trained.task_set)


@functools.cache
def onnx(name: str) -> bytes:
  """Of the network, and skips without the converter: it takes seconds."""
  pytest.importorskip('onnx')
  return artefact.onnx(network(name))


@functools.cache
def stablehlo(name: str) -> bytes:
  return artefact.stablehlo(network(name))


@pytest.fixture(scope='module', params=NETWORKS)
def name(request) -> str:
  return request.param


@pytest.fixture(scope='module')
def trained(name) -> TrainedModel:
  return network(name)


@pytest.fixture(params=['drawn', 'real'])
def image_BxHxWxC(request, trained) -> np.ndarray:
  if request.param == 'real' and not REAL.exists():
    pytest.skip('no ../shared with real photos')
  return photos(request.param, trained.run.model.trunk.shape)


@pytest.fixture(scope='module')
def session(name):
  """onnxruntime with the exported network."""
  onnxruntime = pytest.importorskip('onnxruntime')
  return onnxruntime.InferenceSession(onnx(name))


@pytest.fixture(scope='module')
def archive(name) -> zipfile.ZipFile:
  return zipfile.ZipFile(io.BytesIO(stablehlo(name)))


@pytest.fixture(scope='module')
def exported(archive) -> jax.export.Exported:
  return jax.export.deserialize(bytearray(archive.read(artefact.NETWORK)))


def assert_close(actual, reference):
  assert set(actual) == set(reference)
  for name, wanted_BxK in reference.items():
    np.testing.assert_allclose(actual[name], wanted_BxK, rtol=0, atol=CLOSE)


def test_onnx_equals_the_network(trained, session, image_BxHxWxC):
  reference = expected(trained, image_BxHxWxC)
  assert np.ptp(reference['color'], axis=0).max() > 100 * CLOSE
  for size in SIZES:
    outputs = session.run(list(TASKS.names), {'photos': image_BxHxWxC[:size]})
    probability_by_task = dict(zip(TASKS.names, outputs, strict=True))
    assert_close(
      probability_by_task,
      {name: probability[:size] for name, probability in reference.items()},
    )


def test_stablehlo_equals_the_network(trained, exported, image_BxHxWxC):
  reference = expected(trained, image_BxHxWxC)
  call = tiny.jit(exported.call)
  for size in SIZES:
    probability_by_task = call(image_BxHxWxC[:size])
    assert_close(
      probability_by_task,
      {name: probability[:size] for name, probability in reference.items()},
    )


def test_onnx_has_an_output_per_task_and_free_batches(trained, session):
  shape = trained.run.model.trunk.shape
  (options,) = session.get_inputs()
  assert (options.name, options.type) == ('photos', 'tensor(uint8)')
  assert options.shape == ['B', *shape, 3]
  shape_by_name = {
    output.name: output.shape for output in session.get_outputs()
  }
  assert shape_by_name == {task.name: ['B', len(task.labels)] for task in TASKS}


def test_a_task_with_the_name_of_the_input_is_refused():
  trained = network(next(iter(NETWORKS)))
  same = tasks.TaskSet((tasks.Task(artefact.INPUT, ('a', 'b')),))
  with pytest.raises(errors.UserError, match="the task 'photos'"):
    artefact.onnx(trained._replace(task_set=same))


def test_both_hold_the_same_metadata(trained, session, archive):
  metadata = json.loads(archive.read(artefact.ABOUT))
  properties = session.get_modelmeta().custom_metadata_map['metadata']
  assert json.loads(properties) == metadata == artefact.about(trained)
  assert metadata['tasks'] == TASKS.to_json()
  assert list(metadata['tasks']) == list(TASKS.names)
  shape = trained.run.model.trunk.shape
  assert metadata['input']['shape'] == ['B', *shape, 3]


def test_stablehlo_runs_on_every_platform_without_our_kernel(exported):
  assert set(exported.platforms) == {'cpu', 'cuda', 'rocm', 'tpu'}
  called = re.findall(r'custom_call @(\w+)', exported.mlir_module())
  assert set(called) <= {'shape_assertion'}


def test_onnxruntime_has_nothing_to_say(capfd):
  onnxruntime = pytest.importorskip('onnxruntime')
  model = onnx('public_3m')
  capfd.readouterr()
  onnxruntime.InferenceSession(model)
  assert capfd.readouterr() == ('', '')


def test_the_model_is_valid_onnx():
  package = pytest.importorskip('onnx')
  model = package.load_from_string(onnx('public_3m'))
  package.checker.check_model(model, full_check=True)
  assert [(o.domain, o.version) for o in model.opset_import] == [('', 21)]


def test_photos_and_mirror_images_share_the_weights():
  library = pytest.importorskip('onnx')
  graph = library.load_from_string(onnx('resnet')).graph
  weights = [array.raw_data for array in graph.initializer]
  large = [weight for weight in weights if len(weight) > 100]
  assert len(large) == len(set(large)) > 5


def test_neither_names_a_path_of_this_machine(name, archive):
  root = str(pathlib.Path(__file__).resolve().parents[1]).encode()
  for content in (archive.read(artefact.NETWORK), onnx(name)):
    assert root not in content
    assert not re.search(rb'\w\.py\b', content)


def test_the_same_network_gives_the_same_bytes():
  trained = network('private_1_4m')
  assert artefact.stablehlo(trained) == stablehlo('private_1_4m')
  assert artefact.onnx(trained) == onnx('private_1_4m')


def test_no_member_has_a_time(archive):
  assert {member.date_time[0] for member in archive.infolist()} == {1980}


def test_nothing_is_left_as_it_was_not():
  """The converter puts its own in the place of jax's functions meanwhile."""
  trained = network('public_3m')
  image_BxHxWxC = photos('drawn', (128, 128))
  before = expected(trained, image_BxHxWxC)
  limit = jax.config.jax_traceback_in_locations_limit
  artefact.onnx(trained)
  artefact.stablehlo(trained)
  after = expected(trained, image_BxHxWxC)
  jax.tree.map(np.testing.assert_array_equal, after, before)
  assert jax.config.jax_traceback_in_locations_limit == limit


def test_a_missing_converter_names_the_package_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, 'jax2onnx', None)
  with pytest.raises(errors.UserError, match=r"install 'imat_jax\[onnx\]'"):
    artefact.onnx(network('public_3m'))


ELSEWHERE = """
import sys, zipfile
sys.modules['imat_jax'] = None  # importing it fails
import jax.export, numpy as np

with zipfile.ZipFile('model.stablehlo') as archive:
  blob = bytearray(archive.read('network.bin'))
network = jax.export.deserialize(blob)
photos = np.load('photos.npy')
for size in map(int, sys.argv[1:]):
  np.savez(f'{size}.npz', **network.call(photos[:size]))
print([name for name in sys.modules if name.split('.')[0] == 'flax'])
"""


def test_a_process_without_this_package_reads_it(tmp_path):
  trained, image_BxHxWxC = network('public_3m'), photos('drawn', (128, 128))
  (tmp_path / 'model.stablehlo').write_bytes(stablehlo('public_3m'))
  np.save(tmp_path / 'photos.npy', image_BxHxWxC)
  without = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
  done = subprocess.run(
    [sys.executable, '-c', ELSEWHERE, *map(str, SIZES)],
    cwd=tmp_path,
    env=without,
    capture_output=True,
    text=True,
  )
  assert (done.returncode, done.stdout) == (0, '[]\n'), done.stderr
  reference = expected(trained, image_BxHxWxC)
  for size in SIZES:
    with np.load(tmp_path / f'{size}.npz') as result:
      assert_close(
        result,
        {name: probability[:size] for name, probability in reference.items()},
      )
