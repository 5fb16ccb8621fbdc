"""A run of fine labels, scored on the groups that its data set has of them."""

from typing import Any

import numpy as np

from imat_jax import tasks
from imat_jax.data import source
from imat_jax.reporting import assessment
from imat_jax.training import scoring
from imat_jax.training.trained_model import TrainedModel


def assess(
  trained: TrainedModel, outputs: scoring.Outputs, data_dir: str, split: str
) -> dict[str, Any]:
  """The scores of each grouped task whose fine task is the run's.

  So that a run of fine labels and one of groups are compared on one scale.

  Args:
    trained: the run.
    outputs: of the run, for the photos of the split.
    data_dir: of the data set, which may have groups.
    split: of the photos.

  Returns:
    by grouped task what `assessment.assess` has of a task, and its fine `task`.
  """
  groups = source.read_metadata(data_dir).get('groups', {})
  built = source.read_tasks(data_dir)
  result = {}
  for name in groups.keys() & set(built.names) - set(trained.task_set.names):
    fine = groups[name]['task']
    if fine not in trained.task_set.names:
      continue
    pair = tasks.TaskSet((trained.task_set[fine], built[name]))
    labels_Nx2 = source.Source(data_dir, 'train', pair).label_NxT()
    shares_KxG = group_shares(labels_Nx2, *(len(task.labels) for task in pair))
    column = trained.task_set.names.index(fine)
    logits_NxK = outputs.logits_NxTxK[:, column, : len(shares_KxG)]
    log_prob_NxK = assessment.log_probabilities(logits_NxK)
    grouped_NxG = np.log(np.exp(log_prob_NxK) @ shares_KxG).astype(np.float32)
    task_set = tasks.TaskSet((built[name],))
    label_Nx1 = source.Source(data_dir, split, task_set).label_NxT()
    scores = assessment.assess(
      trained._replace(task_set=task_set),
      scoring.Outputs(grouped_NxG[:, None], label_Nx1),
      split,
    )
    result[name] = {'task': fine, **scores['tasks'][name]}
  return dict(sorted(result.items()))


def group_shares(
  label_Nx2: np.ndarray, num_labels: int, num_groups: int
) -> np.ndarray:
  """How the photos of each label are shared among the groups, K × G.

  A label of one group has 1 there; `other`, and one without a photo, have
  several. Each label counts as if it had one photo more, which is shared as all
  photos are: no group is impossible.

  Args:
    label_Nx2: label and group of train photos, -1 where missing.
    num_labels, num_groups: K and G.
  """
  known_Nx2 = label_Nx2[(label_Nx2 >= 0).all(1)]
  count_KxG = np.zeros((num_labels, num_groups))
  np.add.at(count_KxG, tuple(known_Nx2.T), 1)
  overall_G = (count_KxG.sum(0) + 1) / (count_KxG.sum() + num_groups)
  count_KxG += overall_G
  return count_KxG / count_KxG.sum(1, keepdims=True)
