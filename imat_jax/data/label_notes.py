"""Notes and warnings on a data set's labels, printed below its table."""

import collections
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from imat_jax import errors, tasks

Labels = Mapping[str, str]  # task name → label name
Counts = Mapping[str, collections.Counter[str]]  # task name → label → photos

FEW = 20  # train photos of a label; with fewer, its scores are mostly noise
_SHOWN = 3  # labels of a task that are named


def train_counts(labels: Mapping[str, Collection[Labels]]) -> Counts:
  """Train photos per label, 0 for labels of other splits only.

  Args:
    labels: split → the labels of each of its photos, before folding.
  """
  counts = collections.defaultdict(collections.Counter)
  for split, rows in labels.items():
    for name, label in (pair for row in rows for pair in row.items()):
      counts[name][label] += split == 'train'
  return counts


def lines(
  counts: Counts,
  task_set: tasks.TaskSet,
  splits: Mapping[str, Any],
  share: float,
) -> list[str]:
  """The notes; tasks of a single class are counted, not named.

  Args:
    counts: see `train_counts`.
    task_set: the tasks of the data set.
    splits: the `splits` of `statistics.json`.
    share: the data set's `min_label_share`.
  """
  notes = [
    *_unfolded(counts, task_set, share),
    *_folded(counts, task_set, share),
    *(
      line
      for split in splits
      if split != 'train'
      for line in _unlabelled(task_set, split, splits[split]['tasks'])
    ),
    *_few(task_set, splits['train']['tasks']),
  ]
  return [errors.printable(line) for line in notes]


def _unfolded(
  counts: Counts, task_set: tasks.TaskSet, share: float
) -> Iterator[str]:
  texts = {}
  for task in task_set:
    rare = tasks.rare_share(counts[task.name], share)
    if tasks.share_to_fold(counts[task.name], share) < share:
      texts[task.name] = f'{task.name} ({rare:.0%})'
  if texts:
    yield (
      f'rare labels kept: {_names(texts)}: labels on less than {share:.3g} of '
      f'the labelled train photos together cover over {tasks.MOST_OTHER:.0%}, '
      "too many for one label 'other'"
    )


def _folded(
  counts: Counts, task_set: tasks.TaskSet, share: float
) -> Iterator[str]:
  rare, unseen = {}, {}
  for task in task_set:
    removed = counts[task.name].keys() - set(task.labels)
    total = len(counts[task.name])
    for texts, kind in ((rare, True), (unseen, False)):
      number = sum((counts[task.name][label] > 0) == kind for label in removed)
      if number:
        texts[task.name] = f'{task.name} {number:,} of {total:,}'
  if rare:
    yield (
      "rare labels became 'other': "
      f'{_names(rare)}, each on less than {share:.3g} of the labelled train '
      'photos; --min_label_share=0 keeps them'
    )
  if unseen:
    yield f"labels without a train photo became 'other': {_names(unseen)}"


def _unlabelled(
  task_set: tasks.TaskSet, split: str, described: Mapping[str, Any]
) -> Iterator[str]:
  names = [t.name for t in task_set if not described[t.name]['labelled']]
  texts = dict(zip(names, names, strict=True))
  if texts:
    yield (
      f'warning: no {split} photo has a label of: {_names(texts)}; these '
      'tasks cannot be evaluated'
    )


def _few(
  task_set: tasks.TaskSet, described: Mapping[str, Any]
) -> Iterator[str]:
  for task in task_set:
    counts = described[task.name]['counts']
    few = sorted((n, label) for label, n in counts.items() if n < FEW)
    if few and ':' not in task.name:
      first = ', '.join(f'{label} {n}' for n, label in few[:_SHOWN])
      more = ', …' if len(few) > _SHOWN else ''
      yield (
        f'warning: {task.name}: {len(few):,} of {len(counts):,} labels have '
        f'under {FEW} train photos ({first}{more}): expect low scores for them'
      )


def _names(texts: Mapping[str, str]) -> str:
  """The text of each task; tasks of one class as a number."""
  parts = [text for name, text in texts.items() if ':' not in name]
  num_class_tasks = len(texts) - len(parts)
  if num_class_tasks:
    parts.append(f'{num_class_tasks:,} tasks of one class')
  return ', '.join(parts)
