import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from imat_jax import inference
from imat_jax.data.types import Resize
from imat_jax.models import saliency
from imat_jax.models.network import Network


@pytest.fixture(scope='module')
def trained_run(trained):
  return inference.Predictor(trained).trained


def _maps(run, image_HxWxC):
  return saliency.saliency(
    run.run.model, run.task_set, run.variables, image_HxWxC
  )


@pytest.fixture(scope='module')
def image_HxWxC(kaggle) -> np.ndarray:
  return inference.prepare(
    kaggle.images / 'validation/3.jpg', (128, 128), Resize.of(128)
  )


def test_a_map_of_each_task_from_0_to_1(trained_run, image_HxWxC):
  found_TxHxW = _maps(trained_run, image_HxWxC)
  assert found_TxHxW.shape == (2, 128, 128)
  assert found_TxHxW.min() >= 0
  np.testing.assert_array_equal(found_TxHxW.max((1, 2)), 1)
  np.testing.assert_array_equal(found_TxHxW, _maps(trained_run, image_HxWxC))


def test_it_is_how_the_answer_changes_with_a_pixel(trained_run, monkeypatch):
  """Against finite differences, on an image without plain areas.

  There neighbours tie for the largest, and a difference is half a gradient.
  """
  rng = np.random.default_rng(0)
  image_HxWxC = rng.integers(0, 256, (128, 128, 3), np.uint8)
  monkeypatch.setattr(saliency, '_COPIES', 1)
  monkeypatch.setattr(saliency, '_NOISE', 0.0)
  run = trained_run
  plain = saliency._saliency.__wrapped__  # compiled with the other constants
  found_TxHxW = np.asarray(
    plain(run.run.model, run.task_set, run.variables, image_HxWxC)
  )
  network = Network(run.run.model, run.task_set)

  @tiny.jit
  def log_prob(image_HxWxC):
    logits_BxTxK = network.apply(
      run.variables, image_HxWxC[None], deterministic=True
    )
    return jax.nn.log_softmax(logits_BxTxK)[0]

  at = jnp.asarray(image_HxWxC, jnp.float32) / 255
  guess_T = log_prob(at).argmax(1)
  # Where it matters most: elsewhere float32 loses the differences.
  for task in range(2):
    place = np.argmax(found_TxHxW[task])
    y, x = np.unravel_index(place, (128, 128))
    steps = []
    for color in range(3):
      change = jnp.zeros_like(at).at[y, x, color].set(2e-3)
      after, before = log_prob(at + change), log_prob(at - change)
      steps.append(float((after - before)[task, guess_T[task]]) / 4e-3)
    assert np.abs(steps).max() == pytest.approx(
      found_TxHxW[task, y, x], rel=0.1
    )


def test_a_network_that_sees_nothing_has_an_empty_map(trained_run, image_HxWxC):
  blind = jax.tree.map(jnp.zeros_like, trained_run.variables)
  found_TxHxW = saliency.saliency(
    trained_run.run.model, trained_run.task_set, blind, image_HxWxC
  )
  np.testing.assert_array_equal(found_TxHxW, 0)


def test_the_overlay_is_orange_where_the_map_is_1(image_HxWxC):
  map_HxW = np.zeros((128, 128))
  map_HxW[:64] = 1
  drawn = np.asarray(saliency.overlay(image_HxWxC, map_HxW))
  np.testing.assert_array_equal(
    drawn[:64].reshape(-1, 3), [[255, 120, 0]] * (64 * 128)
  )
  gray_HxW = drawn[64:].astype(int)
  assert (np.ptp(gray_HxW, 2) == 0).all()
