"""Comparisons by other choices of the epoch, from the rows of runs."""

import numpy as np
import pytest

from imat_jax import config, tasks
from imat_jax.reporting import results, sensitivity
from imat_jax.study.grid import Cell

ALONE, BOTH = Cell('m', ('kind',)), Cell('m', ('kind', 'color'))


def _result(cell: Cell, seed: int, losses, accuracies, kept: int):
  """A run whose other task has the loss 2 at first and 1 at the end."""
  rows = []
  for epoch, (loss, accuracy) in enumerate(
    zip(losses, accuracies, strict=True), 1
  ):
    of_task = {'kind': {'loss': loss, 'accuracy': accuracy}}
    other = 2 - epoch / len(losses) if len(cell.tasks) > 1 else 0
    total = None if loss is None else loss + other
    rows.append(
      {'epoch': epoch, 'validation': of_task, 'total': {'validation': total}}
    )
  return results.Result(
    config.Run(data_dir='', workdir='', tasks=cell.tasks, seed=seed),
    tasks.TaskSet(()),
    rows,
    {'epoch': kept},
    None,
    0,
  )


def test_each_rule_takes_its_own_epoch():
  # Seed 1 comes first in one cell, and seed 2 has no partner.
  runs = {
    ALONE: [
      _result(ALONE, 0, [3, 1, 2], [0.5, 0.6, 0.7], kept=2),
      _result(ALONE, 1, [3, 2, 1], [0.1, 0.2, 0.3], kept=3),
      _result(ALONE, 2, [3, 2, 1], [0.9, 0.9, 0.9], kept=3),
    ],
    BOTH: [
      _result(BOTH, 1, [1, 1.1], [0.4, 0.1], kept=1),
      _result(BOTH, 0, [3, 2.0], [0.3, 0.2], kept=2),
    ],
  }
  rows = sensitivity.compare(runs)
  assert all(row['tasks'] == ['kind', 'color'] for row in rows)
  means = {row['epochs']: row['mean'] for row in rows}
  expected = {
    'kept': [0.4 - 0.3, 0.2 - 0.6],
    'lowest loss of kind': [0.4 - 0.3, 0.2 - 0.6],
    'lowest total loss': [0.1 - 0.3, 0.2 - 0.6],
    'last': [0.1 - 0.3, 0.2 - 0.7],
    '2, the last that all have': [0.1 - 0.2, 0.2 - 0.6],
  }
  assert means == {n: pytest.approx(np.mean(x)) for n, x in expected.items()}


def test_without_labels_there_is_nothing_to_compare():
  runs = {c: [_result(c, 0, [None], [None], kept=1)] for c in (ALONE, BOTH)}
  assert sensitivity.compare(runs) == []
