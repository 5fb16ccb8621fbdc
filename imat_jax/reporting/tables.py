"""The tables of a study as rows, for CSV files and for the page."""

import csv
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from imat_jax.reporting import paper, results
from imat_jax.runtime import files

Row = Mapping[str, Any]

_PAPER = f'report ({paper.MODEL}, one run)'


def make(findings: Mapping[str, Any]) -> dict[str, list[Row]]:
  """All tables of a `study.json`, by name."""
  tables = {name: rows_of(findings) for name, rows_of in _TABLES.items()}
  return {name: rows for name, rows in tables.items() if rows}


def write(directory: pathlib.Path, tables: Mapping[str, Sequence[Row]]) -> None:
  """Writes each table as NAME.csv; leaves other files untouched."""
  for name in _TABLES.keys() - tables.keys():
    (directory / f'{name}.csv').unlink(missing_ok=True)  # of an earlier grid
  for name, rows in tables.items():
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(directory / f'{name}.csv', text.getvalue())


def _tasks(cell: Row) -> str:
  return ' + '.join(cell['tasks'])


def _scores(findings: Mapping[str, Any]) -> list[Row]:
  return [
    {
      'model': cell['model'],
      'tasks': _tasks(cell),
      'task': task,
      'split': findings['split'],
      'seeds': len(cell['seeds']),
      'parameters': cell['num_params'],
      'labelled photos': scores['count'],
    }
    | {
      f'{name} {part}'.removesuffix(' mean'): scores[name][part]
      for name in results.compared()
      if name in scores
      for part in ('mean', 'standard_deviation', 'low', 'high')
    }
    for cell in findings['cells']
    for task, scores in cell['scores'].items()
    if scores['count']
  ]


def _comparisons(findings: Mapping[str, Any]) -> list[Row]:
  return [
    {
      'model': comparison['model'],
      'tasks': _tasks(comparison),
      'score': name,
      'split': findings['split'],
      'seeds': len(comparison['seeds']),
      'difference': scores['mean'],
    }
    | {
      part: scores[part]
      for part in ('low', 'high', 'p_value', 'p_holm', 'verdict')
    }
    | (_beyond_seeds(comparison) if name == results.MAIN else _NOTHING)
    for comparison in findings['comparisons']
    for name, scores in comparison['scores'].items()
  ]


def _beyond_seeds(comparison: Row) -> Row:
  """What only the main score has: other photos, the margin, the power."""
  two_level = comparison['photos']['two_level']
  return {
    'low of seeds and photos': two_level['low'],
    'high of seeds and photos': two_level['high'],
    'p_equivalence': comparison['scores'][results.MAIN]['p_equivalence'],
    'detectable': comparison['power']['detectable'],
    'seeds needed': comparison['power']['seeds'],
  }


_NOTHING = dict.fromkeys(
  (
    *('low of seeds and photos', 'high of seeds and photos'),
    *('p_equivalence', 'detectable', 'seeds needed'),
  )
)


def _sensitivity(findings: Mapping[str, Any]) -> list[Row]:
  return [
    {
      'model': row['model'],
      'tasks': _tasks(row),
      'split': 'validation',
      'epochs': row['epochs'],
      'difference': row['mean'],
      'low': row['low'],
      'high': row['high'],
    }
    for row in findings['sensitivity']
  ]


def _strategies(findings: Mapping[str, Any]) -> list[Row]:
  return [
    {
      'model': row['model'],
      'tasks': _tasks(row),
      'against': row['against'],
      'mean change of all tasks': row['change']['mean'],
      'change low': row['change']['low'],
      'change high': row['change']['high'],
    }
    | {
      part: row['scores'][results.MAIN][part] if 'scores' in row else None
      for part in ('mean', 'low', 'high', 'p_value', 'p_holm', 'verdict')
    }
    for row in findings.get('strategies', ())
  ]


def _sparsity(findings: Mapping[str, Any]) -> list[Row]:
  return [
    {
      'task': row['task'],
      'model': row['model'],
      'tasks': _tasks(row),
      'parameters': row['parameters'],
    }
    | {
      part: row['accuracy'][of]
      for part, of in {'accuracy': 'mean', 'from': 'low', 'to': 'high'}.items()
    }
    | {
      name: row['scores'][results.MAIN][part] if 'scores' in row else None
      for name, part in {
        **{'difference': 'mean', 'low': 'low', 'high': 'high'},
        **{'p_holm': 'p_holm', 'verdict': 'verdict'},
      }.items()
    }
    for row in findings.get('sparsity', ())
  ]


def _as_reported(findings: Mapping[str, Any], name: str) -> list[Row]:
  """The paper's table of one score: a row per task set, a column per model.

  None where it has none of the sets.
  """
  sets = _by_set(findings)
  if not sets.keys() & paper.ROWS.keys():
    return []
  models = {cell['model']: None for cells in sets.values() for cell in cells}
  return [
    {'tasks': ' + '.join(names)}
    | models
    | {c['model']: c['scores'][findings['task']][name]['mean'] for c in cells}
    | {_PAPER: _published(names, name)}
    for names, cells in sets.items()
    if cells[0]['scores'][findings['task']]['count']
  ]


def _ranges(findings: Mapping[str, Any]) -> list[Row]:
  """The paper's third table: from the worst to the best label, mean F1."""
  rows, sets = [], _by_set(findings)
  if not sets.keys() & paper.ROWS.keys():
    return []
  for names, cells in sets.items():
    for cell in cells:
      scores = cell['scores'][findings['task']]
      if scores['count']:
        rows.append(
          {'tasks': ' + '.join(names), 'model': cell['model']}
          | {
            name: _range(scores[name], scores['support'])
            for name in ('precision', 'recall')
          }
          | {'mean F1': scores['macro_f1']['mean']}
        )
    published = paper.ROWS.get(names)
    if published:
      rows.append(
        {
          'tasks': ' + '.join(names),
          'model': _PAPER,
          'precision': _range(published.precision),
          'recall': _range(published.recall),
          'mean F1': published.f1,
        }
      )
  return rows


def _range(
  values: Sequence[float], support: Sequence[int] | None = None
) -> str:
  """From the smallest to the largest value, of labels that have a photo."""
  present = [v for v, n in zip(values, support or values, strict=True) if n]
  return f'{min(present):.2f}–{max(present):.2f}'


def _by_set(findings: Mapping[str, Any]) -> dict[tuple[str, ...], list[Row]]:
  sets = {}
  for cell in findings['cells']:
    if findings['task'] not in cell['scores']:
      continue  # another task alone
    sets.setdefault(tuple(cell['tasks']), []).append(cell)
  return sets


def _published(names: tuple[str, ...], score: str) -> float | None:
  row = paper.ROWS.get(names)
  return row and row._asdict()[score]


def _labels(findings: Mapping[str, Any]) -> list[Row]:
  return [
    {
      'model': cell['model'],
      'tasks': _tasks(cell),
      'task': task,
      'label': label,
      'split': findings['split'],
      'photos': scores['support'][number],
    }
    | {name: scores[name][number] for name in ('precision', 'recall', 'f1')}
    for cell in findings['cells']
    for task, scores in cell['scores'].items()
    if scores['count']
    for number, label in enumerate(scores['labels'])
  ]


def _label_differences(findings: Mapping[str, Any]) -> list[Row]:
  shift = findings.get('label_shift') or {'comparisons': []}
  return [
    {
      'model': comparison['model'],
      'tasks': _tasks(comparison),
      'label': label,
      'photos': shift['photos'][number],
    }
    | {f'share of {s}': share[number] for s, share in shift['shares'].items()}
    | {
      'recall alone': comparison['alone'][number],
      'difference': difference['mean'],
      'low': difference['low'],
      'high': difference['high'],
    }
    for comparison in shift['comparisons']
    for number, (label, difference) in enumerate(
      zip(shift['labels'], comparison['recall'], strict=True)
    )
    if difference
  ]


def _affinity(findings: Mapping[str, Any]) -> list[Row]:
  return [
    {
      'model': pair['model'],
      'tasks': _tasks(pair),
      'pair': ' · '.join(pair['pair']),
      'epoch': epoch,
      'cosine': cosine,
    }
    for pair in findings['affinity']
    for epoch, cosine in zip(pair['epochs'], pair['cosine'], strict=True)
  ]


def _runs(findings: Mapping[str, Any]) -> list[Row]:
  return [
    {
      'model': run['model'],
      'tasks': _tasks(run),
      'seed': run['seed'],
      'split': findings['split'],
      'epochs': run['epochs'],
      'best epoch': run['best_epoch'],
      'stopped early': run['stopped_early'],
      'seconds': run['seconds'],
    }
    | run['scores'][findings['task']]
    for run in findings['runs']
    if findings['task'] in run['scores']
  ]


_TABLES = {
  'scores': _scores,
  'comparisons': _comparisons,
  'sensitivity': _sensitivity,
  'label_budget': lambda findings: findings['label_budget'],
  'strategies': _strategies,
  'sparsity': _sparsity,
  'report_loss': lambda findings: _as_reported(findings, 'loss'),
  'report_accuracy': lambda findings: _as_reported(findings, 'accuracy'),
  'report_precision_recall_f1': _ranges,
  'labels': _labels,
  'label_differences': _label_differences,
  'affinity': _affinity,
  'runs': _runs,
}
