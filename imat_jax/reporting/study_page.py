"""The page of a study, `report.html`, with its tables and `study.json`."""

from typing import Any

from imat_jax import options
from imat_jax.data import description, source
from imat_jax.reporting import (
  analysis,
  html,
  label_budget,
  results,
  sensitivity,
  strategies,
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
  findings = analysis.collect(runs_by_cell)
  findings |= strategies.compare(runs_by_cell)
  findings |= {
    'split': next(iter(runs_by_cell.values()))[0].evaluation['split'],
    'sensitivity': sensitivity.compare(runs_by_cell),
  }
  statistics = results.statistics(study.data_dir)
  baselines = {
    name: results.commonest_accuracy(name, of, statistics)
    for cell in findings['cells']
    for name, of in cell['scores'].items()
  }
  findings['label_budget'] = label_budget.rows(findings, statistics)
  findings['warnings'] += [
    f'{cell["model"]} · {" + ".join(cell["tasks"])}: '
    + html.no_better(name, of['accuracy']['mean'], baselines[name])
    for cell in findings['cells']
    for name, of in cell['scores'].items()
    if of['count'] and of['accuracy']['mean'] <= baselines[name]
  ]
  findings |= {
    'left_out': list(planned.left_out),
    'config': options.to_json(study),
    'data_set': source.read_metadata(study.data_dir)['fingerprint'],
    'made_by': environment.describe(),
  }
  directory = workdir.path / 'tables'
  tables_by_name = tables.make(findings)
  tables.write(directory, tables_by_name)
  files.write_json(workdir.path / 'study.json', findings)
  num_runs = sum(map(len, runs_by_cell.values()))
  task = findings['task']
  with_task = {c: runs for c, runs in runs_by_cell.items() if task in c.tasks}
  html.write(
    workdir.report,
    'study.html',
    study,
    planned.task_names,
    title=f'What helps to tell {task}?',
    notes=[
      f'{num_runs} runs: {len(planned.cells)} pairs of a model and a task '
      f'set, seeds 0 to {study.seeds - 1}',
      f'up to {study.epochs} epochs',
      *description.notes(statistics['metadata'], planned.task_names),
      *planned.left_out,
    ],
    warnings=findings['warnings'],
    facts=findings,
    scores=analysis.compared(runs_by_cell),
    tables=tables_by_name,
    baselines=baselines,
    charts=_charts(findings, with_task),
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


def _charts(
  findings: dict[str, Any], runs_by_cell: analysis.Analysis
) -> dict[str, dict[str, Any]]:
  from imat_jax.reporting import charts, study_charts  # altair: a second

  task = findings['task']
  panels = {
    str(cell) if len(runs_by_cell) > 1 else task: (runs, task)
    for cell, runs in runs_by_cell.items()
  }
  specs = {
    score: charts.curves(panels, score) for score in ('accuracy', 'loss')
  }
  if findings['comparisons'] and len(next(iter(runs_by_cell.values()))) > 1:
    specs['differences'] = study_charts.differences(findings['comparisons'])
  if findings['label_budget']:
    specs['label_budget'] = study_charts.label_budget(
      findings['task'], findings['label_budget']
    )
  if findings['affinity']:
    specs['affinity'] = charts.affinity(findings['affinity'])
  return specs
