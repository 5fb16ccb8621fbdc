"""Counts of a data set per split, class, task and label."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from imat_jax import tasks
from imat_jax.runtime import progress, text_table


def describe(
  task_set: tasks.TaskSet, labels: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
  """Counts the labels of one split, after folding.

  Args:
    task_set: the tasks of the data set.
    labels: of each photo, task name → label name.

  Returns:
    task name → `labelled` photos, `fill_rate` over all photos, and `counts` per
    label.
  """
  return {
    task.name: _describe_task(task, labels)
    for task in progress.each(task_set, 'count labels', 'task')
  }


def _describe_task(task: tasks.Task, labels) -> dict[str, Any]:
  numbers = [task.index(photo_labels.get(task.name)) for photo_labels in labels]
  counts = collections.Counter(n for n in numbers if n != tasks.MISSING)
  labelled = sum(counts.values())
  return {
    'labelled': labelled,
    'fill_rate': labelled / len(labels) if labels else 0.0,
    'counts': {name: counts[n] for n, name in enumerate(task.labels)},
  }


def table(statistics: Mapping[str, Any]) -> str:
  """`statistics.json` as a printed table."""
  splits = statistics['splits']
  parts = [_images_table(splits), _tasks_table(splits)]
  if all(tasks.APPAREL in split['tasks'] for split in splits.values()):
    parts.insert(1, _classes_table(splits))
  return '\n\n'.join(parts)


def _images_table(splits: Mapping[str, Any]) -> str:
  rows = [['images', *splits]]
  rows.append(['listed', *(f'{s["listed"]:,}' for s in splits.values())])
  rows.append(['kept', *(f'{s["kept"]:,}' for s in splits.values())])
  for kind in ('lost', 'irregular', 'near_duplicates'):
    names = sorted({name for s in splits.values() for name in s[kind]})
    for name in names:
      counts = [s[kind].get(name, 0) for s in splits.values()]
      if any(counts):
        label = f'{kind}: {name}'.replace('_', ' ')
        rows.append([label, *(f'{count:,}' for count in counts)])
  return text_table.aligned(rows)


def _classes_table(splits: Mapping[str, Any]) -> str:
  rows = [['apparel', *splits]]
  class_counts = [s['tasks'][tasks.APPAREL] for s in splits.values()]
  for label in class_counts[0]['counts']:
    counts = [split_counts['counts'][label] for split_counts in class_counts]
    totals = [split_counts['labelled'] or 1 for split_counts in class_counts]
    pairs = zip(counts, totals, strict=True)
    rows.append([label, *(f'{n:,} ({n / total:.1%})' for n, total in pairs)])
  return text_table.aligned(rows)


def _tasks_table(splits: Mapping[str, Any]) -> str:
  heads = [f'filled in {name}' for name in splits]
  rows = [['task', 'labels', *heads, 'commonest', 'rarest']]
  first = next(iter(splits.values()))['tasks']
  for name in sorted(first, key=lambda name: -first[name]['labelled']):
    if ':' in name:
      continue  # a task of one class: only in statistics.json
    counts = collections.Counter(first[name]['counts']).most_common()
    filled = [
      f'{s["tasks"][name]["labelled"]:,} ({s["tasks"][name]["fill_rate"]:.1%})'
      for s in splits.values()
    ]
    ends = [f'{label} {count:,}' for label, count in (counts[0], counts[-1])]
    rows.append([name, str(len(counts)), *filled, *ends])
  return text_table.aligned(rows)
