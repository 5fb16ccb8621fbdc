"""How much of the network do the tasks need? The comparisons of pruned ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from imat_jax.models import network, units
from imat_jax.reporting import comparison, results
from imat_jax.reporting.comparison import Comparison
from imat_jax.reporting.results import Result
from imat_jax.study.grid import Cell, whole


def compare(
  runs_by_cell: Mapping[Cell, Sequence[Result]], names: comparison.Scores
) -> tuple[list[dict[str, Any]], list[Comparison]]:
  """`sparsity` of `study.json`, and what of it is a comparison to judge.

  Each pruned network is compared with the whole one that learned the same
  tasks, on every task that has labels.

  Returns:
    two lists, empty where a study prunes nothing. A row has the `task`, the
    `pruner` with its `sparsity`, the `parameters` that are left and the
    `accuracy`.
  """
  rows, comparisons = [], []
  pruned = {whole(cell) for cell in runs_by_cell} - {None}
  for cell, runs in runs_by_cell.items():
    if not cell.pruning and cell not in pruned:
      continue
    for task in cell.tasks:
      evaluations = [result.evaluation['tasks'][task] for result in runs]
      if not evaluations[0]['count']:
        continue
      row = comparison.describe_method(cell)
      if other := whole(cell):
        compared = comparison.compare(
          cell, runs, runs_by_cell[other], task, names
        )
        comparisons.append(compared)
        row = compared.facts
        row['against'] = other.method
      row |= {
        'task': task,
        'pruner': cell.pruner,
        'sparsity': cell.sparsity,
        'parameters': num_left(runs[0]),
        'accuracy': comparison.summary(
          [of[results.MAIN] for of in evaluations], names[results.MAIN].bounds
        ),
      }
      rows.append(row)
  return rows, comparisons


def num_left(result: Result) -> int:
  """How many parameters a pruned network has that are not 0."""
  pruning, model = result.run.optimizer.pruning, result.run.model
  if pruning.sparsity and pruning.prune_unit == 'unit':
    small = units.small(model, pruning.sparsity)
    return network.num_params(small, result.task_set)
  return network.num_params(model, result.task_set, pruning.sparsity)


def sentences(
  rows: Sequence[Mapping[str, Any]], task: str, margin: float
) -> list[str]:
  """How sparse each pruner is shown to make a network at no cost that matters.

  Args:
    rows: of `compare`, judged.
    task: the compared one.
    margin: the smallest difference in accuracy that matters.
  """
  sparsest = {}
  for row in rows:
    if row['task'] != task or 'scores' not in row:
      continue
    arm = f'{row["against"]} · {row["pruner"]}'
    is_free = row['scores'][results.MAIN]['within_margin']
    sparsest[arm] = row['sparsity'] if is_free else sparsest.get(arm)
  if not sparsest:
    return []
  parts = [
    f'{arm} {"at none" if share is None else f"at {share:g}"}'
    for arm, share in sparsest.items()
  ]
  return [
    f'The largest sparsity at which the accuracy of {task} is shown to change '
    f'by less than {margin:g}: {", ".join(parts)}.'
  ]
