"""Scores runs on the photos of a split: what `evaluation.json` says.

A missing label counts nowhere. Labels of the data set that a run does not know
become its 'other', or missing where it has none.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from imat_jax import config, tasks
from imat_jax.data import input_pipeline, source
from imat_jax.data.types import Batch
from imat_jax.models import trunk
from imat_jax.runtime import progress
from imat_jax.training import compiled, metrics, scores, sharding, step
from imat_jax.training import history as history_lib
from imat_jax.training.ensemble import Ensemble
from imat_jax.training.trained_model import TrainedModel


class Scored(NamedTuple):
  """What a run makes of the N photos of a split."""

  evaluation: dict[str, Any]  # the form of `evaluation.json`
  guesses: step.Predictions  # of its own tasks, N × T each


class Outputs(NamedTuple):
  """All that a network says of N photos, beside what is true."""

  logits_NxTxK: np.ndarray  # -inf behind the last label of a task
  label_NxT: np.ndarray  # -1 where missing


def outputs(
  trained: TrainedModel,
  data_dir: str,
  split: str,
  *,
  batch_size: int,
  loader: config.Loader,
) -> Outputs:
  """Shows a run, at its best epoch, the photos of a split."""
  run, task_set = trained.run, trained.task_set
  examples = source.Source(data_dir, split, task_set)
  data = input_pipeline.eval_dataset(
    examples,
    trunk.image_side(run.model.geometry),
    batch_size,
    knobs=run.augmentation if run.eval_augmented else None,
  )
  logits = compiled.logits(Ensemble((run,), task_set))
  params = sharding.replicate(
    jax.tree.map(lambda leaf: leaf[None], trained.params)
  )
  parts, number = [], len(examples)
  with progress.Progress(number, split, 'photo') as bar:
    for batch in input_pipeline.iterate(data, loader):
      (logits_BxTxK,) = jax.device_get(
        logits(params, sharding.shard_batch(batch))
      )
      parts.append((logits_BxTxK, batch.label_BxT))
      bar.advance(min(batch_size, number - batch_size * (len(parts) - 1)))
  logits_NxTxK, label_NxT = map(np.concatenate, zip(*parts, strict=True))
  return Outputs(logits_NxTxK[:number], label_NxT[:number])


def score(trained: TrainedModel, said: Outputs, split: str) -> dict[str, Any]:
  """The `evaluation.json` of a run, from its outputs."""
  found, _ = jax.device_get(step.evaluate_logits(*said))
  return _evaluation(
    trained.run,
    trained.history,
    trained.task_set,
    compute(found, trained.task_set),
    split,
    len(said.label_NxT),
  )


def compute(sums: metrics.Metrics, task_set: tasks.TaskSet) -> dict[str, Any]:
  """Brings metrics to the host.

  Returns:
    per task's name `loss`, `accuracy` and `macro_f1`, None without a labelled
    example, and `confusion`, an int64 K × K array of the task's own labels.
  """
  sums = jax.device_get(sums)
  loss_T, weight_T = np.asarray(sums.loss.value_T()), sums.loss.weight_T
  by_task = zip(task_set, loss_T, weight_T, sums.confusion_TxKxK, strict=True)
  return {task.name: _compute(task, *rest) for task, *rest in by_task}


def _compute(
  task: tasks.Task,
  loss: np.ndarray,
  weight: np.ndarray,
  padded_KxK: np.ndarray,
) -> dict[str, Any]:
  size = len(task.labels)
  confusion_KxK = padded_KxK[:size, :size].astype(np.int64)
  return {
    'loss': float(loss) if weight > 0 else None,
    'accuracy': scores.accuracy(confusion_KxK),
    'macro_f1': scores.macro_f1(confusion_KxK),
    'confusion': confusion_KxK,
  }


def evaluate_batches(
  eval_step: compiled.EvalStep, params: dict, batches: Iterable[Batch]
) -> tuple[metrics.Metrics, list[step.Predictions]]:
  """The metrics of a whole data set, and each batch's predictions."""
  total, predictions = None, []
  for batch in batches:
    before = total
    of_batch, predicted = eval_step(params, batch)
    total = of_batch if before is None else metrics.merge(before, of_batch)
    predictions.append(predicted)
    jax.block_until_ready(before)
  return total, predictions


def score_runs(
  group: Ensemble,
  params: dict,
  histories: Iterable[history_lib.History],
  batches: Iterable[Batch],
  split: str,
  num_examples: int,
) -> list[Scored]:
  """Scores each run of a group.

  Args:
    group: the runs.
    params: those of their best epochs, R in front.
    courses: how they went.
    batches: of the split, with the labels of the group's tasks; what is behind
      its last photo is padding.
    split: its name.
    num_examples: in the split.
  """
  found, guesses = evaluate_batches(compiled.eval_step(group), params, batches)
  found, guesses = jax.device_get((found, guesses))
  all_RxNxT = step.Predictions(
    *(
      np.concatenate(parts, 1)[:, :num_examples]
      for parts in zip(*guesses, strict=True)
    )
  )
  scored = []
  for r, history in enumerate(histories):
    own = group.own_tasks(r)
    columns = [group.task_set.names.index(name) for name in own.names]
    results = compute(
      jax.tree.map(lambda leaf_R, r=r: leaf_R[r], found), group.task_set
    )
    form = _evaluation(
      group.runs[r], history, own, results, split, num_examples
    )
    own_NxT = step.Predictions(*(part[r][:, columns] for part in all_RxNxT))
    scored.append(Scored(form, own_NxT))
  return scored


def _evaluation(
  run: config.Run,
  history: history_lib.History,
  task_set: tasks.TaskSet,
  results: dict[str, Any],
  split: str,
  num_examples: int,
) -> dict[str, Any]:
  return {
    'epoch': history.stopping.best_epoch,
    'step': history.best_step,
    'stopped_early': history.stopped_early(run),
    'split': split,
    'num_examples': num_examples,
    'tasks': {t.name: _task_form(t, results[t.name]) for t in task_set},
  }


def _task_form(task: tasks.Task, result: dict[str, Any]) -> dict[str, Any]:
  confusion_KxK = result['confusion']
  per_label = scores.per_label(confusion_KxK)
  return {
    'labels': list(task.labels),
    'count': int(confusion_KxK.sum()),
    'loss': result['loss'],
    'accuracy': result['accuracy'],
    'confusion_matrix': confusion_KxK.tolist(),
    **{name: values_K.tolist() for name, values_K in per_label.items()},
    'macro_f1': scores.macro_f1(confusion_KxK),
    'weighted_f1': scores.weighted_f1(confusion_KxK),
  }
