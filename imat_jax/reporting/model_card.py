"""The model card of a run: `RUN/README.md`, in the form that model hubs read.

The head is YAML for machines, with the scores as Hugging Face's `model-index`;
the rest is for people: what the network is for, how good it is, how to load it.
Names from data are arbitrary text, so they are rendered as code.
"""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jinja2
import yaml

from imat_jax import config, errors, options, tasks
from imat_jax.data import description, source, tfds_builder
from imat_jax.models import network
from imat_jax.reporting import calibration, intervals, results
from imat_jax.runtime import environment, files, progress
from imat_jax.runtime import workdir as workdir_lib
from imat_jax.training import scores, scoring

# Distinguishes a card from another file of that name.
_MARK = '<!-- imat_jax wrote this; a new start of the run writes it anew. -->'
_FEW = 10  # photos; scores on fewer are unreliable

Facts = Mapping[str, Any]
Row = Mapping[str, str | int | float | None]  # by column


def write(workdir: workdir_lib.Workdir, scored: scoring.Scored) -> None:
  """Writes the card of a trained run, unless its README.md is no card."""
  path = workdir.card
  if path.exists() and _MARK not in path.read_text(errors='replace'):
    progress.say(f'{path}: left as it is, so the run has no model card')
    return
  run, task_set = workdir_lib.read_run(workdir)
  statistics = source.read_statistics(run.data_dir)
  name = workdir.path.resolve().name
  files.write_text(path, render(name, run, task_set, scored, statistics))


def render(
  name: str,
  run: config.Run,
  task_set: tasks.TaskSet,
  scored: scoring.Scored,
  statistics: Facts,
) -> str:
  """The text of a card.

  Args:
    name: of the network.
    run: its config.
    task_set: its tasks.
    scored: its scores and predictions on the photos of a split.
    statistics: the `statistics.json` of its data set.
  """
  splits = statistics['splits']
  metrics = {
    task.name: _assess(task, column, scored, statistics)
    for column, task in enumerate(task_set)
  }
  labelled = {
    name: task_metrics
    for name, task_metrics in metrics.items()
    if task_metrics['count']
  }
  support = [
    number
    for task_metrics in metrics.values()
    for number in task_metrics['support']
  ]
  trunk = run.model.trunk
  return _CARDS.get_template('card.md').render(
    head=_head(name, labelled, scored.evaluation['split'], statistics),
    mark=_MARK,
    name=name,
    names=task_set.names,
    num_params=network.num_params(run.model, task_set),
    run=run,
    evaluation=scored.evaluation,
    statistics=statistics,
    description=description.of(statistics['metadata']),
    labelled_by={
      n: description.labelled_by(statistics['metadata'], n)
      for n in task_set.names
    },
    data_set=tfds_builder.NAME,
    height=trunk.shape[0],
    width=trunk.shape[1],
    pretrained=trunk if trunk.pretrained else None,
    unproven=[
      name
      for name, task_metrics in labelled.items()
      if _is_unproven(task_metrics)
    ],
    num_labels=len(support),
    num_rare=sum(number < _FEW for number in support),
    few=_FEW,
    num_bins=calibration.NUM_BINS,
    scores=_table(_scores(metrics)),
    data=_table(_data(metrics, splits)),
    labels={
      n: _table(_labels(n, task_metrics, splits))
      for n, task_metrics in metrics.items()
    },
    calibration=_table(_calibration(labelled)),
    settings=_settings(run),
    made_by=environment.describe(),
  )


def _assess(
  task: tasks.Task, column: int, scored: scoring.Scored, statistics: Facts
) -> dict[str, Any]:
  """A task's metrics in `evaluation.json`, with intervals and reliability."""
  metrics = scored.evaluation['tasks'][task.name]
  metrics = metrics | intervals.of_scores(metrics)
  label_N, guess_N, confidence_N = (part[:, column] for part in scored.guesses)
  has_label_N = label_N != tasks.MISSING
  metrics['commonest'] = results.commonest_accuracy(
    task.name, metrics, statistics
  )
  if not has_label_N.any():
    return metrics
  return metrics | calibration.reliability(
    (label_N == guess_N)[has_label_N], confidence_N[has_label_N]
  )


def _is_unproven(metrics: Facts) -> bool:
  """Whether always predicting the commonest label may be as accurate."""
  low, _ = metrics['accuracy_interval'] or (metrics['accuracy'], None)
  return low <= metrics['commonest']


def _head(
  name: str, labelled: Mapping[str, Facts], split: str, statistics: Facts
) -> str:
  """The metadata, as `modelcard.md` of huggingface/hub-docs has it.

  A task is a `config` of the data set: results of the same data set and config
  count as one.
  """
  data_set = {
    'type': tfds_builder.NAME,
    'name': tfds_builder.NAME,
    'split': split,
    'revision': statistics['metadata']['fingerprint'],
  }
  results = [
    {
      'task': {'type': 'image-classification', 'name': task},
      'dataset': data_set | {'config': task},
      'metrics': [
        _metric('accuracy', 'Accuracy', metrics, 'accuracy'),
        _metric('f1', 'Macro F1', metrics, 'macro_f1')
        | {'args': {'average': 'macro'}},
      ],
    }
    for task, metrics in labelled.items()
  ]
  head = {
    'library_name': 'imat_jax',
    'pipeline_tag': 'image-classification',
    'tags': ['jax', 'flax', 'multi-task-learning'],
    'datasets': [tfds_builder.NAME],
    'metrics': ['accuracy', 'f1'],
    'model-index': [{'name': name, 'results': results}],
  }
  # PyYAML writes this line break of Unicode as it is, and reads a blank.
  is_safe = '\x85' not in json.dumps(head, ensure_ascii=False)
  return yaml.safe_dump(
    head, allow_unicode=is_safe, sort_keys=False, width=math.inf
  )


def _metric(
  kind: str, title: str, metrics: Facts, score: str
) -> dict[str, Any]:
  bounds = metrics[f'{score}_interval']
  if bounds:
    title += ', 95% interval {:.3f} to {:.3f}'.format(*bounds)
  return {'type': kind, 'name': title, 'value': metrics[score]}


def _settings(run: config.Run) -> str:
  values = options.to_json(run)
  settings = {
    field.name: values[field.name]
    for field in dataclasses.fields(run)
    if field.metadata.get('changes_result', True)
  }
  return json.dumps(settings, indent=2)


def _scores(metrics: Mapping[str, Facts]) -> list[Row]:
  return [
    {
      'task': _code(task),
      'labels': len(task_metrics['labels']),
      'photos': task_metrics['count'],
      'commonest label': task_metrics['commonest'],
    }
    | {
      metric.title: _with_interval(task_metrics, name)
      for name, metric in scores.METRICS.items()
    }
    for task, task_metrics in metrics.items()
  ]


def _data(names: Iterable[str], splits: Facts) -> list[Row]:
  """How many photos there are, and how many have a label of each task."""

  def row(kind: str, count: Callable[[Facts], int]) -> Row:
    return {'photos': kind} | {
      name: count(split) for name, split in splits.items()
    }

  return [
    row('listed', lambda split: split['listed']),
    row('used', lambda split: split['kept']),
  ] + [
    row(f'with {_code(n)}', lambda split, n=n: split['tasks'][n]['labelled'])
    for n in names
  ]


def _labels(task: str, evaluation: Facts, splits: Facts) -> list[Row]:
  per_label = {
    'precision': evaluation['precision'],
    'recall': evaluation['recall'],
    'F1': evaluation['f1'],
  }
  return [
    {'label': _code(label)}
    | {
      f'{split} photos': statistics['tasks'][task]['counts'][label]
      for split, statistics in splits.items()
    }
    | {
      # A label without photos has no metrics.
      name: value_K[k] if evaluation['support'][k] else None
      for name, value_K in per_label.items()
    }
    for k, label in enumerate(evaluation['labels'])
  ]


def _calibration(labelled: Mapping[str, Facts]) -> list[Row]:
  return [
    {
      'task': _code(task),
      'accuracy': metrics['accuracy'],
      'mean confidence': metrics['confidence'],
      'ECE': metrics['ece'],
      'by chance': metrics['ece_by_chance'],
      'log loss': metrics['loss'],
    }
    for task, metrics in labelled.items()
  ]


def _with_interval(metrics: Facts, score: str) -> str | float | None:
  bounds = metrics.get(f'{score}_interval')
  if not bounds:
    return metrics[score]
  return '{:.3f} ({:.3f} to {:.3f})'.format(metrics[score], *bounds)


def _table(rows: Sequence[Row]) -> str:
  """Rows as a Markdown table; nothing if there are none."""
  if not rows:
    return ''
  head, rule = list(rows[0]), ['---'] + ['--:'] * (len(rows[0]) - 1)
  lines = [head, rule, *([_shown(x) for x in row.values()] for row in rows)]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _shown(value: Any) -> str:
  """A cell of a table."""
  if value is None:
    return '–'
  if isinstance(value, str):
    return value.replace('|', '\\|')
  return f'{value:.3f}' if isinstance(value, float) else f'{value:,}'


def _code(name: str) -> str:
  """A name as a code span of Markdown, in which no character is markup."""
  text = errors.printable(name) or ' '
  fence = '`' * (1 + max(map(len, re.findall('`+', text)), default=0))
  # Markdown strips a space from both sides.
  pad = ' ' if text.strip() and text.strip(' `') != text else ''
  return f'{fence}{pad}{text}{pad}{fence}'


_CARDS = jinja2.Environment(
  loader=jinja2.PackageLoader('imat_jax.reporting'),
  undefined=jinja2.StrictUndefined,
  trim_blocks=True,
  lstrip_blocks=True,
  keep_trailing_newline=True,
)
_CARDS.filters['code'] = _code
