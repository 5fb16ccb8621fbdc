"""Writes what finished runs and studies scored into experiments/results.csv.

READMEs and docstrings quote that table; tests/results_test.py compares them.

  python -m experiments.results --name=clothing runs/apparel-* runs/color-*
  python -m experiments.results --name='clothing study' studies/clothing

Runs that differ in their seeds alone are one row per task and score. The rows
that the table has under the same name are replaced.
"""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from imat_jax import config, errors, flags, options, validators
from imat_jax.data import source
from imat_jax.models import presets
from imat_jax.reporting import results as results_lib
from imat_jax.runtime import environment, files
from imat_jax.study.config import MODELS

COLUMNS = (
  *('name', 'model', 'tasks', 'options', 'task', 'split', 'photos', 'score'),
  *('seeds', 'mean', 'sd', 'low', 'high', 'p', 'by_seed', 'machine'),
)
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results(options.Config):
  """Options of `experiments.results`."""

  paths: tuple[str, ...] = options.arguments(
    'PATH…', 'folders of finished runs, or of studies', validators.not_empty
  )
  name: str = options.option('of the rows', check=validators.not_empty)
  table: str = config.file('the table', 'experiments/results.csv')


def main(command: Results) -> None:
  table = pathlib.Path(command.table)
  rows = [r for r in read(table) if r['name'] != command.name]
  paths = [pathlib.Path(path) for path in command.paths]
  studies = [path for path in paths if (path / 'tables').is_dir()]
  runs = [results_lib.read(path) for path in paths if path not in studies]
  machine = environment.describe()['hardware']
  added = [*_of_runs(runs)] + [r for path in studies for r in _of_study(path)]
  made = f'{machine["processor"]}, {machine["cores"]} cores'
  rows += [{'name': command.name, 'machine': made} | row for row in added]
  text = io.StringIO()
  writer = csv.DictWriter(text, COLUMNS, restval='', lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  files.write_text(table, text.getvalue())
  print(f'{table}: {len(added)} rows of {command.name}')


def read(table: pathlib.Path) -> list[dict[str, str]]:
  """The rows of the table; none if it does not exist."""
  if not table.exists():
    return []
  with table.open(newline='', encoding='utf-8') as file:
    reader = csv.DictReader(file)
    if tuple(reader.fieldnames or ()) != tuple(COLUMNS):
      raise errors.UserError(
        f'{table}: not a table of results; choose another --table'
      )
    return list(reader)


def _of_runs(runs: Sequence[results_lib.Result]) -> Iterator[Row]:
  groups = {}
  for result in runs:
    key = dataclasses.replace(result.run, seed=0, workdir='', data_dir='')
    groups.setdefault((key, result.run.data_dir), []).append(result)
  for (key, data_dir), group in groups.items():
    for task in group[0].task_set.names:
      evaluations = [result.evaluation['tasks'][task] for result in group]
      if not evaluations[0]['count']:
        continue
      common = {
        'model': _model(key.model),
        'tasks': '+'.join(key.tasks),
        'options': _options(key),
        'task': task,
        'split': group[0].evaluation['split'],
        'photos': evaluations[0]['count'],
        'seeds': ' '.join(str(result.run.seed) for result in group),
      }
      for score in results_lib.compared():
        value_S = [evaluation[score] for evaluation in evaluations]
        yield common | {
          'score': score,
          'mean': np.mean(value_S),
          'sd': np.std(value_S, ddof=1) if len(group) > 1 else '',
          'by_seed': ' '.join(f'{value:.4f}' for value in value_S),
        }
      commonest = results_lib.commonest_accuracy(
        task, evaluations[0], source.read_statistics(data_dir)
      )
      yield common | {'score': 'commonest label', 'mean': commonest}


def _of_study(path: pathlib.Path) -> Iterator[Row]:
  """From a study's own tables."""
  for row in read(path / 'tables/scores.csv'):
    for score in results_lib.compared():
      yield {
        'model': row['model'],
        'tasks': row['tasks'].replace(' + ', '+'),
        'task': row['task'],
        'split': row['split'],
        'photos': row['labelled photos'],
        'score': score,
        'seeds': row['seeds'],
        'mean': row[score],
        'sd': row[f'{score} standard_deviation'],
        'low': row[f'{score} low'],
        'high': row[f'{score} high'],
      }
  for row in read(path / 'tables/comparisons.csv'):
    yield {
      'model': row['model'],
      'tasks': row['tasks'].replace(' + ', '+'),
      'split': row['split'],
      'score': f'difference in {row["score"]}',
      'seeds': row['seeds'],
      'mean': row['difference'],
      'low': row['low'],
      'high': row['high'],
      'p': row['p_holm'],
    }


def _model(model: config.Model) -> str:
  trunk = model.trunk
  if trunk.pretrained:  # what training found of its file
    trunk = dataclasses.replace(trunk, weights_hash='')
    model = dataclasses.replace(model, trunk=trunk)
  names = [name for name in MODELS if presets.by_name(name) == model]
  return names[0] if names else model.trunk.kind


def _options(run: config.Run) -> str:
  """What differs from the defaults, besides tasks and places.

  Of a network that has no name its options, too.
  """
  model = run.model
  if _model(model) not in MODELS:
    model = config.Model(trunk=type(model.trunk)())
  plain = dict(_flat(config.Run(data_dir='', workdir='', model=model)))
  skipped = 'tasks', 'weights_hash'
  return ' '.join(
    f'{name}={text}'
    for name, text in _flat(run)
    if name not in skipped and text != plain.get(name)
  )


def _flat(value: options.Config) -> Iterator[tuple[str, str]]:
  for field in dataclasses.fields(value):
    current = getattr(value, field.name)
    if not field.metadata.get('changes_result', True):
      continue
    if isinstance(current, options.Config):
      yield from _flat(current)
    else:
      yield field.name, options.text(current)


if __name__ == '__main__':
  flags.run(main, Results)
