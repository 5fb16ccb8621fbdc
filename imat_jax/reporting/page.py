"""The report of a study, or of a run: one self-contained HTML page."""

import base64
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import jinja2
import markupsafe
import numpy as np

from imat_jax import config, errors, options
from imat_jax.data import source
from imat_jax.reporting import analysis, assessment, results, tables
from imat_jax.runtime import environment, files
from imat_jax.runtime import workdir as workdir_lib
from imat_jax.runtime.workdir import Workdir
from imat_jax.study import grid
from imat_jax.study.grid import Cell
from imat_jax.training import scores as scores_lib

_PAGES = jinja2.Environment(
  loader=jinja2.PackageLoader('imat_jax.reporting'),
  autoescape=True,
  undefined=jinja2.StrictUndefined,
  trim_blocks=True,
  lstrip_blocks=True,
)
_CONFUSED = 12  # photos that are shown


def write_run(workdir: Workdir) -> str:
  """Writes `report.html` of a finished run; returns what to print."""
  result = results.read(workdir.path)
  cell = Cell(workdir.path.resolve().name, result.task_set.names)
  runs_by_cell = {cell: [result]}
  findings = analysis.collect(runs_by_cell)
  baselines = _baselines(findings, result.run.data_dir)
  findings['warnings'] += _no_better(findings, baselines)
  resumed = workdir_lib.times_resumed(workdir)
  evaluation = result.evaluation
  notes = [
    _epochs(result),
    f'{result.num_params:,} parameters',
    f'{evaluation["num_examples"]:,} validation photos',
    f'resumed {resumed} time{"" if resumed == 1 else "s"}',
  ]
  shown_tasks = [
    (cell, name)
    for name, metrics in evaluation['tasks'].items()
    if metrics['count']
  ]
  _write(
    workdir, cell.model, findings, runs_by_cell, shown_tasks, result.run, notes
  )
  paths = (
    workdir.report,
    workdir.card,
    workdir.evaluation,
    workdir.metrics,
    workdir.predictions,
    workdir.config,
    workdir.checkpoints,
  )
  lines = [
    _score_line(name, metrics, baselines[name])
    for name, metrics in evaluation['tasks'].items()
  ]
  lines.append(', '.join(notes[:2]))
  lines += [f'warning: {warning}' for warning in findings['warnings']]
  return _summary(lines, paths)


def write_study(workdir: Workdir, planned: grid.Grid) -> str:
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
  findings['warnings'] += _no_better(
    findings, _baselines(findings, study.data_dir)
  )
  findings |= {
    'left_out': list(planned.left_out),
    'config': options.to_json(study),
    'data_set': source.read_metadata(study.data_dir)['fingerprint'],
    'made_by': environment.describe(),
  }
  directory = workdir.path / 'tables'
  tables.write(directory, tables.make(findings))
  files.write_json(workdir.path / 'study.json', findings)
  num_runs = sum(map(len, runs_by_cell.values()))
  notes = [
    f'{num_runs} runs: {len(planned.cells)} pairs of a model and a task set, '
    f'seeds 0 to {study.seeds - 1}',
    f'up to {study.epochs} epochs',
    *planned.left_out,
  ]
  shown_tasks = [(cell, findings['task']) for cell in runs_by_cell]
  title = f'What helps to tell {findings["task"]}?'
  _write(workdir, title, findings, runs_by_cell, shown_tasks, study, notes)
  paths = (workdir.report, workdir.path / 'study.json', directory)
  return _summary([*findings['verdict'], *findings['warnings']], paths)


def _write(
  workdir: Workdir,
  title: str,
  findings: dict[str, Any],
  runs_by_cell: analysis.Analysis,
  shown_tasks: Sequence[tuple[Cell, str]],
  settings: config.Training,
  notes: Sequence[str],
) -> None:
  """Renders the template, with curves and matrices of `shown_tasks`."""
  from imat_jax.reporting import charts  # loads altair, in a second

  page = _PAGES.get_template('page.html').render(
    title=title,
    facts=findings,
    scores=analysis.compared(),
    notes=notes,
    tables=tables.make(findings),
    charts=_charts(findings, runs_by_cell, shown_tasks),
    confusions=[
      _confusion(runs_by_cell, cell, task) for cell, task in shown_tasks
    ],
    confused=_confused(runs_by_cell, findings['task'], settings.data_dir),
    baselines=_baselines(findings, settings.data_dir),
    statistics=_statistics(settings.data_dir),
    config=json.dumps(options.to_json(settings), indent=2),
    made_by=environment.describe(),
    javascript=markupsafe.Markup(charts.javascript()),
  )
  files.write_text(workdir.report, page)


def _charts(
  findings: dict[str, Any],
  runs_by_cell: analysis.Analysis,
  shown_tasks: Sequence[tuple[Cell, str]],
) -> dict[str, dict[str, Any]]:
  from imat_jax.reporting import charts

  specs = {
    score: charts.curves(runs_by_cell, shown_tasks, score)
    for score in ('accuracy', 'loss')
  }
  if findings['comparisons'] and len(next(iter(runs_by_cell.values()))) > 1:
    specs['differences'] = charts.differences(findings['comparisons'])
  if findings['affinity']:
    specs['affinity'] = charts.affinity(findings['affinity'])
  return specs


def _confusion(
  runs_by_cell: analysis.Analysis, cell: Cell, task: str
) -> dict[str, Any]:
  """Counts over all seeds, and the shares that shade them."""
  runs = runs_by_cell[cell]
  count_KxK = analysis.confusion_matrix(runs, task)
  share_KxK = scores_lib.row_shares(count_KxK)
  return {
    'title': f'{cell}: {task}' if len(runs_by_cell) > 1 else task,
    'labels': runs[0].evaluation['tasks'][task]['labels'],
    'counts': count_KxK.tolist(),
    'shares': (100 * share_KxK).round().astype(int).tolist(),
  }


def _confused(
  runs_by_cell: analysis.Analysis, task: str, data_dir: str
) -> list[dict[str, Any]]:
  """The validation photos that most runs get wrong with most confidence."""
  runs = [result for cell_runs in runs_by_cell.values() for result in cell_runs]
  task_set = runs[0].task_set.select([task])
  labels = task_set[task].labels
  columns = [r.task_set.names.index(task) for r in runs]
  pairs = list(zip(runs, columns, strict=True))
  label_N = runs[0].guesses.label[:, columns[0]]
  guess_RxN = np.stack([r.guesses.guess[:, c] for r, c in pairs])
  confidence_RxN = np.stack([r.guesses.probability[:, c] for r, c in pairs])
  wrong_RxN = (guess_RxN != label_N) & (label_N >= 0)
  worst = np.argsort(-(wrong_RxN * confidence_RxN).sum(0), kind='stable')
  examples = source.Source(data_dir, 'validation', task_set)
  photos = []
  for n in worst[:_CONFUSED]:
    wrong_R = wrong_RxN[:, n]
    if not wrong_R.any():
      break
    record = examples[int(n)]
    guess = np.bincount(guess_RxN[wrong_R, n]).argmax()
    photos.append(
      {
        'jpeg': base64.b64encode(record.jpeg).decode(),
        'image_id': record.image_id,
        'true': labels[label_N[n]],
        'guess': labels[guess],
        'wrong': int(wrong_R.sum()),
        'runs': len(runs),
        'sure': float(confidence_RxN[wrong_R, n].mean()),
      }
    )
  return photos


def _statistics(data_dir: str) -> dict[str, Any]:
  return files.read_json(source.folder(data_dir) / 'statistics.json')


def _baselines(
  findings: dict[str, Any], data_dir: str
) -> dict[str, float | None]:
  """Task → the accuracy of always predicting the commonest label."""
  train_tasks = _statistics(data_dir)['splits']['train']['tasks']
  return {
    task: assessment.commonest_accuracy(scores, train_tasks[task]['counts'])
    for cell in findings['cells']
    for task, scores in cell['scores'].items()
  }


def _no_better(
  findings: dict[str, Any], baselines: dict[str, float | None]
) -> list[str]:
  """The cells no better than always predicting the commonest label."""
  return [
    f'{cell["model"]} · {" + ".join(cell["tasks"])}: an accuracy of '
    f'{scores["accuracy"]["mean"]:.3f} in {task} is no better than always '
    f'saying the commonest label ({baselines[task]:.3f})'
    for cell in findings['cells']
    for task, scores in cell['scores'].items()
    if scores['count'] and scores['accuracy']['mean'] <= baselines[task]
  ]


def _epochs(result: results.Result) -> str:
  number, evaluation = len(result.rows), result.evaluation
  if result.rows[-1]['total']['validation'] is None:
    return (
      f'Epoch {number}, the last: no validation photo has a label, so none was '
      'judged'
    )
  stopped = ', stopped early' if evaluation['stopped_early'] else ''
  return f'Best epoch {evaluation["epoch"]} of {number}{stopped}'


def _score_line(
  name: str, metrics: dict[str, Any], baseline: float | None
) -> str:
  if not metrics['count']:
    return f'{name}: no labelled photo in the split'
  return (
    f'{name}: accuracy {metrics["accuracy"]:.3f} (commonest label '
    f'{baseline:.3f}), loss {metrics["loss"]:.3f}, macro F1 '
    f'{metrics["macro_f1"]:.3f} on {metrics["count"]:,} labelled photos'
  )


def _summary(lines: Sequence[str], paths: Sequence[pathlib.Path]) -> str:
  """What a command prints at its end: its results, and the written files."""
  lines = map(errors.printable, lines)
  return '\n'.join([*lines, '', 'files:', *(f'  {path}' for path in paths)])
