"""A tiny run and a tiny study give the numbers that they gave.

The files in tests/golden hold on any machine to what rounding changes. To the
byte they are compared on one machine, before and after a change that is to
change no number:

  IMAT_JAX_GOLDENS=/tmp/goldens pytest tests/golden_test.py

writes what it finds where the folder lacks it, and compares where it is there.
"""

import contextlib
import hashlib
import io
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
import pytest
import tiny

from experiments import public_3m, study
from imat_jax import flags, preflight
from imat_jax.models import presets
from imat_jax.study.config import Study
from imat_jax.training import trained_model

STORED = pathlib.Path(__file__).parent / 'golden'
COMMON = ('--batch_size=16', '--epochs=3')
# What another start, folder or machine changes.
VARIES = {
  *('seconds', 'examples_per_second', 'made_by', 'trained_by', 'config'),
  'data_set',
}


def _run(main, maker, *argv: str) -> None:
  with contextlib.redirect_stdout(io.StringIO()):
    main(flags.parse(maker, ['golden', *argv]))


def _json(path: pathlib.Path) -> Any:
  return _steady(json.loads(path.read_text()))


def _steady(value: Any) -> Any:
  if isinstance(value, dict):
    return {k: _steady(x) for k, x in value.items() if k not in VARIES}
  return [*map(_steady, value)] if isinstance(value, list) else value


def _digest(path: pathlib.Path) -> str:
  """SHA-256 of the best parameters."""
  digest = hashlib.sha256()
  for leaf in jax.tree.leaves(trained_model.load(path).variables['params']):
    digest.update(np.asarray(leaf).tobytes())
  return digest.hexdigest()


def _outcome(path: pathlib.Path) -> dict[str, Any]:
  lines = (path / 'metrics.jsonl').read_text().splitlines()
  return {
    'metrics': [_steady(json.loads(line)) for line in lines],
    'evaluation': _json(path / 'evaluation.json'),
    'params': _digest(path),
  }


@pytest.mark.parametrize('cached', [False, True])
def test_a_run(built, tmp_path, cached):
  _run(
    preflight.train,
    public_3m.DEFAULTS,
    f'--data_dir={built}',
    f'--workdir={tmp_path}/run',
    '--tasks=apparel,color',
    f'--cache_on_device={cached}',
    *(*tiny.FLAGS, '--seed=7'),
    *COMMON,
  )
  name = 'run_cached' if cached else 'run_streamed'
  _compare(name, _outcome(tmp_path / 'run'))


@pytest.mark.parametrize('cached', [False, True])
def test_a_study(built, tmp_path, monkeypatch, cached):
  monkeypatch.setattr(presets, 'by_name', lambda name: tiny.MODEL)
  path = tmp_path / 'study'
  _run(
    study.main,
    Study,
    f'--data_dir={built}',
    f'--workdir={path}',
    '--task_sets=apparel;apparel,color',
    '--models=public_1_4m',
    '--seeds=2',
    f'--cache_on_device={cached}',
    *COMMON,
  )
  runs = sorted(path.glob('runs/*/*/*'))
  _compare(
    'study_cached' if cached else 'study_streamed',
    {
      'study': _json(path / 'study.json'),
      'runs': {
        run.relative_to(path / 'runs').as_posix(): _outcome(run) for run in runs
      },
    },
  )


def _compare(name: str, outcome: dict[str, Any]) -> None:
  folder = os.environ.get('IMAT_JAX_GOLDENS')
  stored = pathlib.Path(folder or STORED) / f'{name}.json'
  if not folder:
    assert _numbers(outcome) == [
      [where, pytest.approx(x, rel=1e-3, abs=0 if 'loss' in where else 0.2)]
      for where, x in _numbers(json.loads(stored.read_text()))
    ]
  elif stored.exists():
    assert stored.read_text() == json.dumps(outcome)
  else:
    stored.parent.mkdir(exist_ok=True)
    stored.write_text(json.dumps(outcome))


def _numbers(value: Any, where: str = '') -> list[list]:
  """The losses and accuracies of each run, with where they stand."""
  if isinstance(value, dict):
    return [x for k in value for x in _numbers(value[k], f'{where}/{k}')]
  ends = ('/loss', '/accuracy', '/total/train', '/total/validation')
  if isinstance(value, list):
    pairs = enumerate(value) if where.endswith('/metrics') else ()
    return [x for n, part in pairs for x in _numbers(part, f'{where}/{n}')]
  return [[where, value]] if where.endswith(ends) else []
