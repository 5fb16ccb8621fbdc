"""The masked loss: missing labels count nowhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

from imat_jax.training import losses

# Per task the number of labels; logits behind them are no labels.
NUM_LABELS = (5, 3, 1)


def _example(size=12):
  rng = np.random.default_rng(0)
  logits_BxTxK = jax.random.normal(jax.random.key(0), (size, 3, 5)) * 3
  is_label_TxK = np.arange(5)[None] < np.array(NUM_LABELS)[:, None]
  logits_BxTxK = jnp.where(is_label_TxK[None], logits_BxTxK, -jnp.inf)
  label_BxT = np.stack([rng.integers(-1, n, size) for n in NUM_LABELS], 1)
  return logits_BxTxK, jnp.asarray(label_BxT)


def test_equals_the_loss_of_the_labelled_rows():
  logits_BxTxK, label_BxT = _example()
  sums = losses.masked_cross_entropy(logits_BxTxK, label_BxT)
  for t, number in enumerate(NUM_LABELS[:2]):
    kept_B = np.asarray(label_BxT)[:, t] >= 0
    expected = log_loss(
      np.asarray(label_BxT)[kept_B, t],
      np.asarray(jax.nn.softmax(logits_BxTxK[kept_B, t, :number])),
      labels=range(number),
    )
    assert sums.weight_T[t] == kept_B.sum()
    assert float(sums.value_T()[t]) == pytest.approx(expected, rel=1e-5)


def test_a_task_with_a_single_label_has_no_loss():
  logits_BxTxK, label_BxT = _example()
  sums = losses.masked_cross_entropy(logits_BxTxK, label_BxT)
  assert sums.weight_T[2] > 0
  assert sums.value_T()[2] == 0


def test_halves_merge_to_the_whole():
  logits_BxTxK, label_BxT = _example()
  whole = losses.masked_cross_entropy(logits_BxTxK, label_BxT)
  first = losses.masked_cross_entropy(logits_BxTxK[:3], label_BxT[:3])
  second = losses.masked_cross_entropy(logits_BxTxK[3:], label_BxT[3:])
  merged = jax.tree.map(jnp.add, first, second)
  np.testing.assert_allclose(merged.value_T(), whole.value_T(), rtol=1e-6)


def test_a_task_without_labels_has_no_loss_and_no_gradient():
  logits_BxTxK, label_BxT = _example()
  label_BxT = label_BxT.at[:, 0].set(-1)

  def loss(logits_BxTxK):
    return losses.masked_cross_entropy(logits_BxTxK, label_BxT).value_T().sum()

  gradient_BxTxK = jax.grad(loss)(logits_BxTxK)
  assert losses.masked_cross_entropy(logits_BxTxK, label_BxT).value_T()[0] == 0
  np.testing.assert_array_equal(gradient_BxTxK[:, 0], 0)
  assert gradient_BxTxK[:, 1].any()


def test_what_is_no_label_has_no_gradient():
  logits_BxTxK, label_BxT = _example()

  def loss(logits_BxTxK):
    return losses.masked_cross_entropy(logits_BxTxK, label_BxT).value_T().sum()

  gradient_BxTxK = jax.grad(loss)(logits_BxTxK)
  assert jnp.isfinite(gradient_BxTxK).all()
  np.testing.assert_array_equal(gradient_BxTxK[jnp.isinf(logits_BxTxK)], 0)


def test_total_is_the_weighted_sum():
  logits_BxTxK, label_BxT = _example()
  sums = losses.masked_cross_entropy(logits_BxTxK, label_BxT.at[:, 1].set(-1))
  expected = sums.value_T()[0] + 0.25 * sums.value_T()[2]
  total = losses.weighted_sum(sums, jnp.array([1.0, 0.5, 0.25]))
  assert float(total) == pytest.approx(float(expected), rel=1e-6)
