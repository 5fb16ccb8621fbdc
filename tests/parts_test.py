"""A trunk and a multi-task method, each in one file, as somebody adds them."""

import contextlib
import functools
import io
import pathlib
import signal
import zipfile

import jax
import numpy as np
import optax
import pytest
import tiny

from experiments import public_3m
from imat_jax import (
  artefact,
  errors,
  flags,
  options,
  preflight,
  strategies,
  tasks,
)
from imat_jax.data.types import Batch
from imat_jax.models import network, trunks
from imat_jax.models.network import Network
from imat_jax.runtime import distributed
from imat_jax.study import sweep
from imat_jax.study.config import Study
from imat_jax.training import (
  compiled,
  scoring,
  state,
  step,
  trained_model,
)

TASKS = tasks.TaskSet(
  (tasks.Task('color', ('red', 'blue')), tasks.Task('age', ('kid', 'adult')))
)
TRUNKS = options.part_names('imat_jax.models.trunks')
STRATEGIES = options.part_names('imat_jax.strategies')
TOYS = pathlib.Path(__file__).parent / 'toys'


@pytest.fixture(autouse=True)
def toys(monkeypatch):
  for package in (trunks, strategies):
    name = package.__name__.rpartition('.')[2]
    monkeypatch.setattr(
      package, '__path__', [*package.__path__, str(TOYS / name)]
    )


def _parse(*argv: str):
  argv = ['command', '--data_dir=a', '--workdir=b', *argv]
  return flags.parse(public_3m.DEFAULTS, argv)


def _train(built, path, *argv: str) -> trained_model.TrainedModel:
  with contextlib.redirect_stdout(io.StringIO()):
    preflight.train(
      _parse(
        f'--data_dir={built}',
        f'--workdir={path}',
        '--tasks=apparel,color',
        '--batch_size=16',
        *argv,
      )
    )
  return trained_model.load(path)


def test_flags_are_those_of_the_chosen_parts():
  run = _parse('--trunk=mean_color', '--grid=2', '--strategy=take_turns')
  assert (run.model.trunk.kind, run.model.trunk.grid) == ('mean_color', 2)
  assert run.strategy.kind == 'take_turns'
  with pytest.raises(Exception, match='grid'):
    _parse('--grid=2')
  with pytest.raises(Exception, match='filters'):
    _parse('--trunk=mean_color', '--filters=1,2,3')
  with pytest.raises(Exception, match='mean_color'):
    _parse('--trunk=none')


@pytest.mark.parametrize('strategy', STRATEGIES)
@pytest.mark.parametrize('trunk', TRUNKS)
def test_no_two_parts_share_a_flag(trunk, strategy):
  _parse(f'--trunk={trunk}', f'--strategy={strategy}')


def test_a_trunk_with_batch_statistics(built, tmp_path):
  """They are updated, saved, resumed, evaluated with, selected, exported."""
  onnxruntime = pytest.importorskip('onnxruntime')
  argv = ('--trunk=mean_color', '--cache_on_device')
  straight = _train(built, tmp_path / 'straight', *argv, '--epochs=2')
  mean_D = straight.variables['batch_stats']['trunk']['BatchNorm_0']['mean']
  assert np.abs(mean_D).min() > 0.1 and np.abs(mean_D).max() < 1
  _train(built, tmp_path / 'resumed', *argv, '--epochs=1')
  resumed = _train(built, tmp_path / 'resumed', *argv, '--epochs=2')
  jax.tree.map(
    np.testing.assert_array_equal, straight.variables, resumed.variables
  )
  alone = resumed.task_set.select(('color',))
  own = network.select(
    resumed.variables, resumed.run.model, resumed.task_set, alone
  )
  image_BxHxWxC = np.random.default_rng(0).integers(
    0, 256, (5, 32, 32, 3), np.uint8
  )
  logits_BxTxK = Network(resumed.run.model, resumed.task_set).apply(
    resumed.variables, image_BxHxWxC, deterministic=True
  )
  own_BxTxK = Network(resumed.run.model, alone).apply(
    own, image_BxHxWxC, deterministic=True
  )
  number = len(alone['color'].labels)
  np.testing.assert_allclose(
    own_BxTxK[:, 0, :number], logits_BxTxK[:, 1, :number], rtol=1e-5
  )
  archive = zipfile.ZipFile(io.BytesIO(artefact.stablehlo(resumed)))
  exported = jax.export.deserialize(bytearray(archive.read(artefact.NETWORK)))
  session = onnxruntime.InferenceSession(artefact.onnx(resumed))
  of_onnx = session.run(['color'], {artefact.INPUT: image_BxHxWxC})
  for color_BxK in (exported.call(image_BxHxWxC)['color'], *of_onnx):
    np.testing.assert_allclose(
      color_BxK, jax.nn.softmax(own_BxTxK[:, 0, :number]), rtol=1e-5
    )
  scored = scoring.outputs(
    resumed, built, 'validation', batch_size=16, loader=resumed.run.loader
  )
  evaluation = scoring.score(resumed, scored, 'validation')
  last = resumed.history.rows[resumed.history.stopping.best_epoch - 1]
  assert evaluation['tasks']['color']['loss'] == pytest.approx(
    last['validation']['color']['loss'], rel=1e-5
  )


def test_the_paper_at_another_size(built, tmp_path):
  trained = _train(
    built, tmp_path / 'run', *tiny.FLAGS, '--image_size=64', '--epochs=1'
  )
  kernel = trained.variables['params']['trunk']['dense_0']['kernel']
  assert kernel.shape == (8 * 8 * 4, 8)


def _start(strategy: strategies.Strategy) -> state.TrainState:
  network = Network(tiny.SMALL, TASKS)
  return tiny.fresh(network, optax.sgd(0.1), [1, 0.5], strategy)


def _batch(label_BxT) -> Batch:
  label_BxT = np.array(label_BxT, np.int32)
  image_BxHxWxC = np.random.default_rng(0).integers(
    0, 256, (len(label_BxT), 32, 32, 3), np.uint8
  )
  return Batch(image_BxHxWxC, label_BxT)


def test_a_method_decides_the_weights():
  """Of two tasks in turn, each moves its own head and not the other's."""
  recipe, sgd = _parse('--strategy=take_turns').recipe, optax.sgd(0.1)
  one_step = tiny.jit(
    functools.partial(step.train_step, Network(tiny.SMALL, TASKS), sgd, recipe)
  )
  now, batch = _start(recipe.strategy), _batch([[0, 1], [1, 0]])
  for turn in range(2):
    after, _ = one_step(now, batch)
    moved_T = [
      any(
        (a[..., t, :] != b[..., t, :]).any()
        for a, b in zip(
          jax.tree.leaves(after.params['heads']),
          jax.tree.leaves(now.params['heads']),
          strict=True,
        )
      )
      for t in range(2)
    ]
    assert moved_T == [turn == 0, turn == 1]
    now = after
  assert now.strategy == 2


def test_a_method_with_a_state_is_resumed(built, tmp_path):
  argv = (*tiny.SMALL_FLAGS, '--strategy=take_turns', '--steps_per_turn=3')
  straight = _train(built, tmp_path / 'straight', *argv, '--epochs=2')
  _train(built, tmp_path / 'resumed', *argv, '--epochs=1')
  resumed = _train(built, tmp_path / 'resumed', *argv, '--epochs=2')
  jax.tree.map(
    np.testing.assert_array_equal, straight.variables, resumed.variables
  )


@pytest.mark.parametrize('strategy', ['famo', 'gradvac'])
def test_a_method_stopped_in_an_epoch(built, tmp_path, monkeypatch, strategy):
  """Resumed from there, to the byte."""
  options_of_run = {
    'strategy': _parse(f'--strategy={strategy}').strategy,
    'epochs': 1,
  }
  tiny.run(built, tmp_path / 'straight', **options_of_run)
  with monkeypatch.context() as patched:
    patched.setattr(
      distributed, 'any_preempted', lambda step, _: signal.SIGTERM * (step == 5)
    )
    with pytest.raises(errors.Interrupted, match='saved at step 5'):
      tiny.run(built, tmp_path / 'resumed', **options_of_run)
  resumed = tiny.run(built, tmp_path / 'resumed', **options_of_run)
  assert 'resumes at step 5' in resumed
  assert tiny.results(tmp_path / 'resumed') == tiny.results(
    tmp_path / 'straight'
  )


@pytest.mark.parametrize('strategy', ['take_turns', 'famo', 'upgrad'])
def test_a_method_in_a_study_is_as_alone(
  built, tmp_path, monkeypatch, strategy
):
  """There the ensemble has the tasks of all its runs."""
  run = _parse(f'--strategy={strategy}', '--epochs=1', '--batch_size=16')
  study = Study(
    data_dir=built,
    workdir=str(tmp_path / 'study'),
    models=('mean_color:grid=2',),
    task_sets='apparel;apparel,color',
    seeds=1,
    epochs=1,
    batch_size=16,
    strategy=run.strategy,
    cache_on_device=True,
  )
  with contextlib.redirect_stdout(io.StringIO()):
    sweep.run_study(study)
  argv = (f'--strategy={strategy}', '--epochs=1', '--cache_on_device')
  argv += ('--trunk=mean_color', '--grid=2', '--tasks=apparel')
  alone = _train(built, tmp_path / 'run', *argv)
  folder = tmp_path / 'study/runs/mean_color%3Agrid%3D2/apparel/seed_0'
  in_study = trained_model.load(folder).history.rows[0]['train']
  assert in_study['apparel']['loss'] == pytest.approx(
    alone.history.rows[0]['train']['apparel']['loss'], rel=1e-5
  )


@pytest.mark.parametrize('number', [0, 2])
def test_a_file_without_exactly_one_part(tmp_path, monkeypatch, number):
  code = 'from imat_jax.strategies import Strategy\n'
  code += ''.join(f'class C{i}(Strategy): pass\n' for i in range(number))
  (tmp_path / f'odd_{number}.py').write_text(code)
  (tmp_path / '_helpers.py').write_text('')
  monkeypatch.setattr(strategies, '__path__', [str(tmp_path)])
  assert options.part_names('imat_jax.strategies') == (f'odd_{number}',)
  with pytest.raises(TypeError, match='must define exactly one Part'):
    options.part('imat_jax.strategies', f'odd_{number}')


TRUNK = """
import dataclasses
from imat_jax import options
from imat_jax.models import trunks

class _Module(trunks.nn.Module):
  def __call__(self, image_BxHxWxC, *, deterministic):
    return trunks.as_float(image_BxHxWxC)

{decorator}
class Wrong(trunks.Trunk):
  grid: int = {default}

  def make(self):
    return _Module()
"""
STRATEGY = """
from imat_jax.strategies import Strategy, _masked

class Wrong({base}):
  def init(self, num_tasks):
    return {state}

  def update(self, evidence, state):
    return {given}
"""
MASKED = STRATEGY.replace('def update', 'def weigh').replace(
  '{base}', '_masked.Masked'
)
FROZEN = '@dataclasses.dataclass(frozen=True, kw_only=True)'
OPTION = "options.option('cells', 3)"


@pytest.mark.parametrize(
  'name, code, message',
  [
    ('bare', TRUNK.format(decorator='', default=OPTION), 'needs @dataclasses'),
    (
      *('mute', TRUNK.format(decorator=FROZEN, default=3)),
      'grid: a field of a config is made by options.option',
    ),
    (
      *('flat', TRUNK.format(decorator=FROZEN, default=OPTION)),
      '--trunk=flat: gives .*, which must be B × D',
    ),
    (
      'broken',
      TRUNK.format(decorator=FROZEN, default=OPTION) + "int('eight')",
      "broken: invalid literal .* 'eight'",
    ),
    (
      'moody',
      STRATEGY.format(
        base='Strategy', state='0', given='evidence.weight_T, evidence.loss_T'
      ),
      r"'float32\[2\]'\), not \('float32\[2\]', 'int32\[\]'\)",
    ),
    (
      *('forgetful', MASKED.format(state='()', given='evidence.weight_T')),
      r"gives float32\[2\], not \('float32\[2\]', \(\)\)",
    ),
    (
      *('counting', MASKED.format(state='0', given='evidence.weight_T, state')),
      r'array of the shape \[\]; a method that is Masked',
    ),
  ],
)
def test_what_is_wrong_with_a_part_is_said(
  built, tmp_path, monkeypatch, name, code, message
):
  package = strategies if 'strategies' in code else trunks
  (tmp_path / f'{name}.py').write_text(code)
  monkeypatch.setattr(package, '__path__', [*package.__path__, str(tmp_path)])
  kind = package.__name__.rpartition('.')[2].replace('strategies', 'strategy')
  with pytest.raises((TypeError, ValueError, ImportError), match=message):
    _train(
      *(built, tmp_path / 'run', f'--{kind.removesuffix("s")}={name}'),
      *(() if package is trunks else tiny.SMALL_FLAGS),
    )


def test_a_checkpoint_of_other_code_is_refused(trained, monkeypatch):
  fresh_shapes = compiled.fresh_shapes

  def wider(ensemble):
    shapes = fresh_shapes(ensemble)
    best = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct((*x.shape[:-1], 99), x.dtype),
      shapes.best_variables,
    )
    return shapes._replace(best_variables=best)

  monkeypatch.setattr(compiled, 'fresh_shapes', wider)
  with pytest.raises(errors.UserError, match=r'is \[.*\], not \[.*99\].*--wor'):
    trained_model.load(trained)


def test_a_method_with_the_gramian_trains(built, tmp_path):
  trained = _train(
    built,
    tmp_path / 'run',
    *tiny.SMALL_FLAGS,
    '--strategy=equal_norms',
    '--epochs=2',
  )
  first, last = (row['train']['color']['loss'] for row in trained.history.rows)
  assert last < first
