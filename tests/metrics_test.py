"""Metrics of parts merge to those of the whole."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from imat_jax import tasks
from imat_jax.training import (
  compiled,
  losses,
  metrics,
  scores,
  scoring,
  trained_model,
)

TASKS = tasks.TaskSet(
  (tasks.Task('b', ('x', 'y', 'z')), tasks.Task('a', ('u', 'v')))
)


def _parts(size=20):
  rng = np.random.default_rng(1)
  logits_BxTxK = rng.normal(size=(size, 2, 3)).astype(np.float32)
  logits_BxTxK[:, 1, 2] = -np.inf  # the second task has two labels
  label_BxT = np.stack(
    [rng.integers(-1, len(task.labels), size) for task in TASKS], 1
  )
  return jnp.asarray(logits_BxTxK), jnp.asarray(label_BxT)


def _of(logits_BxTxK, label_BxT):
  sums = losses.masked_cross_entropy(logits_BxTxK, label_BxT)
  return metrics.from_batch(logits_BxTxK, sums, label_BxT)


def test_a_metric_of_one_matrix_alone_is_refused():
  naive = scores.Metric('naive', lambda confusion: np.trace(confusion))
  with pytest.raises(TypeError, match='naive gives no number for each of R'):
    scores.check({'naive': naive})


def test_merge_of_halves_is_the_whole():
  logits_BxTxK, label_BxT = _parts()
  halves = [
    _of(logits_BxTxK[part], label_BxT[part])
    for part in (slice(0, 7), slice(7, None))
  ]
  merged = metrics.merge(
    metrics.merge(metrics.zeros(len(TASKS), TASKS.most_labels), halves[0]),
    halves[1],
  )
  whole = scoring.compute(_of(logits_BxTxK, label_BxT), TASKS)
  for name, of_task in scoring.compute(merged, TASKS).items():
    expected = whole[name]
    np.testing.assert_array_equal(of_task['confusion'], expected['confusion'])
    assert of_task['loss'] == pytest.approx(expected['loss'], rel=1e-6)


def test_confusion_counts_the_labelled():
  logits_BxTxK, label_BxT = _parts()
  read = scoring.compute(tiny.jit(_of)(logits_BxTxK, label_BxT), TASKS)
  for t, task in enumerate(TASKS):
    of_task, number = read[task.name], len(task.labels)
    true_B = np.asarray(label_BxT[:, t])
    guess_B = np.asarray(logits_BxTxK[:, t, :number].argmax(1))
    expected_KxK = scores.confusion_matrix(true_B, guess_B, number)
    np.testing.assert_array_equal(of_task['confusion'], expected_KxK)
    assert of_task['accuracy'] == np.mean((true_B == guess_B)[true_B >= 0])


def test_nothing_labelled_has_no_score():
  of_tasks = scoring.compute(
    metrics.zeros(len(TASKS), TASKS.most_labels), TASKS
  )
  assert [of['loss'] for of in of_tasks.values()] == [None, None]
  assert [of['accuracy'] for of in of_tasks.values()] == [None, None]


def test_one_entry_makes_a_metric(built, tmp_path, monkeypatch):
  """The share of photos whose label is among the two likeliest."""

  def sums(logits_BxTxK, label_BxT):
    top_BxTx2 = jax.lax.top_k(logits_BxTxK, 2)[1]
    right_BxT = (top_BxTx2 == label_BxT[..., None]).any(2)
    return jnp.stack([right_BxT.sum(0), (label_BxT >= 0).sum(0)], 1)

  def value(sums_2):
    return sums_2[0] / sums_2[1]

  top_2 = scores.Metric('among the first two', value, sums)
  monkeypatch.setitem(scores.METRICS, 'top_2', top_2)
  compiled._eval_step.cache_clear()
  path = tmp_path / 'run'
  tiny.run(built, path, tasks=('apparel', 'color'), epochs=1, batch_size=16)
  trained = trained_model.load(path)
  compiled._eval_step.cache_clear()
  evaluation = json.loads((path / 'evaluation.json').read_text())['tasks']
  (row,) = map(json.loads, (path / 'metrics.jsonl').read_text().splitlines())
  outputs = scoring.outputs(
    trained, built, 'validation', batch_size=16, loader=trained.run.loader
  )
  for t, task in enumerate(trained.task_set.names):
    rows = zip(outputs.logits_NxTxK[:, t], outputs.label_NxT[:, t], strict=True)
    right = [k in np.argsort(-logits_K)[:2] for logits_K, k in rows if k >= 0]
    assert evaluation[task]['top_2'] == pytest.approx(np.mean(right))
    assert row['validation'][task]['top_2'] == evaluation[task]['top_2']
    assert row['train'][task]['top_2'] is None
  for name in ('report.html', 'README.md'):
    assert 'among the first two' in (path / name).read_text()
