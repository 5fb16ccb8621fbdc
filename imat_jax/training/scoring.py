"""Scores runs on the photos of a split: the content of `evaluation.json`.

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
from imat_jax.runtime import progress
from imat_jax.training import (
  compiled,
  metrics,
  scores,
  sharding,
)
from imat_jax.training import history as history_lib
from imat_jax.training.ensemble import Ensemble
from imat_jax.training.evaluation import Predictions, evaluate_logits
from imat_jax.training.trained_model import TrainedModel


class Scored(NamedTuple):
  """A run's scores and predictions on the N photos of a split."""

  evaluation: dict[str, Any]  # the form of `evaluation.json`
  guesses: Predictions  # of its own tasks, N × T each


class Outputs(NamedTuple):
  """A network's outputs for N photos, beside their labels."""

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
  """The outputs of a run, at its best epoch, for the photos of a split."""
  run, task_set = trained.run, trained.task_set
  examples = source.Source(data_dir, split, task_set)
  data = input_pipeline.eval_dataset(
    examples,
    run.model.trunk.shape,
    batch_size,
    augmentation=run.augmentation if run.eval_augmented else None,
  )
  logits = compiled.logits(Ensemble((run,), task_set))
  variables = sharding.replicate(
    jax.tree.map(lambda leaf: leaf[None], trained.variables)
  )
  parts, number = [], len(examples)
  with progress.Progress(number, split, 'photo') as bar:
    for batch in input_pipeline.iterate(data, loader):
      (logits_BxTxK,) = jax.device_get(
        logits(variables, sharding.shard_batch(batch))
      )
      parts.append((logits_BxTxK, batch.label_BxT))
      bar.advance(min(batch_size, number - batch_size * (len(parts) - 1)))
  logits_NxTxK, label_NxT = map(np.concatenate, zip(*parts, strict=True))
  return Outputs(logits_NxTxK[:number], label_NxT[:number])


def score(
  trained: TrainedModel, outputs: Outputs, split: str
) -> dict[str, Any]:
  """The `evaluation.json` of a run, from its outputs."""
  sums, _ = jax.device_get(evaluate_logits(*outputs))
  return _evaluation(
    trained.run,
    trained.history,
    trained.task_set,
    compute(sums, trained.task_set),
    split,
    len(outputs.label_NxT),
  )


def compute(sums: metrics.Metrics, task_set: tasks.TaskSet) -> dict[str, Any]:
  """Brings metrics to the host.

  Returns:
    per task's name `loss` and the `METRICS`, None without a labelled example or
    where the sums lack what a metric needs, and `confusion`, an int64 K × K
    array of the task's own labels.
  """
  sums = jax.device_get(sums)
  loss_T = np.asarray(sums.loss.value_T())
  return {
    task.name: _compute(
      task,
      float(loss_T[t]),
      sums.confusion_TxKxK[t],
      jax.tree.map(lambda leaf_T, t=t: leaf_T[t], sums.others),
    )
    for t, task in enumerate(task_set)
  }


def _compute(
  task: tasks.Task, loss: float, padded_KxK: np.ndarray, others: dict[str, Any]
) -> dict[str, Any]:
  size = len(task.labels)
  confusion_KxK = padded_KxK[:size, :size].astype(np.int64)
  result = {'loss': loss} | {
    name: float(metric.value(others[name] if metric.sums else confusion_KxK))
    for name, metric in scores.METRICS.items()
    if not metric.sums or name in others
  }
  names = ('loss', *scores.METRICS)
  has_labels = bool(confusion_KxK.any())
  return {name: result.get(name) if has_labels else None for name in names} | {
    'confusion': confusion_KxK
  }


def evaluate_batches(
  eval_step: compiled.EvalStep,
  variables: dict[str, Any],
  batches: Iterable[Batch],
) -> tuple[metrics.Metrics, list[Predictions]]:
  """The metrics of a whole data set, and each batch's predictions."""
  total, predictions = None, []
  for batch in batches:
    pending = total
    sums, of_batch = eval_step(variables, batch)
    total = sums if pending is None else metrics.merge(pending, sums)
    predictions.append(of_batch)
    # One batch ahead of the device, as in training.
    jax.block_until_ready(pending)
  return total, predictions


def score_runs(
  ensemble: Ensemble,
  variables: dict[str, Any],
  histories: Iterable[history_lib.History],
  batches: Iterable[Batch],
  split: str,
  num_examples: int,
) -> list[Scored]:
  """Scores each run of an ensemble.

  Args:
    ensemble: the runs.
    variables: those of their best epochs, R in front.
    histories: of the runs.
    batches: of the split, with the labels of the ensemble's tasks; what is
      behind its last photo is padding.
    split: its name.
    num_examples: in the split.
  """
  eval_step = compiled.eval_step(ensemble)
  sums, predictions = jax.device_get(
    evaluate_batches(eval_step, variables, batches)
  )
  all_RxNxT = Predictions(
    *(
      np.concatenate(parts, 1)[:, :num_examples]
      for parts in zip(*predictions, strict=True)
    )
  )
  scored = []
  for r, history in enumerate(histories):
    task_set = ensemble.own_tasks(r)
    columns = [ensemble.task_set.names.index(name) for name in task_set.names]
    results = compute(
      jax.tree.map(lambda leaf_R, r=r: leaf_R[r], sums), ensemble.task_set
    )
    evaluation = _evaluation(
      ensemble.runs[r], history, task_set, results, split, num_examples
    )
    of_run_NxT = Predictions(*(part[r][:, columns] for part in all_RxNxT))
    scored.append(Scored(evaluation, of_run_NxT))
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
    **{name: result[name] for name in scores.METRICS},
  }
