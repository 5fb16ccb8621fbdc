"""Tasks, their labels and loss weights."""

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from imat_jax import errors

MISSING = -1  # the number of a missing label
OTHER = 'other'
APPAREL = 'apparel'

# Share of a task's labelled train photos that may become `other`, which on more
# would be the answer to everything. Kaggle's 36 rare materials of 70, each on
# less than 1%, cannot exceed it.
MOST_OTHER = 0.36

# Spellings of the 2022 paper.
_ALIASES = {'colour': 'color'}


@dataclasses.dataclass(frozen=True)
class Task:
  """A single-label classification: a name and the names of its labels."""

  name: str
  labels: tuple[str, ...]

  def index(self, label: str | None) -> int:
    """The label's number: `other` if unknown, -1 if missing or no `other`."""
    if label is None:
      return MISSING
    return self._numbers.get(label, self._numbers.get(OTHER, MISSING))

  @functools.cached_property
  def _numbers(self) -> dict[str, int]:
    return {label: number for number, label in enumerate(self.labels)}


@dataclasses.dataclass(frozen=True)
class TaskSet:
  """An ordered set of tasks, accessed by name."""

  tasks: tuple[Task, ...]

  @property
  def names(self) -> tuple[str, ...]:
    return tuple(task.name for task in self.tasks)

  @property
  def most_labels(self) -> int:
    """The number of labels of the largest task."""
    return max(len(task.labels) for task in self.tasks)

  def __iter__(self):
    return iter(self.tasks)

  def __len__(self) -> int:
    return len(self.tasks)

  def __getitem__(self, name: str) -> Task:
    return self.tasks[self.names.index(name)]

  def select(self, names: Sequence[str]) -> 'TaskSet':
    """The named tasks, in the order of the names.

    Raises:
      UserError: an unknown or duplicate name.
    """
    names = [resolve(name, self.names) for name in names]
    for name in names:
      if name not in self.names:
        raise errors.UserError(
          f"the data set has no task '{name}'; available: "
          f'{", ".join(self.names)}'
        )
      if names.count(name) > 1:
        raise errors.UserError(f"duplicate task '{name}'")
    return TaskSet(tuple(self[name] for name in names))

  def to_json(self) -> dict[str, list[str]]:
    return {task.name: list(task.labels) for task in self.tasks}

  @classmethod
  def from_json(cls, value: Any) -> 'TaskSet':
    """Inverse of `to_json`; anything else raises a `ValueError`."""
    if not isinstance(value, dict) or not all(
      isinstance(labels, list)
      and all(isinstance(label, str) for label in labels)
      and len(set(labels)) == len(labels)
      for labels in value.values()
    ):
      raise ValueError('the tasks are not lists of label names')
    return cls(tuple(Task(n, tuple(labels)) for n, labels in value.items()))


def resolve(name: str, known: Collection[str]) -> str:
  """The task that a name on a command line refers to.

  The task with exactly this name, else the one that differs only in case,
  blanks or the paper's spelling (`pants:colour` is `pants:color`), else `name`.

  Raises:
    UserError: ambiguous.
  """
  if name in known:
    return name
  matches = [task for task in known if spelling(task) == spelling(name)]
  if len(matches) > 1:
    raise errors.UserError(
      f"task '{name}' is ambiguous: use one of {', '.join(matches)}"
    )
  return matches[0] if matches else name


def spelling(name: str) -> str:
  """The canonical spelling of a task's name, see `resolve`."""
  parts = (' '.join(part.casefold().split()) for part in name.split(':'))
  return ':'.join(_ALIASES.get(part, part) for part in parts)


def fold_rare(
  name: str,
  train_counts: Mapping[str, int],
  min_share: float,
) -> Task:
  """The task with its rare labels folded into one label, `other`.

  A label is rare on less than `min_share` of the task's labelled train photos,
  or if only other splits have it. Labels are in alphabetical order, `other`
  last and only if needed.

  Args:
    name: of the task.
    train_counts: train photos per label; 0 for labels of other splits only.
    min_share: between 0 and 1.
  """
  total = sum(train_counts.values())
  common = {
    label
    for label, count in train_counts.items()
    if count and count / total >= min_share and label != OTHER
  }
  other = (OTHER,) if train_counts.keys() - common else ()
  return Task(name, tuple(sorted(common)) + other)


def rare_share(train_counts: Mapping[str, int], min_share: float) -> float:
  """The share of a task's labelled train photos whose label is rare.

  Args:
    train_counts, min_share: see `fold_rare`.
  """
  total = sum(train_counts.values())
  rare = sum(
    count
    for label, count in train_counts.items()
    if label != OTHER and count < min_share * total
  )
  return rare / max(total, 1)


def share_to_fold(train_counts: Mapping[str, int], min_share: float) -> float:
  """The `min_share` of `fold_rare` for a task; 0 to keep all its labels.

  All are kept if the rare ones together are on more than `MOST_OTHER` of the
  labelled train photos: each of 150 equal labels is on less than 1%, and only
  `other` would remain. A tail of rare labels is folded, however long.

  Args:
    train_counts, min_share: see `fold_rare`.
  """
  is_tail = rare_share(train_counts, min_share) <= MOST_OTHER
  return min_share if is_tail else 0.0


def weights(number: int, decay: float) -> tuple[float, ...]:
  """The report's loss weights: 1, decay, decay², … in the tasks' order."""
  return tuple(decay**k for k in range(number))
