"""The page and the summary of a run."""

import base64
import json
import pathlib
from typing import Any

import jinja2

from imat_jax import files
from imat_jax.models import heads
from imat_jax.training import workdir as workdir_lib
from imat_jax.training.workdir import Trained, Workdir

_PAGES = jinja2.Environment(
  loader=jinja2.PackageLoader('imat_jax.study'),
  autoescape=True,
  undefined=jinja2.StrictUndefined,
  trim_blocks=True,
  lstrip_blocks=True,
)


def write_run(
  workdir: Workdir,
  trained: Trained,
  evaluation: dict[str, Any],
  plots: list[pathlib.Path],
) -> None:
  """Writes `report.html`: one file, with its pictures inside."""
  page = _PAGES.get_template('run.html').render(
    name=workdir.path.resolve().name,
    evaluation=evaluation,
    num_params=_num_params(trained),
    rows=trained.course.rows,
    pictures=[_picture(path) for path in plots],
    times_resumed=workdir_lib.times_resumed(workdir),
    config=json.dumps(files.read_json(workdir.config)['config'], indent=2),
  )
  files.write_text(workdir.report, page)


def summary(
  workdir: Workdir, trained: Trained, evaluation: dict[str, Any]
) -> str:
  """What the command prints at its end: the scores, and the files it left."""
  lines = [_score_line(n, found) for n, found in evaluation['tasks'].items()]
  stopped = ' (stopped early)' if evaluation['stopped_early'] else ''
  lines.append(
    f'best epoch {evaluation["epoch"]} of {len(trained.course.rows)}{stopped}, '
    f'{_num_params(trained):,} parameters'
  )
  left = (
    workdir.report,
    workdir.evaluation,
    workdir.metrics,
    workdir.config,
    workdir.checkpoints,
    workdir.plots,
  )
  return '\n'.join([*lines, '', 'files:', *(f'  {path}' for path in left)])


def _num_params(trained: Trained) -> int:
  return heads.num_params(trained.params, trained.run.model, trained.task_set)


def _score_line(name: str, found: dict[str, Any]) -> str:
  if not found['count']:
    return f'{name}: no labelled photo in the split'
  return (
    f'{name}: accuracy {found["accuracy"]:.3f}, loss {found["loss"]:.3f}, '
    f'macro F1 {found["macro_f1"]:.3f} on {found["count"]:,} labelled photos'
  )


def _picture(path: pathlib.Path) -> dict[str, str]:
  body = base64.b64encode(path.read_bytes()).decode()
  return {'alt': path.stem.replace('_', ' '), 'base64': body}
