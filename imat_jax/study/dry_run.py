"""How many runs fit into the memory, and how long a grid will take."""

import dataclasses
import time
from collections.abc import Callable, Mapping

import jax

from imat_jax import tasks
from imat_jax.models import network
from imat_jax.study import grid
from imat_jax.training import compiled, inputs, scoring
from imat_jax.training.ensemble import Ensemble

# Of the device's memory; the rest is for what XLA does not count.
_SHARE = 0.9


def runs_that_fit(group: Ensemble, data: inputs.StreamedInputs) -> int:
  """How many runs of a group one program can train.

  On a CPU one: there runs at once are slower than in turn.
  """
  number = len(group)
  if jax.default_backend() == 'cpu':
    return 1
  room = _SHARE * jax.devices()[0].memory_stats()['bytes_limit']
  while number > 1 and bytes_needed(_first(group, number), data) > room:
    number = (number + 1) // 2
  return number


def bytes_needed(group: Ensemble, data: inputs.StreamedInputs) -> int:
  """The memory of a group's training on the device, by the compiler's count."""
  here = compiled.fresh_shapes(group)
  fed = next(data.train(group.seed_R, 0))
  active_R = jax.ShapeDtypeStruct((len(group),), bool)
  lowered = compiled.train_step(group).lower(
    here.state, here.metrics, active_R, fed
  )
  found = lowered.compile().memory_analysis()
  best = sum(leaf.size * 4 for leaf in jax.tree.leaves(here.best_params))
  # The new state takes the place of the old one.
  return found.argument_size_in_bytes + found.temp_size_in_bytes + best


def table(
  planned: grid.Grid,
  groups: Mapping[str, Ensemble],
  size: Callable[[Ensemble], int],
  open_data: Callable[[tasks.TaskSet], inputs.StreamedInputs],
) -> str:
  """The grid with its parameters, and the time and memory it needs here.

  Args:
    planned: the grid.
    groups: all runs of each model.
    size: how many runs of a group go at once.
    open_data: the photos with labels of some tasks.
  """
  lines = [
    f'{"model":24}{"task sets":>10}{"runs":>6}{"at once":>9}'
    f'{"parameters":>24}{"memory":>10}{"time":>12}'
  ]
  total = 0.0
  for model, group in groups.items():
    data = open_data(group.task_set)
    number = min(size(group), len(group))
    part = _first(group, number)
    seconds = _seconds(part, data) * len(group) / number
    total += seconds
    cells = [cell for cell in planned.cells if cell.model == model]
    sizes = sorted(
      network.num_params(group.model, group.task_set.select(c.tasks))
      for c in cells
    )
    shown = f'{sizes[0]:,} to {sizes[-1]:,}'
    memory = bytes_needed(part, data) / 2**30
    lines.append(
      f'{model:24}{len(cells):10}{len(group):6}{number:9}'
      f'{shown:>24}{memory:7.1f} GiB{_duration(seconds):>12}'
    )
  names = [' + '.join(c.tasks) for c in planned.cells]
  lines += ['', 'task sets:', *(f'  {n}' for n in dict.fromkeys(names))]
  lines.append(
    f'\n{planned.study.seeds} seeds of {planned.study.epochs} epochs: about '
    f'{_duration(total)} on this machine ({jax.devices()[0].device_kind})'
  )
  return '\n'.join(lines)


def _first(group: Ensemble, number: int) -> Ensemble:
  return dataclasses.replace(group, runs=group.runs[:number])


def _seconds(
  group: Ensemble, data: inputs.StreamedInputs, steps: int = 5
) -> float:
  """Of a group's whole training, from a few steps and one evaluation."""
  here, update = compiled.fresh(group), compiled.train_step(group)
  fed, active_R = data.train(group.seed_R, 0), [True] * len(group)
  now, so_far = here.state, here.metrics

  def timed(number: int, call: Callable[[], object]) -> float:
    call()  # compiles
    start = time.monotonic()
    for _ in range(number):
      jax.block_until_ready(call())
    return (time.monotonic() - start) / number

  def one_step():
    nonlocal now
    now, found = update(now, so_far, jax.numpy.array(active_R), next(fed))
    return found

  score = compiled.eval_step(group)
  of_step = timed(steps, one_step)
  of_evaluation = timed(
    1, lambda: scoring.evaluate_batches(score, now.params, data.validation())[0]
  )
  epochs = group.training.epochs
  return epochs * (data.steps_per_epoch * of_step + of_evaluation)


def _duration(seconds: float) -> str:
  hours, minutes = divmod(round(seconds / 60), 60)
  if hours:
    return f'{hours} h {minutes} min'
  return f'{minutes} min' if minutes else f'{seconds:.0f} s'
