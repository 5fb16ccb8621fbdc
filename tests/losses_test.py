"""The masked loss: missing labels count nowhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

from imat_jax.training import losses


def _example(size=12, num_labels=5):
  logits_BxK = jax.random.normal(jax.random.key(0), (size, num_labels)) * 3
  label_B = np.random.default_rng(0).integers(-1, num_labels, size)
  return logits_BxK, jnp.asarray(label_B)


def test_equals_the_loss_of_the_labelled_rows():
  logits_BxK, label_B = _example()
  kept_B = np.asarray(label_B) >= 0
  expected = log_loss(
    np.asarray(label_B)[kept_B],
    np.asarray(jax.nn.softmax(logits_BxK))[kept_B],
    labels=range(5),
  )
  mean = losses.masked_cross_entropy(logits_BxK, label_B)
  assert mean.weight == kept_B.sum()
  assert float(mean.value()) == pytest.approx(expected, rel=1e-5)


def test_halves_merge_to_the_whole():
  logits_BxK, label_B = _example()
  whole = losses.masked_cross_entropy(logits_BxK, label_B)
  first = losses.masked_cross_entropy(logits_BxK[:3], label_B[:3])
  second = losses.masked_cross_entropy(logits_BxK[3:], label_B[3:])
  merged = jax.tree.map(jnp.add, first, second)
  assert float(merged.value()) == pytest.approx(float(whole.value()), rel=1e-6)


def test_batch_without_labels_has_no_loss_and_no_gradient():
  logits_BxK, _ = _example()
  missing_B = jnp.full(12, -1)

  def loss(logits_BxK):
    return losses.masked_cross_entropy(logits_BxK, missing_B).value()

  assert loss(logits_BxK) == 0
  np.testing.assert_array_equal(jax.grad(loss)(logits_BxK), 0)


def test_total_is_the_weighted_sum():
  logits_BxK, label_B = _example()
  label_BxT = jnp.stack([label_B, jnp.full(12, -1), label_B[::-1]], 1)
  found = losses.by_task([logits_BxK] * 3, label_BxT)
  expected = found[0].value() + 0.25 * found[2].value()
  total = losses.total(found, jnp.array([1.0, 0.5, 0.25]))
  assert float(total) == pytest.approx(float(expected), rel=1e-6)
