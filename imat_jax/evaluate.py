"""Scores a trained run on any built data set.

  python -m imat_jax.evaluate --run=runs/demo --data_dir=data/built \\
    --split=validation

prints JSON: per task the loss, accuracy, confusion matrix (rows = true, columns
= predicted), and precision, recall and F1 per label. A missing label counts
nowhere. Labels of the data set that the run does not know become its 'other',
or missing where it has none.
"""

import json
from typing import Any

from imat_jax import config, scores, tasks
from imat_jax.data import pipeline, source
from imat_jax.models import trunk
from imat_jax.training import loop, metrics, workdir


def main(command: config.Evaluate) -> None:
  """Prints the evaluation of a run."""
  trained = workdir.load(command.run)
  found = evaluate(
    trained,
    command.data_dir,
    command.split,
    batch_size=command.batch_size,
    loader=command.loader,
  )
  print(json.dumps(found, indent=2, allow_nan=False))


def evaluate(
  trained: workdir.Trained,
  data_dir: str,
  split: str,
  *,
  batch_size: int,
  loader: config.Loader,
) -> dict[str, Any]:
  """Scores a run at its best epoch; the form of `evaluation.json`."""
  run, task_set = trained.run, trained.task_set
  examples = source.Source(data_dir, split, task_set)
  data = pipeline.eval_dataset(
    examples,
    trunk.image_side(run.model.geometry),
    batch_size,
    seed=run.seed,
    knobs=run.augmentation if run.eval_augmented else None,
  )
  score = loop.compiled_score(run.model, task_set)
  found = loop.score_all(
    score, trained.params, pipeline.iterate(data, loader), task_set
  )
  results = zip(task_set, metrics.read(found, task_set), strict=True)
  return {
    'epoch': trained.course.stopping.best_epoch,
    'step': trained.course.best_step,
    'stopped_early': trained.course.stopped_early(run),
    'split': split,
    'num_examples': len(examples),
    'tasks': {task.name: _task_form(task, result) for task, result in results},
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


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, config.Evaluate)
