"""Scores a trained run on any built data set.

  python -m imat_jax.evaluate --run=runs/demo --data_dir=data/built \\
    --split=validation

prints JSON: per task the loss, accuracy, confusion matrix (rows = true, columns
= predicted), and precision, recall and F1 per label. A missing label counts
nowhere. Labels of the data set that the run does not know become its 'other',
or missing where it has none.
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from imat_jax import config, scores, tasks
from imat_jax.data import pipeline, source
from imat_jax.models import trunk
from imat_jax.training import course as course_lib
from imat_jax.training import loop, mesh, metrics, program, step, workdir
from imat_jax.training.group import Group


class Scored(NamedTuple):
  """What a run makes of the N photos of a split."""

  evaluation: dict[str, Any]  # the form of `evaluation.json`
  guesses: step.Guesses  # of its own tasks, N × T each


def main(command: config.Evaluate) -> None:
  """Prints the evaluation of a run."""
  trained = workdir.load(command.run)
  with mesh.use(command.batch_size):
    found = evaluate(
      trained,
      command.data_dir,
      command.split,
      batch_size=command.batch_size,
      loader=command.loader,
    )
  print(json.dumps(found.evaluation, indent=2, allow_nan=False))


def evaluate(
  trained: workdir.Trained,
  data_dir: str,
  split: str,
  *,
  batch_size: int,
  loader: config.Loader,
) -> Scored:
  """Scores a run at its best epoch."""
  run = trained.run
  examples = source.Source(data_dir, split, trained.task_set)
  data = pipeline.eval_dataset(
    examples,
    trunk.image_side(run.model.geometry),
    batch_size,
    knobs=run.augmentation if run.eval_augmented else None,
  )
  (found,) = score_runs(
    Group((run,), trained.task_set),
    mesh.on_each(jax.tree.map(lambda leaf: leaf[None], trained.params)),
    (trained.course,),
    map(mesh.spread, pipeline.iterate(data, loader)),
    split,
    len(examples),
  )
  return found


def score_runs(
  group: Group,
  params: dict,
  courses: Iterable[course_lib.Course],
  batches: Iterable[pipeline.Batch],
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
  found, guesses = loop.score_all(program.score(group), params, batches)
  found, guesses = jax.device_get((found, guesses))
  all_RxNxT = step.Guesses(
    *(
      np.concatenate(parts, 1)[:, :num_examples]
      for parts in zip(*guesses, strict=True)
    )
  )
  scored = []
  for r, course in enumerate(courses):
    own = group.own_tasks(r)
    columns = [group.task_set.names.index(name) for name in own.names]
    results = metrics.read(
      jax.tree.map(lambda leaf_R, r=r: leaf_R[r], found), group.task_set
    )
    evaluation = {
      'epoch': course.stopping.best_epoch,
      'step': course.best_step,
      'stopped_early': course.stopped_early(group.runs[r]),
      'split': split,
      'num_examples': num_examples,
      'tasks': {t.name: _task_form(t, results[t.name]) for t in own},
    }
    own_NxT = step.Guesses(*(part[r][:, columns] for part in all_RxNxT))
    scored.append(Scored(evaluation, own_NxT))
  return scored


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
