"""What each run of a study predicts of each photo, for others to recompute.

`docs/recompute.py` computes a study's numbers again from this file.
"""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from imat_jax.data import source
from imat_jax.reporting.results import Result
from imat_jax.runtime import files
from imat_jax.study.grid import Cell


def write(
  path: pathlib.Path, runs_by_cell: Mapping[Cell, Sequence[Result]], task: str
) -> None:
  """Writes the predictions of the runs that learn a task.

  Args:
    path: of an `.npz` file, which numpy reads without pickle. It has R runs, N
      photos that have a label of the task, and K labels: `model_R`, `tasks_R`
      and `seed_R` name a run, `photo_N` a photo, `label_K` a label; `true_N`
      and `predicted_RxN` are numbers of labels, in a byte where that suffices.
    runs_by_cell: whose runs see the same photos in the same order.
    task: its name.
  """
  pairs = [
    (cell, result)
    for cell, runs in runs_by_cell.items()
    if task in cell.tasks
    for result in runs
  ]
  first = pairs[0][1]
  task_set = first.task_set.select([task])
  examples = source.Source(
    first.run.data_dir, first.evaluation['split'], task_set
  )
  true_N = first.guesses.label[:, first.task_set.names.index(task)]
  labelled = np.flatnonzero(true_N >= 0)
  predicted_RxN = np.stack(
    [
      result.guesses.guess[labelled, result.task_set.names.index(task)]
      for _, result in pairs
    ]
  )
  labels = task_set[task].labels
  number = np.min_scalar_type(len(labels) - 1)  # uint8
  arrays = {
    'model_R': np.array([cell.method for cell, _ in pairs]),
    'tasks_R': np.array([' + '.join(cell.tasks) for cell, _ in pairs]),
    'seed_R': np.array([result.run.seed for _, result in pairs]),
    'photo_N': np.array([examples[int(n)].image_id for n in labelled], str),
    'label_K': np.array(labels),
    'true_N': true_N[labelled].astype(number),
    'predicted_RxN': predicted_RxN.astype(number),
  }
  with files.atomic_write(path) as file:
    np.savez_compressed(file, **arrays)
