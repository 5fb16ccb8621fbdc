"""Missing packages: reported in a line with the fix, or not needed.

The packages are hidden, not removed: the base installation is what setup.py
asks for, and what that asks for in turn.
"""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys

import pytest
import setuptools
import tiny
from packaging import requirements

ROOT = pathlib.Path(__file__).parents[1]
# Runs commands, as `python -m` would, where modules are absent; both in JSON.
WITHOUT = """
import json, runpy, sys
absent, commands = map(json.loads, sys.argv[1:])
sys.modules.update(dict.fromkeys(absent))
for command in commands:
  sys.argv[:] = command
  try:
    runpy.run_module(command[0], run_name='__main__', alter_sys=True)
  except SystemExit as end:
    if end.code:
      raise
"""


@pytest.fixture(scope='module')
def declared() -> dict:
  """What setup.py gives to setuptools."""
  requirements_by_extra = {}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      setuptools, 'setup', lambda **values: requirements_by_extra.update(values)
    )
    patch.chdir(ROOT)
    exec((ROOT / 'setup.py').read_text(), {'__name__': 'setup'})
  return requirements_by_extra


@pytest.fixture(scope='module')
def absent(declared) -> list[str]:
  """The modules that a base installation lacks."""
  return _absent(declared['install_requires'])


def _absent(requires: list[str]) -> list[str]:
  """The modules that are here without being among what is required."""
  base, waiting = {'pip', 'setuptools'}, list(requires)
  while waiting:
    requirement = requirements.Requirement(waiting.pop())
    if requirement.marker and not requirement.marker.evaluate({'extra': ''}):
      continue
    key = (_plain(requirement.name), *sorted(requirement.extras))
    if key in base:
      continue
    base |= {key, key[0]}
    for text in importlib.metadata.requires(requirement.name) or ():
      below = requirements.Requirement(text)
      kinds = ('', *requirement.extras)
      if not below.marker or any(
        below.marker.evaluate({'extra': kind}) for kind in kinds
      ):
        below.marker = None
        waiting.append(str(below))
  distributions = importlib.metadata.packages_distributions()
  return [
    module
    for module, owners in distributions.items()
    if not base & set(map(_plain, owners))
    and module not in ('imat_jax', 'experiments')
    and not module.startswith('_')
  ]


def _plain(name: str) -> str:
  return name.lower().replace('_', '-').replace('.', '-')


def _run(absent: list[str], *commands) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, '-c', WITHOUT, json.dumps(absent), json.dumps(commands)],
    env=os.environ | {'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
  )


def test_the_extras_are_absent_there(absent):
  hidden = set(absent)
  assert {'gradio', 'jax2onnx', 'wandb', 'pytest', 'tensorboardX'} <= hidden
  assert {'aiohttp', 'altair', 'vl_convert'} <= hidden
  assert not {'jax', 'flatbuffers', 'PIL'} & hidden


def test_the_base_installation_trains_and_predicts(
  absent, trained, built, kaggle, tmp_path
):
  run, photo = f'--run={trained}', str(kaggle.images / 'validation/0.jpg')
  done = _run(
    absent,
    (
      *('imat_jax.data.build', f'--annotations={kaggle.annotations}'),
      *(f'--images={kaggle.images}', f'--data_dir={tmp_path}/built'),
    ),
    (
      *('experiments.public_3m', f'--data_dir={tmp_path}/built', *tiny.FLAGS),
      *(f'--workdir={tmp_path}/run', '--epochs=1', '--batch_size=16'),
    ),
    ('imat_jax.export', run, f'--output={tmp_path}/model'),
    ('imat_jax.predict', run, photo, f'--save_grid={tmp_path}/a.png'),
  )
  assert done.returncode == 0, done.stderr
  assert 'imat_jax[report]' in done.stdout
  assert (tmp_path / 'run/evaluation.json').exists()
  names = {path.name for path in tmp_path.iterdir()}
  assert {'model', 'a.png'} <= names


def test_what_the_readme_installs_evaluates(declared, trained, built, tmp_path):
  """The extras that launch/environment.sh asks for are all that it takes."""
  extras = declared['extras_require']
  requires = [
    *(*declared['install_requires'], *extras['download'], *extras['report'])
  ]
  done = _run(
    _absent(requires),
    (
      *('imat_jax.evaluate', f'--run={trained}', f'--data_dir={built}'),
      f'--reliability={tmp_path}/b.png',
    ),
  )
  assert done.returncode == 0, done.stderr
  assert (tmp_path / 'b.png').exists()


@pytest.mark.parametrize(
  ('extra', 'command'),
  [
    ('download', 'imat_jax.data.download --annotations={out} --images={out}'),
    ('report', 'imat_jax.evaluate --run={run} --data_dir={built}'),
    ('report', 'experiments.study --data_dir={built} --workdir={out}/study'),
    ('onnx', 'imat_jax.export --run={run} --format=onnx'),
    ('demo', 'imat_jax.demo --run={run}'),
    ('s3', 'imat_jax.predict --run=s3://shop/run {photo}'),
    (
      'tensorboard',
      'experiments.public_3m --data_dir={built} --workdir={out}/run '
      '--tensorboard --tasks=color',
    ),
    (
      'tables',
      'imat_jax.data.own --source={out}/table.xlsx --annotations={out}/a '
      '--images={out}/b',
    ),
    (
      'beam',
      'imat_jax.data.build --annotations={annotations} --images={images} '
      '--data_dir={out}/built --beam=--runner=DirectRunner',
    ),
  ],
)
def test_an_extra_that_is_missing_is_asked_for_in_one_line(
  extra, command, absent, trained, built, kaggle, tmp_path
):
  (tmp_path / 'table.xlsx').write_bytes(b'PK\3\4')
  places = kaggle._asdict() | {'run': trained, 'built': built, 'out': tmp_path}
  places['photo'] = kaggle.images / 'validation/0.jpg'
  done = _run(absent, command.format(**places).split())
  assert done.returncode == 1, done.stderr
  last = done.stderr.splitlines()[-1]
  assert last.startswith(f'{command.split()[0]}: ')
  assert 'pip install ' in last and f'[{extra}]' in last
  assert 'Traceback' not in done.stderr
