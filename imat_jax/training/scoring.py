"""Scores runs on the photos of a split: what `evaluation.json` says.

A missing label counts nowhere. Labels of the data set that a run does not know
become its 'other', or missing where it has none.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from imat_jax import config, progress, scores, tasks
from imat_jax.data import pipeline, source
from imat_jax.models import trunk
from imat_jax.training import course as course_lib
from imat_jax.training import loop, mesh, metrics, program, step, workdir
from imat_jax.training.group import Group


class Scored(NamedTuple):
  """What a run makes of the N photos of a split."""

  evaluation: dict[str, Any]  # the form of `evaluation.json`
  guesses: step.Guesses  # of its own tasks, N × T each


class Outputs(NamedTuple):
  """All that a network says of N photos, beside what is true."""

  logits_NxTxK: np.ndarray  # -inf behind the last label of a task
  label_NxT: np.ndarray  # -1 where missing


def outputs(
  trained: workdir.Trained,
  data_dir: str,
  split: str,
  *,
  batch_size: int,
  loader: config.Loader,
) -> Outputs:
  """Shows a run, at its best epoch, the photos of a split."""
  run, task_set = trained.run, trained.task_set
  examples = source.Source(data_dir, split, task_set)
  data = pipeline.eval_dataset(
    examples,
    trunk.image_side(run.model.geometry),
    batch_size,
    knobs=run.augmentation if run.eval_augmented else None,
  )
  logits = program.logits(Group((run,), task_set))
  params = mesh.on_each(jax.tree.map(lambda leaf: leaf[None], trained.params))
  parts, number = [], len(examples)
  with progress.Progress(number, split, 'photo') as bar:
    for batch in pipeline.iterate(data, loader):
      (logits_BxTxK,) = jax.device_get(logits(params, mesh.spread(batch)))
      parts.append((logits_BxTxK, batch.label_BxT))
      bar.advance(min(batch_size, number - batch_size * (len(parts) - 1)))
  logits_NxTxK, label_NxT = map(np.concatenate, zip(*parts, strict=True))
  return Outputs(logits_NxTxK[:number], label_NxT[:number])


def score(
  trained: workdir.Trained, said: Outputs, split: str
) -> dict[str, Any]:
  """The `evaluation.json` of a run, from its outputs."""
  found, _ = jax.device_get(step.judge(*said))
  return _evaluation(
    trained.run,
    trained.course,
    trained.task_set,
    metrics.read(found, trained.task_set),
    split,
    len(said.label_NxT),
  )


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
    form = _evaluation(group.runs[r], course, own, results, split, num_examples)
    own_NxT = step.Guesses(*(part[r][:, columns] for part in all_RxNxT))
    scored.append(Scored(form, own_NxT))
  return scored


def _evaluation(
  run: config.Run,
  course: course_lib.Course,
  task_set: tasks.TaskSet,
  results: dict[str, Any],
  split: str,
  num_examples: int,
) -> dict[str, Any]:
  return {
    'epoch': course.stopping.best_epoch,
    'step': course.best_step,
    'stopped_early': course.stopped_early(run),
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
