"""Imports go one way, and heavy packages stay where they belong."""

import ast
import pathlib
import subprocess
import sys

import imat_jax

PACKAGE = pathlib.Path(imat_jax.__file__).parent
MODULES = sorted(PACKAGE.rglob('*.py'))

# A module may import from its own layer and from those before it; of several
# names that fit a module the longest counts.
LAYERS = (
  ('errors', 'tasks', 'validators', 'options', 'recipe', 'config'),
  ('runtime',),
  ('data', 'models'),
  ('strategies',),
  ('study.config', 'study.grid', 'study.search_config', 'study.search_space'),
  ('study.label_space_config',),
  ('study.preflight',),
  ('training', 'writers'),
  ('label_space',),
  ('reporting',),
  ('train',),
  ('study',),
  ('inference', 'artefact'),
  (
    *('evaluate', 'predict', 'prune', 'submit', 'export', 'demo', 'doctor'),
    'preflight',
  ),
  ('flags', 'commands'),
  ('', '__main__'),
)
# Peers that do not know each other.
APART = (
  *(('data', 'models'), ('models', 'data')),
  ('training', 'writers'),
)
# Who may import a package.
USERS = {
  'absl': ['flags'],
  'fsspec': ['runtime.storage'],
  'orbax': ['training.checkpoint'],
  'tensorflow_datasets': ['data.source', 'data.tfds_builder'],
  'grain': ['data.input_pipeline'],
  'altair': [
    *('reporting.charts', 'reporting.study_charts'),
    *('reporting.reliability_diagrams', 'reporting.search_charts'),
    'reporting.label_space_charts',
  ],
  'vl_convert': ['reporting.charts'],
  'jinja2': ['reporting.model_card', 'reporting.html'],
  'yaml': ['data.label_groups', 'reporting.model_card'],
  'scipy': [
    *('reporting.assessment', 'reporting.intervals', 'reporting.power'),
    *('reporting.statistics', 'label_space.clusters'),
    'reporting.label_space_charts',
  ],
  'gradio': ['demo'],
  'optuna': ['study.search'],
  'jax2onnx': ['artefact'],
  'tensorboardX': ['writers.tensorboard'],
  'wandb': ['writers.wandb'],
}
# What loader processes, --help and `preflight` load; photos on the device are
# no loader's work.
WITHOUT_JAX = (
  *('errors', 'tasks', 'validators', 'options', 'recipe', 'config', 'data'),
  *('study.config', 'study.grid', 'study.search_config', 'study.search_space'),
  *('study.label_space_config', 'study.preflight', 'runtime.storage'),
  *('runtime.files', 'runtime.progress', 'runtime.outputs', 'runtime.scratch'),
  *('runtime.extras', 'runtime.run_folders', 'preflight'),
)
WITH_JAX = ['data.device_dataset', 'data.pixels']
JAX = {'jax', 'flax', 'optax', 'orbax'}


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
  imported = set()
  for node in (n for top in guarded for n in ast.walk(top)):
    if isinstance(node, ast.Import):
      imported |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      imported |= {f'{node.module}.{alias.name}' for alias in node.names}
  return imported


def _is_in(name: str, package: str) -> bool:
  return name == package or name.startswith(f'{package}.')


def _layer(name: str) -> int:
  fitting = [
    (len(package), number)
    for number, layer in enumerate(LAYERS)
    for package in layer
    if _is_in(name, package)
  ]
  return max(fitting)[1]


def _offends(name: str, imported: str) -> bool:
  package = imported.split('.')[0]
  if package == 'imat_jax':
    other = imported.removeprefix('imat_jax.')
    apart = any(_is_in(name, a) and _is_in(other, b) for a, b in APART)
    return apart or _layer(other) > _layer(name)
  if package in JAX and any(_is_in(name, one) for one in WITHOUT_JAX):
    return name not in WITH_JAX
  return name not in USERS.get(package, [name])


def test_imports_go_one_way():
  offenders = [
    f'{_name(path)} imports {imported}'
    for path in MODULES
    for imported in sorted(_imports(path))
    if _offends(_name(path), imported)
  ]
  assert not offenders


def test_nothing_needs_the_demo_data():
  users = [
    _name(path)
    for path in MODULES
    if 'data/garments' not in path.as_posix()
    and any('data.garments' in name for name in _imports(path))
  ]
  assert not users


def test_the_step_needs_little():
  """What one has to read to understand a step."""
  code = (
    'import sys, imat_jax.training.step\n'
    'print(*(name for name in sys.modules if name.startswith("imat_jax")))'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert len(done.stdout.split()) <= 12, done.stdout


def test_neither_tensorflow_nor_torch_is_loaded():
  names = [f'imat_jax.{name}'.rstrip('.') for name in map(_name, MODULES)]
  code = (
    'import importlib, sys\n'
    f'for name in {names!r}: importlib.import_module(name)\n'
    'print({"tensorflow", "torch", "keras"} & set(sys.modules))'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True
  )
  assert done.stdout.strip() == 'set()', done.stderr
