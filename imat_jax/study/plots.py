"""Pictures of a run: learning curves and confusion matrices, as PNG."""

import pathlib
from typing import Any

import numpy as np
from matplotlib import figure

from imat_jax.training.course import Course

# More labels than this, and a number in each cell is too small to read.
_MOST_NUMBERS = 16
_COLORS = {'train': '#888888', 'validation': '#1f5fa8'}


def draw_run(
  directory: pathlib.Path, course: Course, evaluation: dict[str, Any]
) -> list[pathlib.Path]:
  """Draws all plots of a run; returns the files, the curves first."""
  directory.mkdir(parents=True, exist_ok=True)
  names = list(evaluation['tasks'])
  drawn = {f'curves_{_file_name(n)}': curves(course, n) for n in names}
  drawn |= {
    f'confusion_{_file_name(name)}': confusion(name, found)
    for name, found in evaluation['tasks'].items()
    if found['count']
  }
  paths = []
  for name, drawing in drawn.items():
    paths.append(directory / f'{name}.png')
    drawing.savefig(paths[-1], dpi=110)
  return paths


def curves(course: Course, task: str) -> figure.Figure:
  """Loss and accuracy of a task over the epochs, train and validation."""
  drawing = figure.Figure(figsize=(9, 3.4), layout='constrained')
  epochs = [row['epoch'] for row in course.rows]
  panels = drawing.subplots(1, 2)
  for axes, score in zip(panels, ('loss', 'accuracy'), strict=True):
    for split, color in _COLORS.items():
      values = [row[split][task][score] for row in course.rows]
      values = [np.nan if value is None else value for value in values]
      axes.plot(epochs, values, 'o-', ms=3, color=color, label=split)
    axes.axvline(
      course.stopping.best_epoch, color='#c0392b', lw=0.8, ls='--', label='best'
    )
    axes.set(title=f'{_plain(task)}: {score}', xlabel='epoch')
    axes.grid(alpha=0.3)
    axes.xaxis.get_major_locator().set_params(integer=True)
  panels[0].legend(frameon=False)
  return drawing


def confusion(task: str, found: dict[str, Any]) -> figure.Figure:
  """The confusion matrix: shades are shares of a row, numbers are counts."""
  counts_KxK = np.array(found['confusion_matrix'])
  labels = [_plain(label) for label in found['labels']]
  share_KxK = counts_KxK / np.maximum(counts_KxK.sum(1, keepdims=True), 1)
  size = 2.2 + 0.42 * max(len(labels), 4)
  drawing = figure.Figure(figsize=(size + 0.8, size), layout='constrained')
  axes = drawing.subplots()
  shades = axes.imshow(share_KxK, cmap='Blues', vmin=0, vmax=1)
  axes.set_xticks(range(len(labels)), labels, rotation=60, ha='right')
  axes.set_yticks(range(len(labels)), labels)
  axes.set(xlabel='predicted', ylabel='true', title=_title(task, found))
  if len(labels) <= _MOST_NUMBERS:
    for (row, column), count in np.ndenumerate(counts_KxK):
      color = 'white' if share_KxK[row, column] > 0.5 else 'black'
      axes.text(column, row, count, ha='center', va='center', color=color)
  drawing.colorbar(shades, shrink=0.7, label='share of the true label')
  return drawing


def _title(task: str, found: dict[str, Any]) -> str:
  return f'{_plain(task)}: accuracy {found["accuracy"]:.3f}'


def _plain(text: str) -> str:
  """Keeps matplotlib from reading a label's dollar signs as mathematics."""
  return text.replace('$', r'\$')


def _file_name(task: str) -> str:
  return ''.join(c if c.isalnum() else '_' for c in task)
