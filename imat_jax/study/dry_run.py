"""How many runs fit into the memory, how long a grid takes, what it can see."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import jax

from imat_jax.models import network
from imat_jax.reporting import comparison, power, results
from imat_jax.runtime import text_table
from imat_jax.study import grid
from imat_jax.training import compiled, inputs, scoring
from imat_jax.training.ensemble import Ensemble

# Of the device's memory; the rest is for what XLA does not count.
_SHARE = 0.9


def runs_that_fit(ensemble: Ensemble, data: inputs.StreamedInputs) -> int:
  """How many runs of an ensemble one program can train.

  On a CPU one: there runs at once are slower than in turn.
  """
  number = len(ensemble)
  if jax.default_backend() == 'cpu':
    return 1
  room = _SHARE * jax.devices()[0].memory_stats()['bytes_limit']
  while number > 1 and bytes_needed(_first(ensemble, number), data) > room:
    number = (number + 1) // 2
  return number


def bytes_needed(ensemble: Ensemble, data: inputs.StreamedInputs) -> int:
  """Memory of its training on the device, by the compiler's count."""
  start = compiled.fresh_shapes(ensemble)
  step_input = next(data.train(ensemble.seed_R, 0))
  lowered = compiled.train_step(ensemble, data.steps_per_epoch).lower(
    start.state, start.metrics, step_input
  )
  memory = lowered.compile().memory_analysis()
  best = sum(leaf.size * 4 for leaf in jax.tree.leaves(start.best_variables))
  # The new state takes the place of the old one.
  return memory.argument_size_in_bytes + memory.temp_size_in_bytes + best


def table(
  planned: grid.Grid,
  ensembles: Mapping[str, Ensemble],
  size: Callable[[Ensemble], int],
  open_data: Callable[[Ensemble], inputs.StreamedInputs],
) -> str:
  """The grid with its parameters, and the time and memory it needs here.

  Args:
    planned: the grid.
    ensembles: all runs of each method.
    size: how many runs of an ensemble go at once.
    open_data: the photos with labels of an ensemble's tasks.
  """
  rows = [
    ['model', 'task sets', 'runs', 'at once', 'parameters', 'memory', 'time']
  ]
  total = 0.0
  for method, ensemble in ensembles.items():
    data = open_data(ensemble)
    number = min(size(ensemble), len(ensemble))
    part = _first(ensemble, number)
    seconds = _seconds(part, data) * len(ensemble) / number
    total += seconds
    cells = [cell for cell in planned.cells if cell.method == method]
    sizes = sorted(
      network.num_params(ensemble.model, ensemble.task_set.select(c.tasks))
      for c in cells
    )
    num_params = f'{sizes[0]:,} to {sizes[-1]:,}'
    memory = bytes_needed(part, data) / 2**30
    rows.append(
      [
        *(method, str(len(cells)), str(len(ensemble)), str(number)),
        *(num_params, f'{memory:.1f} GiB', _duration(seconds)),
      ]
    )
  names = dict.fromkeys(' + '.join(c.tasks) for c in planned.cells)
  lines = [text_table.aligned(rows), '', 'task sets:']
  lines += [f'  {name}' for name in names]
  lines.append(
    f'\n{planned.study.seeds} seeds of {planned.study.epochs} epochs: about '
    f'{_duration(total)} on this machine ({jax.devices()[0].device_kind})'
  )
  return '\n'.join(lines)


def seeds_table(planned: grid.Grid) -> str:
  """How many seeds make each comparison conclusive, from the finished runs.

  Args:
    planned: the grid; a pair of runs for each of two seeds is the least.
  """
  margin, number = planned.study.margin, _num_comparisons(planned)
  rows = [['comparison', 'seeds', 'detectable difference', 'seeds needed']]
  for cell, other in _compared(planned.cells):
    compared = comparison.compare(
      cell,
      _finished(planned, cell),
      _finished(planned, other),
      cell.tasks[0],
      {results.MAIN: results.compared()[results.MAIN]},
    )
    if compared and len(compared.difference_SxN) > 1:
      plan = comparison.plan(compared.difference_SxN, number, margin)
      rows.append(
        [
          *(str(cell), str(len(compared.difference_SxN))),
          f'{plan["detectable"]:.3f}' if plan['detectable'] else 'unknown',
          str(plan['seeds'] or f'> {power.MOST_SEEDS}'),
        ]
      )
  if len(rows) == 1:
    return (
      f'--margin={margin}: how many seeds it takes is told once two seeds of a '
      'comparison are trained'
    )
  return (
    f'{text_table.aligned(rows)}\n\nwith {power.POWER:.0%} probability, in '
    f'{number} comparisons; seeds needed for a margin of {margin}'
  )


def _compared(
  cells: Sequence[grid.Cell],
) -> list[tuple[grid.Cell, grid.Cell]]:
  """Each cell with the task alone, and with the whole network."""
  pairs = [(cell, grid.baseline(cells, cell)) for cell in cells]
  pairs += [(cell, grid.whole(cell)) for cell in cells]
  return [(cell, other) for cell, other in pairs if other]


def _finished(planned: grid.Grid, cell: grid.Cell) -> list[results.Result]:
  folders = [
    grid.run_folder(planned.study, cell, seed)
    for seed in range(planned.study.seeds)
  ]
  return [results.read(f) for f in folders if results.is_finished(f)]


def _num_comparisons(planned: grid.Grid) -> int:
  """With the task alone, the best weighted sum, and the whole network."""
  cells = planned.cells
  with_alone = sum(grid.baseline(cells, cell) is not None for cell in cells)
  of_strategies = [(c.model, c.tasks) for c in cells if c.strategy]
  pruned = sum(len(cell.tasks) for cell in cells if cell.pruning)
  return with_alone + len(of_strategies) - len({*of_strategies}) + pruned


def _first(ensemble: Ensemble, number: int) -> Ensemble:
  return dataclasses.replace(ensemble, runs=ensemble.runs[:number])


def _seconds(
  ensemble: Ensemble, data: inputs.StreamedInputs, steps: int = 5
) -> float:
  """Of an ensemble's whole training, from a few steps and one evaluation."""
  start = compiled.fresh(ensemble)
  update = compiled.train_step(ensemble, data.steps_per_epoch)
  step_inputs = data.train(ensemble.seed_R, 0)
  state, sums = start.state, start.metrics

  def timed(number: int, call: Callable[[], object]) -> float:
    call()  # compiles
    start = time.monotonic()
    for _ in range(number):
      jax.block_until_ready(call())
    return (time.monotonic() - start) / number

  def one_step():
    nonlocal state
    state, after = update(state, sums, next(step_inputs))
    return after

  score = compiled.eval_step(ensemble)
  of_step = timed(steps, one_step)
  of_evaluation = timed(
    1,
    lambda: scoring.evaluate_batches(score, state.variables, data.validation())[
      0
    ],
  )
  epochs = ensemble.training.epochs
  return epochs * (data.steps_per_epoch * of_step + of_evaluation)


def _duration(seconds: float) -> str:
  hours, minutes = divmod(round(seconds / 60), 60)
  if hours:
    return f'{hours} h {minutes} min'
  return f'{minutes} min' if minutes else f'{seconds:.0f} s'
