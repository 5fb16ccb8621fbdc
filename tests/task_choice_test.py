"""The statistics of `benchmarks.task_choice`, and what it asks of a run."""

import json

import numpy as np
import pytest
import tiny
from scipy import stats

from benchmarks import task_choice
from imat_jax import config

# The first task alone, with each of two others, with both.
MEMBER_GxT = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], bool)


def test_rank_correlation_is_that_of_scipy():
  rng = np.random.default_rng(0)
  first, second = rng.integers(0, 5, (2, 7, 15))  # with ties
  expected = [
    stats.spearmanr(*pair).statistic for pair in zip(first, second, strict=True)
  ]
  np.testing.assert_allclose(task_choice.spearman(first, second), expected)
  assert task_choice.spearman(np.zeros(4), np.arange(4)) == 0


def test_agreement_of_a_case_counted_by_hand():
  gain_G = np.array([0, 0.02, -0.01, 0.03])
  score_3xG = np.array(
    [
      [0, 1, -1, 0.5],  # chooses the first of the two
      [0, -1, -2, -3],  # chooses none
      [0, 0, 0, 0],  # calls none a help
    ]
  )
  measured = task_choice.agreement(score_3xG, gain_G, MEMBER_GxT)
  np.testing.assert_allclose(measured[0], [1, 0.5, 1, 1, 0.01], atol=1e-12)
  np.testing.assert_allclose(
    measured[1], [1, -0.5, 0.5, 1 / 3, 0.03], atol=1e-12
  )
  np.testing.assert_allclose(measured[2], [0, 0, 0.5, 1 / 3, 0.03], atol=1e-12)
  # Any of the four sets, so 0.01 on average.
  np.testing.assert_allclose(
    task_choice.chance(gain_G, MEMBER_GxT), [0, 0, 0.5, 0.5, 0.02]
  )


def test_the_ceiling_is_what_one_seed_of_two_says_of_the_other():
  first_G, second_G = np.array([[0, 1, 2, 3], [0, 2, -1, 4]]) / 100
  measured = task_choice.ceiling(np.stack([first_G, second_G]), MEMBER_GxT)
  # Both choose the whole set; of its tasks they tell another order.
  rank = stats.spearmanr(first_G[1:], second_G[1:]).statistic
  np.testing.assert_allclose(measured, [-1, rank, 0.5, 2 / 3, 0], atol=1e-12)


def test_the_interval_is_that_of_a_mean():
  """Of a plain mean the bootstrap is known."""
  value_S = np.random.default_rng(0).normal(size=40)

  def measure(index):
    return value_S[index].mean(-1)[..., None]

  mean, low, high = task_choice.with_interval(measure, len(value_S))
  half = 1.96 * value_S.std() / np.sqrt(len(value_S))
  assert mean == pytest.approx(value_S.mean())
  assert high - low == pytest.approx(2 * half, rel=0.1)


def test_it_asks_what_a_run_asks(built, tmp_path):
  """A run's own look-ahead, and gradients compared at the same steps."""
  every = task_choice.EVERY
  changes = {
    'tasks': ('apparel', 'color', 'age'),
    'suggest_tasks': every,
    'affinity_steps': every,
    'cache_on_device': True,
  }
  tiny.run(built, tmp_path / 'run', **changes)
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  gains = [g for row in rows for g in row.get('look_ahead', ())]
  run = config.Run(
    data_dir=built,
    workdir=str(tmp_path),
    model=tiny.SMALL,
    batch_size=4,
    epochs=3,
    **changes,
  )
  truth = task_choice.Truth(MEMBER_GxT, {}, [run], run.tasks)
  (looks,) = task_choice.look_at_all(tmp_path / 'looks', truth)
  assert len(looks['labelled']) == len(gains) == 2
  scores = task_choice.predict([looks], truth)
  expected = [
    np.mean([g[name] for g in gains if name in g]) for name in ('color', 'age')
  ]
  (score_G,) = scores['look-ahead, validation photos']
  np.testing.assert_allclose(score_G[1:3], expected, rtol=1e-3, atol=1e-7)
  assert score_G[3] == pytest.approx(score_G[1] + score_G[2])
