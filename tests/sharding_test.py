"""The numbers do not depend on how many devices there are."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny

from imat_jax import config
from imat_jax.data import source
from imat_jax.data.types import Batch
from imat_jax.training import compiled, inputs, sharding
from imat_jax.training.ensemble import Ensemble


@pytest.mark.devices(4)
@pytest.mark.parametrize(
  ('batch_size', 'number'), [(16, 4), (6, 3), (2, 2), (7, 1), (128, 4)]
)
def test_as_many_devices_as_divide_the_batch(batch_size, number):
  with sharding.set_mesh(batch_size):
    batch = sharding.shard_batch(np.zeros((batch_size, 3), np.uint8))
    assert len(batch.sharding.device_set) == number
    assert sharding.replicate(np.zeros(3)).sharding.is_fully_replicated


def test_outside_of_a_mesh_one_device_has_all():
  assert len(sharding.shard_batch(np.zeros(16)).sharding.device_set) == 1


def _batch(task_set) -> Batch:
  """16 photos; all labels of the second task are on the last four."""
  rng = np.random.default_rng(0)
  label_BxT = rng.integers(0, 2, (16, len(task_set))).astype(np.int32)
  label_BxT[:12, 1] = -1
  label_BxT[::3, 0] = -1
  return Batch(rng.integers(0, 256, (16, 128, 128, 3), np.uint8), label_BxT)


def _steps(built: str, model: config.Model, context) -> tuple:
  run = config.Run(
    data_dir=built, workdir='', tasks=('apparel', 'color'), model=model
  )
  task_set = source.read_tasks(built).select(run.tasks)
  group = Ensemble((run,), task_set)
  with context:
    here, update = compiled.fresh(group), compiled.train_step(group)
    state, so_far = sharding.replicate((here.state, here.metrics))
    fed = inputs.StepInput(sharding.shard_batch(_batch(task_set)), None)
    for _ in range(3):
      state, so_far = update(state, so_far, np.array([True]), fed)
    return jax.device_get((state.params, so_far))


@pytest.mark.devices(4)
@pytest.mark.parametrize(
  'model', [tiny.MODEL, config.Model()], ids=['XLA', 'kernel']
)
def test_a_device_without_labels_biases_nothing(built, model):
  alone = _steps(built, model, sharding.set_mesh(1))
  spread = _steps(built, model, sharding.set_mesh(16))
  for one, four in zip(*map(jax.tree.leaves, (alone, spread)), strict=True):
    # Adam makes of a gradient near zero a whole step, either way.
    np.testing.assert_allclose(one, four, rtol=2e-3, atol=2e-4)
  np.testing.assert_allclose(
    alone[1].loss.sum_T, spread[1].loss.sum_T, rtol=1e-5
  )


def _train(built, path: pathlib.Path, devices: int, *flags: str) -> list[dict]:
  """The rows of a run on so many devices, by the real command."""
  command = [sys.executable, '-m', 'experiments.public_3m']
  command += [f'--data_dir={built}', f'--workdir={path}', '--batch_size=16']
  command += ['--tasks=apparel,color', *tiny.FLAGS]
  command += [*flags]
  count = f'--xla_force_host_platform_device_count={devices}'
  done = subprocess.run(
    command,
    env=os.environ | {'XLA_FLAGS': count},
    cwd=pathlib.Path(__file__).parent.parent,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  lines = (path / 'metrics.jsonl').read_text().splitlines()
  return [json.loads(line) for line in lines]


def _losses(rows: list[dict]) -> list[float]:
  return [row['total'][split] for row in rows for split in row['total']]


@pytest.mark.parametrize('flags', [(), ('--cache_on_device',)])
def test_an_epoch_is_the_same_on_any_number_of_devices(built, tmp_path, flags):
  one, two, four = (
    _train(built, tmp_path / str(number), number, '--epochs=2', *flags)
    for number in (1, 2, 4)
  )
  assert _losses(two) == pytest.approx(_losses(one), rel=1e-4)
  assert _losses(four) == pytest.approx(_losses(one), rel=1e-4)


def test_a_run_goes_on_on_another_number_of_devices(built, tmp_path):
  whole = _train(built, tmp_path / 'whole', 4, '--epochs=3')
  for number, (devices, epochs) in enumerate(((4, 1), (1, 2), (2, 3))):
    rows = _train(built, tmp_path / 'part', devices, f'--epochs={epochs}')
    assert len(rows) == number + 1
  assert _losses(rows) == pytest.approx(_losses(whole), rel=1e-4)
