"""Labels grouped into a coarser task beside their own.

A file of groups is YAML, task → group → labels:

  color:
    blue: [blue, navy, light blue]
    red: [red, burgundy]

`build --groups=families.yaml` adds the task `color_families` to the data set. A
run may learn it instead of `color`, and `evaluate` scores a run of `color` on
it, too. The files beside this one are named without their ending:
`--groups=kaggle`.
"""

import collections
import dataclasses
import difflib
import pathlib
from collections.abc import Collection, Iterable, Iterator, Mapping

import yaml

from imat_jax import errors

SHIPPED = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Grouping:
  """The groups of a task's labels."""

  name: str  # of the task that has the groups as its labels
  task: str  # whose labels are grouped
  group_of: Mapping[str, str]  # label → group

  def to_json(self) -> dict[str, str | dict[str, list[str]]]:
    """Group → labels, with the task."""
    groups = collections.defaultdict(list)
    for label, group in self.group_of.items():
      groups[group].append(label)
    return {'task': self.task, 'groups': dict(groups)}


def read_all(
  files: Iterable[str], task_names: Collection[str]
) -> list[Grouping]:
  """The groupings of all files, see `read`.

  Raises:
    UserError: as `read`; or one has the name of another, or of a task.
  """
  groupings = [one for file in files for one in read(file, task_names)]
  count = collections.Counter(grouping.name for grouping in groupings)
  for grouping in groupings:
    if count[grouping.name] > 1 or grouping.name in task_names:
      raise errors.UserError(
        f'--groups: there would be two tasks {grouping.name}; rename the file'
      )
  return groupings


def read(
  name: str, task_names: Collection[str] | None = None
) -> list[Grouping]:
  """The groupings of a file.

  Args:
    name: of the file, or of one beside this module without its ending.
    task_names: of the annotations; None if they need not have all tasks.

  Raises:
    UserError: no such file, no groups, an unknown task, or a label in two
      groups.
  """
  path = SHIPPED / f'{name}.yaml'
  if not path.is_file():
    path = pathlib.Path(name)
  if not path.is_file():
    shipped = sorted(file.stem for file in SHIPPED.glob('*.yaml'))
    raise errors.UserError(
      f'--groups={name}: no such file; here by name: {", ".join(shipped)}'
    )
  groupings = []
  for task, groups in _read(path).items():
    if task_names is not None and task not in task_names:
      raise errors.UserError(
        f"{path}: no task '{task}'{_similar(task, task_names)}"
      )
    group_of = {}
    for label, group in _pairs(path, task, groups):
      if group_of.setdefault(label, group) != group:
        raise errors.UserError(
          f"{path}: {task}: the label '{label}' is in {group_of[label]} and in "
          f'{group}'
        )
    groupings.append(Grouping(f'{task}_{path.stem}', task, group_of))
  return groupings


def text(task: str, groups: Mapping[str, Collection[str]]) -> str:
  """A file of a task's groups, group → labels."""
  content = {task: {name: [*labels] for name, labels in groups.items()}}
  return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def add(
  labels: Mapping[str, str], groupings: Collection[Grouping]
) -> dict[str, str]:
  """A photo's labels, task → label, with the groups that they are in.

  A label that no group has stays as it is.
  """
  added = {
    grouping.name: grouping.group_of.get(label, label)
    for grouping in groupings
    if (label := labels.get(grouping.task)) is not None
  }
  return {**labels, **added}


def lines(
  groupings: Collection[Grouping], counts: Mapping[str, Mapping[str, int]]
) -> list[str]:
  """What is grouped, which labels are in no group, and which do not occur.

  Args:
    groupings: those of the data set.
    counts: task → label → photos.
  """
  notes = []
  for grouping in groupings:
    seen, grouped = counts[grouping.task].keys(), grouping.group_of.keys()
    number = len({grouping.group_of[label] for label in seen & grouped})
    notes.append(
      f'{grouping.name}: {len(seen & grouped):,} labels of {grouping.task} in '
      f'{number:,} groups'
    )
    if left := sorted(seen - grouped):
      notes.append(
        f'{grouping.name}: in no group, so each stays as it is: '
        f'{", ".join(left)}'
      )
    if unknown := sorted(grouped - seen):
      names = (name + _similar(name, left) for name in unknown)
      notes.append(
        f'{grouping.name}: no photo has these labels: {", ".join(names)}'
      )
  return [errors.printable(line) for line in notes]


class _Loader(yaml.BaseLoader):
  """Scalars are text, so that `no` is a label; refuses a repeated key."""

  def construct_mapping(self, node, deep=False):
    names = [self.construct_object(key) for key, _ in node.value]
    for number, (key, _) in enumerate(node.value):
      if (name := names[number]) in names[:number]:
        raise yaml.MarkedYAMLError(
          problem=f"'{name}' is there twice", problem_mark=key.start_mark
        )
    return super().construct_mapping(node, deep)


def _read(path: pathlib.Path) -> dict[str, dict[str, list[str]]]:
  try:
    content = yaml.load(path.read_text(encoding='utf-8'), _Loader)
  except yaml.MarkedYAMLError as error:
    line = error.problem_mark and f', line {error.problem_mark.line + 1}'
    raise errors.UserError(f'{path}{line or ""}: {error.problem}') from None
  except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
    raise errors.UserError(f'{path}: {errors.first_line(error)}') from None
  if not isinstance(content, dict) or not content:
    raise errors.UserError(f'{path}: must have groups of labels by task')
  return content


def _pairs(
  path: pathlib.Path, task: str, groups: object
) -> Iterator[tuple[str, str]]:
  """Each label with its group."""
  if not isinstance(groups, dict) or not groups:
    raise errors.UserError(f'{path}: {task}: must have labels by group')
  for group, labels in groups.items():
    if not isinstance(labels, list) or not all(
      isinstance(label, str) for label in labels
    ):
      raise errors.UserError(
        f'{path}: {task}: {group}: must be a list of labels'
      )
    for label in labels:
      yield label, group


def _similar(name: str, known: Collection[str]) -> str:
  closest = difflib.get_close_matches(name, known, 1)
  return f" (did you mean '{closest[0]}'?)" if closest else ''
