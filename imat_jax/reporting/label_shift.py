"""Label by label: what a comparison changes, and how the splits differ.

A change of the accuracy can come from few labels, and count more where a split
has more photos of them than train.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imat_jax.reporting import analysis, comparison
from imat_jax.study.grid import baseline


def describe(
  runs_by_cell: analysis.Analysis, task: str, statistics: Mapping[str, Any]
) -> dict[str, Any]:
  """`label_shift` of `study.json`.

  Args:
    runs_by_cell: the finished runs.
    task: the compared one.
    statistics: of the data set.

  Returns:
    for JSON; empty without a labelled photo. `split` is the scored one,
    `labels` are those of the task with `photos` there; `shares` has those of
    the labels by split, `distance` half their summed difference to train's, by
    split: the share of photos that would need another label to have train's. Of
    each of the `comparisons` with the task alone, as the model `against` learns
    it, `recall` has the difference of each label, None without a photo, and
    `reweighted` that of the accuracy with train's shares; `alone` and
    `alone_reweighted` are what they differ from, means over the seeds.
  """
  with_task = {c: runs for c, runs in runs_by_cell.items() if task in c.tasks}
  evaluation = next(iter(with_task.values()))[0].evaluation
  of_task = evaluation['tasks'][task]
  if not of_task['count']:
    return {}
  labels = of_task['labels']
  shares = {
    split: _shares(content['tasks'].get(task, {}).get('counts', {}), labels)
    for split, content in statistics['splits'].items()
  }
  weight_K = np.array(shares['train']) * (np.array(of_task['support']) > 0)
  recall_SxK = {
    cell: np.array([r.evaluation['tasks'][task]['recall'] for r in runs])
    for cell, runs in with_task.items()
  }
  baselines = {cell: baseline(list(with_task), cell) for cell in with_task}
  return {
    'split': evaluation['split'],
    'labels': labels,
    'photos': of_task['support'],
    'shares': shares,
    'distance': {
      split: float(np.abs(np.subtract(share_K, shares['train'])).sum() / 2)
      for split, share_K in shares.items()
      if split != 'train'
    },
    'comparisons': [
      comparison.describe_method(cell)
      | {'against': alone.method}
      | _compare(
        recall_SxK[cell], recall_SxK[alone], weight_K, of_task['support']
      )
      for cell, alone in baselines.items()
      if alone
    ],
  }


def _shares(counts: Mapping[str, int], labels: Sequence[str]) -> list[float]:
  count_K = np.array([counts.get(label, 0) for label in labels])
  return (count_K / max(count_K.sum(), 1)).tolist()


def _reweighted(recall_SxK: np.ndarray, weight_K: np.ndarray) -> np.ndarray:
  """The accuracies if the labels had these shares, S."""
  return recall_SxK @ weight_K / max(weight_K.sum(), 1e-9)


def _compare(
  with_SxK: np.ndarray,
  alone_SxK: np.ndarray,
  weight_K: np.ndarray,
  support: Sequence[int],
) -> dict[str, Any]:
  """Two cells, whose runs have the same seeds in the same order."""
  difference_SxK = with_SxK - alone_SxK
  return {
    'alone': alone_SxK.mean(0).tolist(),
    'recall': [
      comparison.summary(difference_S.tolist()) if photos else None
      for difference_S, photos in zip(difference_SxK.T, support, strict=True)
    ],
    'alone_reweighted': float(_reweighted(alone_SxK, weight_K).mean()),
    'reweighted': comparison.summary(
      _reweighted(difference_SxK, weight_K).tolist()
    ),
  }
