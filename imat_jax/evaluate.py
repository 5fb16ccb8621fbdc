"""Evaluates a trained run on any built data set.

  python -m imat_jax.evaluate --run=runs/demo --data_dir=data/built \\
    --split=test
  python -m imat_jax.evaluate --run=runs/demo --data_dir=data/built \\
    --temperature_from=validation --reliability=reliability.png

prints JSON: per task the loss, accuracy, confusion matrix (rows = true, columns
= predicted), and precision, recall and F1 per label; 95% intervals of accuracy
and macro F1 over photos; the accuracy of always predicting the commonest train
label; and the calibration: whether confidence equals accuracy.
--temperature_from adds a temperature per task, and the calibration before and
after on photos that it was not fitted on. docs/evaluation.md explains how to
read them.

Where the data set was built with --groups, a run of the fine labels is scored
on the groups, too.

Missing labels are not counted. Labels that the run does not know become its
'other', or missing if it has none.
"""

import dataclasses
import json
import pathlib
from typing import Any

from imat_jax import config, errors, options, validators
from imat_jax.runtime import extras, outputs, run_folders
from imat_jax.training import trained_model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(options.Config):
  """Options of `imat_jax.evaluate`."""

  run: str = config.place('workdir of a trained run')
  data_dir: str = config.place('folder with any built data set')
  split: str = options.option(
    'split to evaluate; empty: test, or validation where there is no test', ''
  )
  temperature_from: str = options.option(
    'split to fit a temperature per task on; if it is the evaluated split, a '
    'random half of the photos is for fitting and the other for evaluation',
    '',
  )
  reliability: str = config.file(
    'FILE.png to write, with reliability diagrams', '', validators.png
  )
  batch_size: int = options.option(
    'photos per step', 128, validators.at_least(1)
  )
  loader: config.Loader = options.group(config.Loader)


def main(command: Evaluate) -> None:
  """Prints the evaluation of a run."""
  if command.reliability:
    outputs.check(command.reliability)
  evaluation = evaluate(command)
  print(json.dumps(evaluation, indent=2, allow_nan=False))
  if command.reliability:
    _draw(pathlib.Path(command.reliability), evaluation)


def evaluate(command: Evaluate) -> dict[str, Any]:
  """The evaluation as JSON."""
  run_folders.check(command.run)
  extras.require_report('an evaluation')
  # Imported late, so that --help is fast.
  from imat_jax.data import source
  from imat_jax.reporting import assessment, grouped, results
  from imat_jax.training import scoring, sharding

  split = command.split or source.reported_split(command.data_dir)
  for named in filter(None, (split, command.temperature_from)):
    source.check_split(command.data_dir, named)
  trained = trained_model.load(command.run)

  def outputs(split: str) -> scoring.Outputs:
    return scoring.outputs(
      trained,
      command.data_dir,
      split,
      batch_size=command.batch_size,
      loader=command.loader,
    )

  with sharding.set_mesh(command.batch_size):
    evaluated = outputs(split)
    evaluation = assessment.assess(trained, evaluated, split)
    statistics = source.read_statistics(command.data_dir)
    groups = grouped.assess(trained, evaluated, command.data_dir, split)
    for name, scores in (evaluation['tasks'] | groups).items():
      scores['commonest_accuracy'] = results.commonest_accuracy(
        name, scores, statistics
      )
    if groups:
      evaluation['groups'] = groups
    if not command.temperature_from:
      return evaluation
    if command.temperature_from == split:
      fitted, evaluated = assessment.halves(evaluated)
    else:
      fitted = outputs(command.temperature_from)
  evaluation['temperature_from'] = command.temperature_from
  temperatures = assessment.rescale(trained.task_set, fitted, evaluated)
  for name, temperature in temperatures.items():
    evaluation['tasks'][name]['temperature'] = temperature
  return evaluation


def _draw(path: pathlib.Path, evaluation: dict[str, Any]) -> None:
  """Writes a reliability diagram per task; with a temperature, two."""
  from imat_jax.reporting import charts, reliability_diagrams

  panels = {}
  for name, scores in evaluation['tasks'].items():
    if temperature := scores.get('temperature'):
      panels[name] = temperature['before']
      after = f'{name}, temperature {temperature["value"]:.2f}'
      panels[after] = temperature['after']
    elif scores['calibration']:
      panels[name] = scores['calibration']
  if not panels:
    raise errors.UserError(
      f'{path}: nothing to draw: no photo of {evaluation["split"]} has a label '
      "of the run's tasks"
    )
  columns = 2 if 'temperature_from' in evaluation else 4
  chart = reliability_diagrams.reliability(panels, columns)
  outputs.write_bytes(path, charts.png(chart))


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, Evaluate)
