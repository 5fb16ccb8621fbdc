"""The page of one run, `report.html`."""

from typing import Any

from imat_jax.data import description, source
from imat_jax.reporting import charts, html, intervals, results, suggestion
from imat_jax.reporting.results import Result
from imat_jax.runtime import workdir as workdir_lib
from imat_jax.runtime.workdir import Workdir
from imat_jax.training import history


def write(workdir: Workdir) -> str:
  """Writes the page of a finished run; returns what to print."""
  result = results.read(workdir.path)
  evaluation = result.evaluation['tasks']
  statistics = source.read_statistics(result.run.data_dir)
  labelled = [name for name, of in evaluation.items() if of['count']]
  baselines = {
    name: results.commonest_accuracy(name, of, statistics)
    for name, of in evaluation.items()
  }
  warnings = [
    f'an accuracy of {evaluation[name]["accuracy"]:.3f} in {name} is no better '
    f'than always saying the commonest label ({baselines[name]:.3f})'
    for name in labelled
    if evaluation[name]['accuracy'] <= baselines[name]
  ]
  warnings += _warnings(result)
  resumed = workdir_lib.times_resumed(workdir)
  split = result.evaluation['split']
  notes = [
    _epochs(result),
    f'{result.num_params:,} parameters',
    f'{result.evaluation["num_examples"]:,} {split} photos',
    f'resumed {resumed} time{"" if resumed == 1 else "s"}',
    *(
      f'{share:.3g} of the train labels of {name}'
      for name, share in result.run.label_shares.items()
    ),
    *description.notes(statistics['metadata'], result.task_set.names),
  ]
  panels = {name: charts.Panel(name, {'': [result]}) for name in labelled}
  specs = {
    score: charts.curves(panels, score) for score in ('accuracy', 'loss')
  }
  affinity = results.affinity('', result.task_set.names, [result])
  if affinity:
    specs['affinity'] = charts.affinity(affinity)
  ranked = suggestion.rank(result)
  suggested = (
    suggestion.sentence(result.task_set.names[0], ranked) if ranked else ''
  )
  html.write(
    workdir.report,
    'run.html',
    result.run.data_dir,
    result.run,
    result.task_set.names,
    specs,
    title=workdir.path.resolve().name,
    notes=notes,
    warnings=warnings,
    scores={name: s.title for name, s in results.compared().items()},
    split=split,
    evaluation=evaluation,
    trained_by=results.trained_by([result]),
    chosen_on=result.rows[result.evaluation['epoch'] - 1]['validation'],
    intervals={name: _intervals(of) for name, of in evaluation.items()},
    baselines=baselines,
    confusions=[
      html.confusion_table(name, [result], name) for name in labelled
    ],
    ranked=ranked,
    suggested=suggested,
    confused={name: html.confused_photos([result], name) for name in labelled},
  )
  lines = [
    _score_line(name, of, baselines[name], split)
    for name, of in evaluation.items()
  ]
  lines.append(', '.join(notes[:2]))
  lines += [f'suggested tasks: {suggested}'] * bool(suggested)
  lines += [f'warning: {warning}' for warning in warnings]
  paths = (
    *(workdir.report, workdir.card, workdir.evaluation, workdir.metrics),
    *(workdir.predictions, workdir.config, workdir.checkpoints),
  )
  return html.summary(lines, paths)


def _intervals(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
  """Each score with its interval for other photos, where it has one."""
  bounds, rows = intervals.of_scores(metrics), {}
  for name in results.compared():
    low, high = bounds.get(f'{name}_interval') or (None, None)
    rows[name] = {'mean': metrics[name], 'low': low, 'high': high}
  return rows


def _warnings(result: Result) -> list[str]:
  warnings = []
  first = result.task_set.names[0]
  if not result.evaluation['tasks'][first]['count']:
    split = result.evaluation['split']
    warnings.append(f'no {split} photo has a label for {first}')
  if (
    history.selection_loss(result.rows[-1], result.run.stopping) is not None
    and result.evaluation['epoch'] == result.run.epochs
  ):
    warnings.append('the last epoch was the best; more epochs may help')
  return warnings


def _epochs(result: Result) -> str:
  number, evaluation = len(result.rows), result.evaluation
  if history.selection_loss(result.rows[-1], result.run.stopping) is None:
    return (
      f'Epoch {number}, the last: no validation photo has a label to choose '
      'one by'
    )
  stopped = ', stopped early' if evaluation['stopped_early'] else ''
  return f'Best epoch {evaluation["epoch"]} of {number}{stopped}'


def _score_line(
  name: str, metrics: dict[str, Any], baseline: float | None, split: str
) -> str:
  if not metrics['count']:
    return f'{name}: no labelled photo in the split'
  return (
    f'{name}: accuracy {metrics["accuracy"]:.3f} (commonest label '
    f'{baseline:.3f}), loss {metrics["loss"]:.3f}, macro F1 '
    f'{metrics["macro_f1"]:.3f} on {metrics["count"]:,} labelled {split} photos'
  )
