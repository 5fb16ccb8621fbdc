"""The files of a finished run, written and read back.

Statistics and pages are built from these files alone, so they can be rebuilt.
"""

import collections
import json
import pathlib
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from imat_jax import config, errors, tasks
from imat_jax.models import kernels, network
from imat_jax.runtime import environment, extras, files
from imat_jax.runtime import workdir as workdir_lib
from imat_jax.training import scores, scoring
from imat_jax.training.evaluation import Predictions

# What reading a damaged file raises.
_DAMAGE = (
  OSError,
  EOFError,
  RecursionError,
  ValueError,
  TypeError,
  KeyError,
  zipfile.BadZipFile,
  zlib.error,
)


# The score that decides; the others are listed beside it.
MAIN = 'accuracy'


class Score(NamedTuple):
  """A compared score."""

  title: str
  sign: int  # 1: higher is better, -1: lower is better
  bounds: tuple[float, float]  # its lowest and highest value


def compared() -> dict[str, Score]:
  """The compared scores, by their names in `evaluation.json`."""
  by_name = {
    name: Score(
      metric.title, 1 if metric.higher_is_better else -1, metric.bounds
    )
    for name, metric in scores.METRICS.items()
  }
  loss = Score('loss', -1, (0, np.inf))
  return {MAIN: by_name[MAIN], 'loss': loss} | by_name


class Result(NamedTuple):
  """A finished run."""

  run: config.Run
  task_set: tasks.TaskSet
  rows: list[dict[str, Any]]  # of metrics.jsonl
  evaluation: dict[str, Any]
  guesses: Predictions  # N photos of `evaluation`'s split × T tasks
  num_params: int
  provenance: dict[str, Any] | None = None  # earlier runs have none


def write(workdir: workdir_lib.Workdir, scored: scoring.Scored) -> None:
  """Writes the predictions, the model card, and last the evaluation.

  There is no card where the extra `report` is not installed.

  The evaluation marks the run as finished.
  """
  with files.atomic_write(workdir.predictions) as file:
    np.savez_compressed(file, **scored.guesses._asdict())
  if not extras.report_missing():
    from imat_jax.reporting import model_card

    model_card.write(workdir, scored)
  provenance = environment.rounding() | {'kernels': kernels.description()}
  files.write_json(workdir.provenance, provenance)
  files.write_json(workdir.evaluation, scored.evaluation)


def is_finished(folder: str | pathlib.Path) -> bool:
  """Whether all is written: the evaluation comes last."""
  return workdir_lib.Workdir(folder).evaluation.exists()


def read(folder: str | pathlib.Path) -> Result:
  """Reads a finished run.

  Raises:
    UserError: a file is missing or damaged.
  """
  workdir = workdir_lib.Workdir(folder)
  try:
    run, task_set = workdir_lib.read_run(workdir)
    evaluation = files.read_json(workdir.evaluation)
    rows = workdir_lib.read_rows(workdir)
    with np.load(workdir.predictions, allow_pickle=False) as arrays:
      guesses = Predictions(**arrays)
    provenance = None
    if workdir.provenance.exists():
      provenance = files.read_json(workdir.provenance)
    shape = evaluation['num_examples'], len(task_set)
    if (
      any(part.shape != shape for part in guesses)
      or tuple(evaluation['tasks']) != task_set.names
      or len(rows) < evaluation['epoch']
    ):
      raise ValueError('its files do not fit together')
  except (*_DAMAGE, errors.UserError) as error:
    raise errors.UserError(
      f'{workdir.path}: damaged: {error}; move the folder away to train the '
      'run again'
    ) from None
  return Result(
    run,
    task_set,
    rows,
    evaluation,
    guesses,
    network.num_params(run.model, task_set),
    provenance,
  )


def trained_by(runs: Iterable[Result]) -> list[dict[str, Any]]:
  """The distinct environments of runs, with the number of `runs` of each.

  Runs of before it was recorded have a number only.
  """
  counts = collections.Counter(
    json.dumps(result.provenance or {}) for result in runs
  )
  return [
    {'runs': number} | json.loads(text) for text, number in counts.items()
  ]


def commonest_accuracy(
  task: str, metrics: Mapping[str, Any], statistics: Mapping[str, Any]
) -> float | None:
  """The accuracy of always predicting the commonest train label of a task.

  Args:
    task: its name.
    metrics: of `evaluation.json`, its `labels`, `support` and `count`.
    statistics: of a data set; where that lacks the task, the first label counts
      as the commonest.

  Returns:
    None without a labelled photo.
  """
  if not metrics['count']:
    return None
  of_task = statistics['splits']['train']['tasks'].get(task, {'counts': {}})
  labels, counts = metrics['labels'], of_task['counts']
  commonest = max(labels, key=lambda label: counts.get(label, 0))
  return metrics['support'][labels.index(commonest)] / metrics['count']


def affinity(
  model: str, names: Sequence[str], runs: Sequence[Result]
) -> list[dict[str, Any]]:
  """For each pair of tasks the mean cosine over the runs, epoch by epoch.

  Args:
    model: the name of their network.
    names: their tasks, whose order is that of a pair.
    runs: that differ in their seeds.
  """
  values = collections.defaultdict(list)
  for result in runs:
    for row in result.rows:
      for pair in row['cosines']:
        # Their order is that of the ensemble, which a restart may change.
        pair_names = tuple(sorted(pair['tasks'], key=names.index))
        values[pair_names, row['epoch']].append(pair['cosine'])
  return [
    {
      'model': model,
      'tasks': list(names),
      'pair': list(pair),
      'epochs': [epoch for p, epoch in values if p == pair],
      'cosine': [
        float(np.mean(v)) for (p, _), v in values.items() if p == pair
      ],
    }
    for pair in dict.fromkeys(pair for pair, _ in values)
  ]
