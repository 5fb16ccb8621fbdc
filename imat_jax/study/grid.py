"""Which runs a study is made of.

Models × strategies × task sets × shares of labels or sparsities × seeds.
"""

import dataclasses
import itertools
import os
import re
import urllib.parse
from collections.abc import Sequence
from typing import NamedTuple

from imat_jax import config, errors, tasks
from imat_jax.models import presets, pretrained, units
from imat_jax.options import part_from_text
from imat_jax.runtime import files
from imat_jax.study.config import MODELS, PRUNERS, Study

# In the order of the report's tables.
_ATTRIBUTES = ('material', 'color', 'gender', 'age')


class Cell(NamedTuple):
  """A model with a task set; its runs differ in their seeds.

  Attributes:
    model: one of `--models`.
    tasks: by name, the compared one first.
    strategy: one of `--strategies`; empty for `--strategy`, and for one task
      alone, which is the same with all of them.
    label_share: of the train labels, see `config.Run`; empty for all.
    pruning: one of `--pruners` with its sparsity; empty for the whole network.
  """

  model: str
  tasks: tuple[str, ...]
  strategy: str = ''
  label_share: tuple[str, ...] = ()
  pruning: str = ''

  @property
  def method(self) -> str:
    """The name of the model with all that is not in the tasks."""
    parts = self.model, self.strategy, self.labels, self.pruning
    return ' · '.join(filter(None, parts))

  @property
  def pruner(self) -> str:
    """One of `--pruners`; empty for the whole network."""
    return self.pruning.partition('=')[0]

  @property
  def sparsity(self) -> float:
    """The share of the weights or units that is pruned."""
    return float(self.pruning.partition('=')[2] or 0)

  @property
  def labels(self) -> str:
    """The shares of labels in words; empty for all labels."""
    pairs = (text.rpartition('=') for text in self.label_share)
    return ', '.join(f'{float(s):.3g} of {name}' for name, _, s in pairs)

  def __str__(self) -> str:
    return f'{self.method} · {" + ".join(self.tasks)}'


@dataclasses.dataclass(frozen=True)
class Grid:
  """The cells that a data set allows, and what was left out of it."""

  study: Study
  cells: tuple[Cell, ...]
  left_out: tuple[str, ...]  # a line for each set with a task that is missing

  @property
  def task_names(self) -> tuple[str, ...]:
    """The tasks of all cells, the compared one first."""
    return tuple(dict.fromkeys(n for cell in self.cells for n in cell.tasks))

  @property
  def methods(self) -> tuple[str, ...]:
    """Models, or models with strategies; the runs of each are one program."""
    return tuple(dict.fromkeys(cell.method for cell in self.cells))

  def runs(self, method: str) -> list[config.Run]:
    """The runs of a method; those of one seed stand together."""
    return [
      self.run(cell, seed)
      for seed in range(self.study.seeds)
      for cell in self.cells
      if cell.method == method
    ]

  def run(self, cell: Cell, seed: int) -> config.Run:
    """One run, in its folder of the study's."""
    shared = {f.name for f in dataclasses.fields(config.Training)}
    options = {n: v for n, v in vars(self.study).items() if n in shared}
    options['workdir'] = run_folder(self.study, cell, seed)
    options['label_share'] = cell.label_share
    if cell.strategy:
      options['strategy'] = part_from_text('imat_jax.strategies', cell.strategy)
    model = presets.by_name(cell.model)
    if cell.model in MODELS and hasattr(model.trunk, 'geometry'):
      trunk = dataclasses.replace(model.trunk, geometry=self.study.geometry)
      model = dataclasses.replace(model, trunk=trunk)
    try:
      if self.study.image_size:
        trunk = dataclasses.replace(
          model.trunk,
          image_size=self.study.image_size,
          image_width=self.study.image_width,
        )
        model = dataclasses.replace(model, trunk=trunk)
      model = pretrained.resolve(model)
      if cell.pruner in PRUNERS:
        options['optimizer'] = _with_pruning(self.study.optimizer, cell)
      elif cell.pruner:
        model = units.small(model, cell.sparsity)
      return config.Run(**options, tasks=cell.tasks, seed=seed, model=model)
    except ValueError as error:
      raise errors.UserError(f'{cell.model}: {error}') from error


def make(study: Study, built: tasks.TaskSet) -> Grid:
  """The grid that the flags describe.

  Args:
    study: the config.
    built: the tasks that the data set has.

  Raises:
    UserError: the data set allows none of it, or a set has a duplicate task.
  """
  cells, left_out = [], {}
  for model in study.models:
    for names in _task_sets(study, model, built):
      missing = [name for name in names if name not in built.names]
      if missing:
        title = ' + '.join(names)
        left_out[title] = (
          f'{title} is left out: the data set has no {", ".join(missing)}'
        )
      else:
        cells += [
          part
          for cell in _cells(study, model, built.select(names).names)
          for of_share in _with_shares(study, cell)
          for part in _with_sparsities(study, of_share)
        ]
    if study.strategies:
      # Alone, for the mean change of all tasks.
      others = dict.fromkeys(
        n for c in cells if c.model == model for n in c.tasks
      )
      cells += [Cell(model, (name,)) for name in others]
  cells = list(dict.fromkeys(cells))
  _check_folders(cells)
  if not cells:
    raise errors.UserError(
      f'{study.data_dir}: {"; ".join(left_out.values())}; it has: '
      f'{", ".join(built.names)}'
    )
  return Grid(study, tuple(cells), tuple(left_out.values()))


def _cells(study: Study, model: str, names: tuple[str, ...]) -> list[Cell]:
  if len(names) == 1 or not study.strategies:
    return [Cell(model, names)]
  return [Cell(model, names, strategy) for strategy in study.strategies]


def _with_shares(study: Study, cell: Cell) -> list[Cell]:
  """The cell with each pair of shares of labels."""
  main, *others = cell.tasks
  return [
    cell._replace(
      label_share=tuple(
        f'{name}={share:g}'
        for name, share in {
          main: of_main,
          **dict.fromkeys(others, of_others),
        }.items()
        if share < 1
      )
    )
    for of_main in study.main_label_shares
    for of_others in (study.other_label_shares if others else (1.0,))
  ]


def _with_sparsities(study: Study, cell: Cell) -> list[Cell]:
  """The cell with each network that is pruned, the whole one first."""
  pruned = itertools.product(study.pruners, sorted(study.sparsities))
  return [
    cell,
    *(cell._replace(pruning=f'{name}={share:g}') for name, share in pruned),
  ]


def _with_pruning(optimizer: config.Optimizer, cell: Cell) -> config.Optimizer:
  pruning = dataclasses.replace(
    optimizer.pruning, sparsity=cell.sparsity, **PRUNERS[cell.pruner]
  )
  return dataclasses.replace(optimizer, pruning=pruning)


def _check_folders(cells: Sequence[Cell]) -> None:
  """Refuses folders that macOS and Windows would take for one."""
  by_folder = {}
  for cell in cells:
    other = by_folder.setdefault(_folder_name(cell.tasks).lower(), cell.tasks)
    if other != cell.tasks:
      raise errors.UserError(
        f'tasks {" + ".join(other)} and {" + ".join(cell.tasks)} differ in '
        'case alone, and so would the folders of their runs; give one of them '
        'another name'
      )


def run_folder(study: Study, cell: Cell, seed: int) -> str:
  """Where the results of a run lie: its workdir."""
  name = _folder_name(cell.tasks)
  parts = filter(
    None, (cell.strategy, ','.join(cell.label_share), cell.pruning)
  )
  method = '+'.join(
    urllib.parse.quote(part, safe='') for part in (cell.model, *parts)
  )
  method = files.bounded_name(method)
  return os.path.join(study.workdir, 'runs', method, name, f'seed_{seed}')


def _folder_name(names: Sequence[str]) -> str:
  """Of a task set: no name of a task leads elsewhere, on Windows neither."""
  name = '+'.join(urllib.parse.quote(name, safe='') for name in names)
  name = files.bounded_name(name)
  if not files.is_safe_name(name):  # as `..`, or a device
    name = f'%{ord(name[0]):02X}{name[1:]}'
  return re.sub(r'\.$', '%2E', name)


def _task_sets(
  study: Study, model: str, built: tasks.TaskSet
) -> list[tuple[str, ...]]:
  """As given, or the paper's: apparel alone and with one more.

  Its three-task model has two or three more.
  """
  if study.task_sets:
    sets = [
      tuple(tasks.resolve(n.strip(), built.names) for n in one.split(','))
      for one in study.task_sets.split(';')
    ]
    if len({names[0] for names in sets}) > 1:  # Color and color, both there
      raise errors.UserError(
        f'--task_sets={study.task_sets}: all must begin with one task'
      )
    return list(dict.fromkeys(sets))
  more = (2, 3) if model == 'public_3m_three_tasks' else (1,)
  return [(tasks.APPAREL,)] + [
    (tasks.APPAREL, *attributes)
    for number in more
    for attributes in itertools.combinations(_ATTRIBUTES, number)
  ]


def baseline(cells: Sequence[Cell], cell: Cell) -> Cell | None:
  """What a cell is compared with: the same model on its first task alone.

  With as many labels of that task, and pruned as much.
  """
  (main, *_) = cell.tasks
  of_main = (s for s in cell.label_share if s.rpartition('=')[0] == main)
  alone = Cell(
    *(cell.model, (main,)), label_share=tuple(of_main), pruning=cell.pruning
  )
  return alone if alone in cells and alone != cell else None


def whole(cell: Cell) -> Cell | None:
  """The cell whose network is not pruned; None for that itself."""
  return cell._replace(pruning='') if cell.pruning else None
