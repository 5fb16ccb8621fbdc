"""The numbers do not depend on how many devices there are."""

import contextlib
import io
import pathlib

import jax
import numpy as np
import pytest
import tiny

from imat_jax import config, train
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
      state, so_far = update(state, so_far, fed)
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


@pytest.fixture
def trained_on(built, monkeypatch):
  """Trains on so many devices; the rows of the run."""

  def run(path: pathlib.Path, devices: int, **changes) -> list[dict]:
    monkeypatch.setattr(sharding, 'max_devices', lambda: devices)
    options = {'tasks': ('apparel', 'color'), 'batch_size': 16} | changes
    with contextlib.redirect_stdout(io.StringIO()):
      trained = train.train(
        config.Run(
          data_dir=built, workdir=str(path), model=tiny.SMALL, **options
        )
      )
    return list(trained.history.rows)

  return run


def _losses(rows: list[dict]) -> list[float]:
  return [row['total'][split] for row in rows for split in row['total']]


@pytest.mark.parametrize('cached', [False, True])
def test_an_epoch_is_the_same_on_any_number_of_devices(
  trained_on, tmp_path, cached
):
  one, four = (
    trained_on(tmp_path / str(n), n, epochs=2, cache_on_device=cached)
    for n in (1, 4)
  )
  assert _losses(four) == pytest.approx(_losses(one), rel=1e-4)


def test_a_run_resumes_on_another_number_of_devices(trained_on, tmp_path):
  whole = trained_on(tmp_path / 'whole', 4, epochs=3)
  for devices, epochs in ((4, 1), (1, 2), (2, 3)):
    rows = trained_on(tmp_path / 'part', devices, epochs=epochs)
    assert len(rows) == epochs
  assert _losses(rows) == pytest.approx(_losses(whole), rel=1e-4)
