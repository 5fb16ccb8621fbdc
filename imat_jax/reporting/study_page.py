"""The page of a study, `report.html`, with its tables and `study.json`."""

import collections
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from imat_jax import options
from imat_jax.data import description, source
from imat_jax.reporting import (
  analysis,
  html,
  label_budget,
  label_shift,
  photo_predictions,
  results,
  sensitivity,
  tables,
)
from imat_jax.runtime import environment, files
from imat_jax.runtime.workdir import Workdir
from imat_jax.study import grid


def write(workdir: Workdir, planned: grid.Grid) -> str:
  """Writes the page, the tables and `study.json`; returns what to print."""
  study = planned.study
  runs_by_cell = {
    cell: [
      results.read(grid.run_folder(study, cell, seed))
      for seed in range(study.seeds)
    ]
    for cell in planned.cells
  }
  statistics = source.read_statistics(study.data_dir)
  findings = analysis.collect(runs_by_cell, statistics, study.margin)
  findings |= {
    'split': next(iter(runs_by_cell.values()))[0].evaluation['split'],
    'sensitivity': sensitivity.compare(runs_by_cell),
  }
  task = findings['task']
  baselines = {
    name: results.commonest_accuracy(name, of, statistics)
    for cell in findings['cells']
    for name, of in cell['scores'].items()
  }
  findings['label_budget'] = label_budget.rows(findings, statistics)
  findings['warnings'] += no_better(findings['cells'], baselines)
  trained_by = results.trained_by(itertools.chain(*runs_by_cell.values()))
  if len(trained_by) > 1:
    findings['warnings'].append(
      f'the runs are of {len(trained_by)} environments that may round '
      'otherwise; they are listed at the end'
    )
  findings |= {
    'label_shift': label_shift.describe(runs_by_cell, task, statistics),
    'left_out': list(planned.left_out),
    'config': options.to_json(study),
    'data_set': source.read_metadata(study.data_dir)['fingerprint'],
    'made_by': environment.describe(),
    'trained_by': trained_by,
  }
  directory = workdir.path / 'tables'
  tables_by_name = tables.make(findings)
  tables.write(directory, tables_by_name)
  photo_predictions.write(directory / 'predictions.npz', runs_by_cell, task)
  files.write_json(workdir.path / 'study.json', findings)
  num_runs = sum(map(len, runs_by_cell.values()))
  with_task = {c: runs for c, runs in runs_by_cell.items() if task in c.tasks}
  html.write(
    workdir.report,
    'study.html',
    study.data_dir,
    study,
    planned.task_names,
    _figures(findings, with_task),
    title=_title(planned),
    notes=[
      f'{num_runs} runs: {len(planned.cells)} pairs of a model and a task '
      f'set, seeds 0 to {study.seeds - 1}',
      f'up to {study.epochs} epochs',
      *description.notes(statistics['metadata'], planned.task_names),
      *planned.left_out,
    ],
    warnings=findings['warnings'],
    facts=findings,
    trained_by=trained_by,
    scores=analysis.compared(runs_by_cell),
    tables=tables_by_name,
    baselines=baselines,
    comparisons_by_model=_by_model(findings['comparisons']),
    cells_by_model=_by_model(findings['cells']),
    sensitivity_by_model=_by_model(findings['sensitivity']),
    shifts_by_set=_by_set(findings['label_shift']),
    confusions=[
      html.confusion_table(
        f'{cell}: {task}' if len(runs_by_cell) > 1 else task,
        runs,
        task,
      )
      for cell, runs in with_task.items()
    ],
    confused=html.confused_photos(
      [result for runs in with_task.values() for result in runs], task
    ),
  )
  paths = (workdir.report, workdir.path / 'study.json', directory)
  return html.summary([*findings['verdict'], *findings['warnings']], paths)


def no_better(
  cells: Sequence[Mapping[str, Any]], baselines: Mapping[str, float]
) -> list[str]:
  """A warning for each task in which a constant answer is as good.

  Args:
    cells: of `study.json`.
    baselines: the accuracy of the commonest train label, task by task.
  """
  warnings = []
  for task, baseline in baselines.items():
    weak = [
      f'{cell["model"]} · {" + ".join(cell["tasks"])} '
      f'({of["accuracy"]["mean"]:.3f})'
      for cell in cells
      if (of := cell['scores'].get(task)) and of['count']
      if of['accuracy']['mean'] <= baseline
    ]
    if weak:
      warnings.append(
        f'in {task} no better than always saying the commonest label '
        f'({baseline:.3f}): {"; ".join(weak)}'
      )
  return warnings


def _by_model(
  rows: Sequence[dict[str, Any]],
) -> dict[str, list[dict[str, Any]]]:
  by_model = collections.defaultdict(list)
  for row in rows:
    by_model[row['model']].append(row)
  return by_model


def _by_set(shift: dict[str, Any]) -> dict[str, dict[str, Any]]:
  """By the added tasks and then by model."""
  by_set = collections.defaultdict(dict)
  for comparison in shift.get('comparisons', ()):
    title = ' + '.join(comparison['tasks'][1:])
    by_set[title][comparison['model']] = comparison
  return by_set


def _title(planned: grid.Grid) -> str:
  task, *others = planned.task_names
  if planned.study.sparsities:
    return f'How much of the network does {task} need?'
  if not others:
    return f'How well is {task} predicted?'
  names = ', '.join(others[:-1]) + ' or ' * (len(others) > 1) + others[-1]
  return f'Does learning {names} help to predict {task}?'


def _figures(
  findings: dict[str, Any], runs_by_cell: analysis.Analysis
) -> dict[str, list[dict[str, Any]]]:
  from imat_jax.reporting import charts, study_charts  # altair: a second

  task, cells = findings['task'], list(runs_by_cell)
  baseline_of = {cell: grid.baseline(cells, cell) for cell in cells}
  panels = {}
  for cell, runs in runs_by_cell.items():
    alone, arms = baseline_of[cell], {' + '.join(cell.tasks): runs}
    if alone:
      arms = {f'{task} alone': runs_by_cell[alone]} | arms
    if cell not in baseline_of.values():  # its curve is in the others' panels
      panels[str(cell)] = charts.Panel(task, arms)
  specs = {
    score: charts.curves(panels, score) for score in ('accuracy', 'loss')
  }
  if findings['label_budget']:
    specs['label_budget'] = study_charts.label_budget(
      task, findings['label_budget']
    )
  elif 'sparsity' in findings:
    specs['sparsity'] = study_charts.sparsity(findings['sparsity'])
  elif findings['comparisons'] and len(next(iter(runs_by_cell.values()))) > 1:
    specs['differences'] = study_charts.differences(
      findings['comparisons'], findings['margin']
    )
  if findings['affinity']:
    specs['affinity'] = charts.affinity(findings['affinity'])
  return specs
