"""What is learned: tasks, their labels, their weights."""

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from imat_jax import errors

MISSING = -1  # the number of a label that nobody gave
OTHER = 'other'
APPAREL = 'apparel'

# Of a task's labelled train photos. `other` stands for what is rare: on more of
# them it would be the answer to everything. The bound is what the 36 rare of
# Kaggle's 70 materials, each on less than 1%, cannot be over.
MOST_OTHER = 0.36

# Spellings of the 2022 paper.
_ALIASES = {'colour': 'color'}


@dataclasses.dataclass(frozen=True)
class Task:
  """A single-label classification: a name and the names of its labels."""

  name: str
  labels: tuple[str, ...]

  def index(self, label: str | None) -> int:
    """The label's number: `other` for unknown ones, -1 where there is none."""
    if label is None:
      return MISSING
    return self._numbers.get(label, self._numbers.get(OTHER, MISSING))

  @functools.cached_property
  def _numbers(self) -> dict[str, int]:
    return {label: number for number, label in enumerate(self.labels)}


@dataclasses.dataclass(frozen=True)
class TaskSet:
  """Tasks in their order, found by name."""

  tasks: tuple[Task, ...]

  @property
  def names(self) -> tuple[str, ...]:
    return tuple(task.name for task in self.tasks)

  @property
  def most_labels(self) -> int:
    """How many labels the largest task has."""
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
      UserError: a name that is not here, or stands twice.
    """
    names = [resolve(name, self.names) for name in names]
    for name in names:
      if name not in self.names:
        raise errors.UserError(
          f"the data set has no task '{name}'; it has: {', '.join(self.names)}"
        )
      if names.count(name) > 1:
        raise errors.UserError(f"the task '{name}' is named twice")
    return TaskSet(tuple(self[name] for name in names))

  def to_json(self) -> dict[str, list[str]]:
    return {task.name: list(task.labels) for task in self.tasks}

  @classmethod
  def from_json(cls, value: Any) -> 'TaskSet':
    """Reads what `to_json` gave; anything else is a `ValueError`."""
    if not isinstance(value, dict) or not all(
      isinstance(labels, list)
      and all(isinstance(label, str) for label in labels)
      and len(set(labels)) == len(labels)
      for labels in value.values()
    ):
      raise ValueError('the tasks are not lists of label names')
    return cls(tuple(Task(n, tuple(labels)) for n, labels in value.items()))


def resolve(name: str, known: Collection[str]) -> str:
  """The task that a command line means.

  A task of exactly this name, else the one that differs only in case, blanks or
  the paper's spelling (`pants:colour` is `pants:color`), else the name itself.

  Raises:
    UserError: several tasks differ only so.
  """
  if name in known:
    return name
  fits = [task for task in known if spelling(task) == spelling(name)]
  if len(fits) > 1:
    raise errors.UserError(f"'{name}' may be any of {', '.join(fits)}")
  return fits[0] if fits else name


def spelling(name: str) -> str:
  """What names of one task have in common, see `resolve`."""
  parts = (' '.join(part.casefold().split()) for part in name.split(':'))
  return ':'.join(_ALIASES.get(part, part) for part in parts)


def fold_rare(
  name: str,
  train_counts: Mapping[str, int],
  min_share: float,
) -> Task:
  """The task whose rare labels are one label, `other`.

  A label is rare when it stands on less than `min_share` of the task's labelled
  train photos; one that only other splits have is rare too. Labels are in
  alphabetical order, `other` comes last and only where it is needed.

  Args:
    name: the task's name.
    train_counts: labelled train photos per label; 0 for a label that only
      other splits have.
    min_share: between 0 and 1.
  """
  total = sum(train_counts.values())
  kept = {
    label
    for label, count in train_counts.items()
    if count and count / total >= min_share and label != OTHER
  }
  other = (OTHER,) if train_counts.keys() - kept else ()
  return Task(name, tuple(sorted(kept)) + other)


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
  """The `min_share` of `fold_rare` for a task: 0 where it is kept whole.

  A task is kept whole where its rare labels together are on more than
  `MOST_OTHER` of its labelled train photos: each of 150 equal labels is on less
  than 1%, and nothing but `other` would be left. A tail folds, however long.

  Args:
    train_counts, min_share: see `fold_rare`.
  """
  is_tail = rare_share(train_counts, min_share) <= MOST_OTHER
  return min_share if is_tail else 0.0


def weights(number: int, decay: float) -> tuple[float, ...]:
  """The report's loss weights: 1, decay, decay², … in the tasks' order."""
  return tuple(decay**k for k in range(number))
