"""Imports go one way, and heavy packages stay out."""

import ast
import pathlib
import subprocess
import sys

import pytest

import imat_jax

PACKAGE = pathlib.Path(imat_jax.__file__).parent
MODULES = sorted(PACKAGE.rglob('*.py'))

# A module may import from its own layer and from those before it.
LAYERS = (
  (
    'errors',
    'progress',
    'files',
    'outputs',
    'remote',
    'scratch',
    'tasks',
    'checks',
    'config',
    'run_folders',
    'extras',
  ),
  ('scores', 'calibration'),
  ('data', 'models'),
  ('training',),
  ('study',),
  ('inference', 'artefact'),
  ('contact_sheet', 'saliency'),
  ('evaluate', 'predict', 'submit', 'export', 'demo', 'doctor', 'preflight'),
  ('flags', 'commands'),
  ('__main__',),
)


def _name(path: pathlib.Path) -> str:
  parts = path.relative_to(PACKAGE).with_suffix('').parts
  return '.'.join(part for part in parts if part != '__init__')


def _imports(path: pathlib.Path) -> set[str]:
  """What a module imports, its main guard left out: that is the launcher."""
  body = ast.parse(path.read_text()).body
  guarded = [
    node
    for node in body
    if not (isinstance(node, ast.If) and '__main__' in ast.unparse(node.test))
  ]
  found = set()
  for node in (n for top in guarded for n in ast.walk(top)):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      found |= {f'{node.module}.{alias.name}' for alias in node.names}
  return found


def _layer(name: str) -> int:
  first = name.split('.')[0]
  return next(n for n, layer in enumerate(LAYERS) if first in layer)


@pytest.mark.parametrize('path', MODULES, ids=_name)
def test_imports_go_one_way(path):
  name = _name(path)
  ours = {
    found.removeprefix('imat_jax.')
    for found in _imports(path)
    if found.startswith('imat_jax.')
  }
  if name.startswith('data'):
    assert not {found for found in ours if found.startswith('models')}
  if name.startswith('models'):
    assert not {found for found in ours if found.startswith('data')}
  late = {found for found in ours if name and _layer(found) > _layer(name)}
  assert not late


@pytest.mark.parametrize(
  ('package', 'allowed'),
  [
    ('absl', ('flags',)),
    ('fsspec', ('remote',)),
    ('orbax', ('training.checkpoint',)),
    ('tensorflow_datasets', ('data.builder', 'data.source')),
    ('grain', ('data.pipeline',)),
    ('altair', ('study.charts',)),
    ('vl_convert', ('study.charts',)),
    ('jinja2', ('study.card', 'study.report')),
    ('gradio', ('demo',)),
    ('scipy', ('calibration', 'study.statistics')),
    ('jax2onnx', ('artefact',)),
    ('tensorboardX', ('training.watch',)),
    ('wandb', ('training.watch',)),
    ('yaml', ('study.card',)),
  ],
)
def test_a_package_is_known_in_few_places(package, allowed):
  users = {
    _name(path)
    for path in MODULES
    if any(found.split('.')[0] == package for found in _imports(path))
  }
  assert users <= set(allowed)


@pytest.mark.parametrize('path', MODULES, ids=_name)
def test_no_jax_in_the_loader(path):
  # Photos on the device are no loader's work.
  if path.name != 'resident.py' and _name(path).startswith(
    ('data', *LAYERS[0])
  ):
    packages = {found.split('.')[0] for found in _imports(path)}
    assert not packages & {'jax', 'flax', 'optax', 'orbax'}


def test_neither_tensorflow_nor_torch_is_loaded():
  names = [f'imat_jax.{name}'.rstrip('.') for name in map(_name, MODULES)]
  code = (
    'import importlib, sys\n'
    f'for name in {names!r}: importlib.import_module(name)\n'
    'print({"tensorflow", "torch", "keras"} & set(sys.modules))'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert done.stdout.strip() == 'set()'
