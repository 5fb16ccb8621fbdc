"""Four CPU devices, strict jax, and a tiny data set that tests share."""

import contextlib
import ctypes
import gc
import io
import json
import os
import pathlib
import sys
import types
from collections.abc import Iterator
from typing import NamedTuple

import hypothesis
import numpy as np
import pytest
from absl import flags
from PIL import Image, ImageDraw

from imat_jax.data import configs
from imat_jax.runtime import files

# Before anything imports jax; commands that tests start inherit it, but for the
# four devices: they have what their machine has.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# Read where a process starts, so for workers and commands: with an arena for
# each of XLA's threads, each keeps what it frees. Unless it is set, flags.run
# sets it and starts the process, so pytest, again.
os.environ.setdefault('GLIBC_TUNABLES', 'glibc.malloc.arena_max=2')
os.environ['JAX_NUMPY_RANK_PROMOTION'] = 'raise'
# XLA has a thread per device or more, and sums in another order with more of
# them; so here a process of one device has as many.
os.environ['NPROC'] = '4'
os.environ['XLA_FLAGS'] = ' '.join(
  [
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=4',
  ]
)

# The same examples each time, however busy the machine is.
hypothesis.settings.register_profile(
  'steady',
  max_examples=30,
  deadline=None,
  derandomize=True,
  suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile('steady')

COLORS = {'blue': (40, 60, 200), 'green': (40, 160, 60), 'red': (200, 50, 40)}
SHAPES = {
  'dress': [(0.5, 0.1), (0.85, 0.9), (0.15, 0.9)],
  'outerwear': [(0.15, 0.15), (0.85, 0.15), (0.85, 0.85), (0.15, 0.85)],
  'pants': [(0.3, 0.1), (0.7, 0.1), (0.8, 0.9), (0.5, 0.3), (0.2, 0.9)],
  'shoe': [(0.1, 0.6), (0.5, 0.6), (0.9, 0.75), (0.9, 0.9), (0.1, 0.9)],
}
AGES = ('adult', 'kids')
_MOST_BYTES = 1_200_000_000


class Kaggle(NamedTuple):
  """The folders of Kaggle's files and of the downloaded photos."""

  annotations: pathlib.Path
  images: pathlib.Path


def pytest_configure(config):
  import jax

  assert len(jax.devices()) == 4
  # As trainings have them, so that other tests do not compile anew.
  jax.config.update('jax_compilation_cache_dir', str(files.cache_folder()))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  del os.environ['XLA_FLAGS']
  config.addinivalue_line('filterwarnings', 'error:::imat_jax')
  # A deprecated protobuf call of tfds 4.9.10, which still works.
  config.addinivalue_line(
    'filterwarnings', 'ignore:label.. is deprecated:DeprecationWarning'
  )
  config.addinivalue_line('markers', 'devices(number): devices of a test')
  config.addinivalue_line('markers', 'processes: starts commands, so is slow')
  # Grain's worker processes read absl's flags, which a command has parsed.
  flags.FLAGS(['tests'])


def pytest_collection_modifyitems(items):
  """Modules that start processes: `-m 'not processes'` is for daily work."""
  for item in items:
    if hasattr(item.module, 'subprocess') or hasattr(item.module, 'nbclient'):
      item.add_marker(pytest.mark.processes)


@pytest.fixture(autouse=True, scope='session')
def one_device() -> Iterator[None]:
  """One device for most tests: programs for four are slow to compile.

  For the session, so that fixtures of a module have no more than its tests.
  """
  from imat_jax.training import sharding

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sharding, 'max_devices', lambda: 1)
    yield


@pytest.fixture(autouse=True, scope='module')
def caches(request) -> Iterator[None]:
  """A module's, and its programs, go with it: they would fill the memory."""
  from imat_jax.models import pretrained

  yield
  _clear(request.module)
  _clear(pretrained)
  _forget_programs()


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
  """In a module with many programs they go earlier; the disk has them, too."""
  yield
  if _resident_bytes() > _MOST_BYTES:
    _forget_programs()


def _forget_programs() -> None:
  import jax

  from imat_jax.training import compiled

  _clear(compiled)
  jax.clear_caches()
  gc.collect()
  if sys.platform == 'linux':  # the C library keeps freed memory otherwise
    ctypes.CDLL(None).malloc_trim(0)


def _clear(module: types.ModuleType) -> None:
  """Empties its `functools.cache`s."""
  for cached in vars(module).values():
    if hasattr(cached, 'cache_clear'):
      cached.cache_clear()


def _resident_bytes() -> int:
  """Of this process; 0 where the system does not say."""
  statm = pathlib.Path('/proc/self/statm')
  if not statm.exists():
    return 0
  return int(statm.read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')


@pytest.fixture(autouse=True)
def devices(request, monkeypatch) -> None:
  """`@pytest.mark.devices(4)` gives a test more than one."""
  from imat_jax.training import sharding

  if wanted := request.node.get_closest_marker('devices'):
    monkeypatch.setattr(sharding, 'max_devices', lambda: wanted.args[0])


@pytest.fixture(scope='session')
def kaggle(tmp_path_factory) -> Kaggle:
  """50 train and 21 validation photos of coloured shapes, few labels each.

  Photo i of a split shows a shape of class i % 4 in color i // 4 % 3. Each has
  a class; every sixth lacks a color, two of three lack an age, and a material
  is on train photos 0, 1, 2 and on validation photo 20 alone.
  """
  root = tmp_path_factory.mktemp('kaggle')
  folders = Kaggle(root / 'annotations', root / 'images')
  folders.annotations.mkdir()
  maps = _Maps()
  for split, number in (('train', 50), ('validation', 21)):
    _draw(folders.images / split, number)
    rare = (20,) if split == 'validation' else (0, 1, 2)
    content = {
      'images': [
        {'imageId': str(i), 'url': [f'https://shop.example/{split}/{i}.jpg']}
        for i in range(number)
      ],
      'annotations': [
        maps.annotation(i, attribute, label)
        for i in range(number)
        for attribute, label in _labels(i, rare).items()
      ],
    }
    _write_json(folders.annotations, f'{split}.data', content)
  maps.write(folders.annotations)
  return folders


@pytest.fixture(scope='session')
def built(kaggle, tmp_path_factory) -> str:
  """The data_dir of `kaggle` after the real build; image_size is 128."""
  from imat_jax.data import build

  data_dir = str(tmp_path_factory.mktemp('built'))
  with contextlib.redirect_stdout(io.StringIO()):
    build.main(
      configs.Build(
        annotations=str(kaggle.annotations),
        images=str(kaggle.images),
        data_dir=data_dir,
      )
    )
  return data_dir


@pytest.fixture(scope='session')
def uninterrupted(built, tmp_path_factory) -> pathlib.Path:
  """The workdir of `tiny.run`, which nothing interrupted."""
  import tiny

  path = tmp_path_factory.mktemp('uninterrupted') / 'run'
  tiny.run(built, path)
  return path


@pytest.fixture(scope='session')
def trained(built, tmp_path_factory) -> str:
  """The workdir of a small run on `built`, of color and the apparel class."""
  import tiny

  from imat_jax import config, train

  path = str(tmp_path_factory.mktemp('trained') / 'run')
  with contextlib.redirect_stdout(io.StringIO()):
    train.train(
      config.Run(
        data_dir=built,
        workdir=path,
        tasks=('color', 'apparel'),
        model=tiny.MODEL,
        epochs=2,
        batch_size=16,
      )
    )
  return path


def _labels(i: int, rare: tuple[int, ...]) -> dict[str, str]:
  labels = {}
  if i % 6:
    labels['color'] = _color(i)
  if i % 3 == 0:
    labels['age'] = AGES[i // 12 % 2]
  if i in rare:
    labels['material'] = ('cotton', 'leather')[i % 2]
  return labels


def _apparel(i: int) -> str:
  return list(SHAPES)[i % len(SHAPES)]


def _color(i: int) -> str:
  return list(COLORS)[i // len(SHAPES) % len(COLORS)]


class _Maps:
  """Gives ids to names, as Kaggle's maps do."""

  def __init__(self):
    self._tasks, self._labels = {}, {}

  def annotation(self, i: int, attribute: str, label: str) -> dict[str, str]:
    task = f'{_apparel(i)}:{attribute}'
    task_id = self._tasks.setdefault(task, str(len(self._tasks)))
    label_id = self._labels.setdefault(label, str(len(self._labels)))
    return {'imageId': str(i), 'taskId': task_id, 'labelId': label_id}

  def write(self, folder: pathlib.Path) -> None:
    task_info = [{'taskId': i, 'taskName': n} for n, i in self._tasks.items()]
    label_info = [
      {'labelId': i, 'labelName': n} for n, i in self._labels.items()
    ]
    _write_json(folder, 'task_map', {'taskInfo': task_info})
    _write_json(folder, 'label_map', {'labelInfo': label_info})


def _write_json(folder: pathlib.Path, name: str, content) -> None:
  (folder / f'fgvc4_iMat.{name}.json').write_text(json.dumps(content))


def _draw(folder: pathlib.Path, number: int) -> None:
  folder.mkdir(parents=True)
  rng = np.random.default_rng(number)
  for i in range(number):
    width, height = rng.integers(100, 180, 2)
    image = Image.new('RGB', (int(width), int(height)), (235, 230, 225))
    corners = np.array(SHAPES[_apparel(i)]) + rng.uniform(-0.05, 0.05, (1, 2))
    points = [tuple(p) for p in corners * (width, height)]
    ImageDraw.Draw(image).polygon(points, fill=COLORS[_color(i)])
    image.save(folder / f'{i}.jpg', quality=90)
