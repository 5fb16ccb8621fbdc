"""What the pages of runs and of studies share: one self-contained HTML file."""

import base64
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import numpy as np

from imat_jax import errors, options
from imat_jax.data import description, source
from imat_jax.reporting.results import Result
from imat_jax.runtime import environment, files
from imat_jax.training import scores

_PAGES = jinja2.Environment(
  loader=jinja2.PackageLoader('imat_jax.reporting'),
  autoescape=True,
  undefined=jinja2.StrictUndefined,
  trim_blocks=True,
  lstrip_blocks=True,
)
_CONFUSED = 12  # photos that are shown


def number(value: float | int | str | None, digits: int = 3) -> str:
  """A cell of a table: − and not - before a number, – for none."""
  if value is None:
    return '–'
  if not isinstance(value, float):
    return str(value)
  # Without the sign of what is rounded to zero.
  return minus(f'{round(value, digits) + 0.0:.{digits}f}')


def p_value(value: float) -> str:
  """As a text that never says that it is 0."""
  return '< 0.0001' if value < 5e-5 else number(value, 4)


def minus(text: str) -> str:
  """A sentence with − before its negative numbers."""
  return re.sub(r'(?<![\w.])-(?=\d)', '−', text)


_PAGES.filters |= {'number': number, 'p_value': p_value, 'minus': minus}


def write(
  path: pathlib.Path,
  template: str,
  data_dir: str,
  settings: options.Config,
  tasks: Sequence[str],
  figures: Mapping[str, Sequence[Mapping[str, Any]]],
  **content: Any,
) -> None:
  """Renders a template.

  Args:
    path: of the page.
    template: its name.
    data_dir: of the data set.
    settings: what the command was told.
    tasks: whose labels in the data set are listed.
    figures: by name, each a list of charts.
    content: what else the template shows.
  """
  from imat_jax.reporting import charts  # loads altair, in a second

  statistics = source.read_statistics(data_dir)
  page = _PAGES.get_template(template).render(
    tasks=tasks,
    statistics=statistics,
    labelled_by={
      task: description.labelled_by(statistics['metadata'], task)
      for task in tasks
    },
    config=json.dumps(options.to_json(settings), indent=2),
    made_by=environment.describe(),
    charts={
      name: [charts.svg(chart) for chart in figure]
      for name, figure in figures.items()
    },
    **content,
  )
  files.write_text(path, page)


def confusion_table(
  title: str, runs: Sequence[Result], task: str
) -> dict[str, Any]:
  """The runs' counts, and their rows' shares in percent that shade them."""
  metrics = [result.evaluation['tasks'][task] for result in runs]
  count_KxK = np.sum([of['confusion_matrix'] for of in metrics], 0)
  share_KxK = scores.row_shares(count_KxK)
  return {
    'title': title,
    'labels': metrics[0]['labels'],
    'counts': count_KxK.tolist(),
    'shares': (100 * share_KxK).round().astype(int).tolist(),
  }


def confused_photos(runs: Sequence[Result], task: str) -> list[dict[str, Any]]:
  """The reported photos that most runs get wrong with most confidence."""
  task_set = runs[0].task_set.select([task])
  labels = task_set[task].labels
  columns = [result.task_set.names.index(task) for result in runs]
  pairs = list(zip(runs, columns, strict=True))
  label_N = runs[0].guesses.label[:, columns[0]]
  guess_RxN = np.stack([r.guesses.guess[:, c] for r, c in pairs])
  confidence_RxN = np.stack([r.guesses.probability[:, c] for r, c in pairs])
  wrong_RxN = (guess_RxN != label_N) & (label_N >= 0)
  worst = np.argsort(-(wrong_RxN * confidence_RxN).sum(0), kind='stable')
  split = runs[0].evaluation['split']
  examples = source.Source(runs[0].run.data_dir, split, task_set)
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
        'confidence': float(confidence_RxN[wrong_R, n].mean()),
      }
    )
  return photos


def summary(lines: Sequence[str], paths: Sequence[pathlib.Path]) -> str:
  """What a command prints at its end: its results, and the written files."""
  lines = map(errors.printable, lines)
  return '\n'.join([*lines, '', 'files:', *(f'  {path}' for path in paths)])
