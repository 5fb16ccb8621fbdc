"""Combines all writers of a run."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
from PIL import Image

from imat_jax import config, errors, tasks
from imat_jax.data.types import Batch
from imat_jax.runtime import distributed, extras, progress
from imat_jax.runtime.workdir import Workdir
from imat_jax.writers.base import MetricWriter, Row, Summary
from imat_jax.writers.files import JsonlWriter, StartWriter, StderrWriter

NUM_PHOTOS = 32  # of the first batch, in its image grid


class MultiWriter:
  """Writes to all writers; a context manager.

  Args:
    writers: empty except in the primary process; empty for an ensemble.
    task_set: of the run.
    draws: whether a writer wants images; in all processes the same, as all run
      the program that gathers the first batch.
  """

  def __init__(
    self,
    writers: Sequence[MetricWriter] = (),
    task_set: Iterable[tasks.Task] = (),
    draws: bool = False,
  ):
    self._writers, self._task_set, self.draws = writers, task_set, draws

  def start(self, step: int, rows: Sequence[Row], resumes: bool) -> None:
    """Starts all writers from the step and the rows of the checkpoint."""
    finished = [Summary(row['step'], row) for row in rows]
    for writer in self._writers:
      writer.start(step, finished, resumes)

  def write_batch(self, batch: Batch) -> None:
    """Writes photos of the first batch, as the network sees them."""
    draw = functools.cache(lambda: {'photos/first_batch': self._grid(batch)})
    self._write(Summary(0, None, draw))

  def write_epoch(self, row: Row, validation: Mapping[str, Any]) -> None:
    """Writes the metrics and confusion matrices of an epoch.

    Args:
      row: of `metrics.jsonl`.
      validation: result of `scoring.compute` on the validation photos.
    """

    @functools.cache
    def draw() -> dict[str, Image.Image]:
      from imat_jax.writers import plots  # most runs draw nothing

      return {
        f'confusion/{task.name}': plots.confusion(
          validation[task.name]['confusion'],
          task.labels,
          f'{task.name}, validation, epoch {row["epoch"]}',
        )
        for task in self._task_set
      }

    self._write(Summary(row['step'], row, draw))

  def _write(self, summary: Summary) -> None:
    for writer in self._writers:
      writer.write(summary)

  def _grid(self, batch: Batch) -> Image.Image:
    from imat_jax.writers import plots

    image_BxHxWxC, label_BxT = jax.device_get(batch)
    captions = [
      ', '.join(
        task.labels[label]
        for task, label in zip(self._task_set, label_T, strict=True)
        if label != tasks.MISSING
      )
      for label_T in label_BxT
    ]
    return plots.image_grid(
      [Image.fromarray(image_HxWxC) for image_HxWxC in image_BxHxWxC],
      [[plots.Caption(caption)] for caption in captions],
    )

  def __enter__(self) -> 'MultiWriter':
    return self

  def __exit__(self, kind, value, traceback) -> None:
    for writer in self._writers:
      writer.close(kind is None)


class BestEffort:
  """Disables a writer whose disk or network fails; training continues."""

  def __init__(self, writer: MetricWriter):
    self.name, self._writer = writer.name, writer

  def start(
    self, step: int, finished: Sequence[Summary], resumes: bool
  ) -> None:
    self._try(lambda writer: writer.start(step, finished, resumes))

  def write(self, summary: Summary) -> None:
    self._try(lambda writer: writer.write(summary))

  def close(self, done: bool) -> None:
    self._try(lambda writer: writer.close(done))

  def _try(self, call: Callable[[MetricWriter], None]) -> None:
    if self._writer is None:
      return
    try:
      call(self._writer)
    except errors.UserError:  # raised by `start`
      raise
    except Exception as error:  # each package raises its own
      self._writer = None
      progress.say(
        f'{self.name}: {errors.first_line(error)}; training continues without '
        'it'
      )


def make_writers(
  run: config.Run,
  workdir: Workdir,
  task_set: tasks.TaskSet,
  config_hash: str,
  others: Sequence[MetricWriter] = (),
) -> MultiWriter:
  """The writers of a run's flags, in the primary process.

  Args:
    run: the config.
    workdir: of the run.
    task_set: its tasks.
    config_hash: see `workdir.init_or_check`.
    others: that come before the last.

  Raises:
    UserError: a package is missing.
  """
  distributed.broadcast_from_primary(lambda: extras.require_for(run))
  draws = run.tensorboard or run.wandb
  if not distributed.is_primary():
    return MultiWriter(draws=draws)
  writers = [JsonlWriter(workdir), StderrWriter(run)]
  if run.tensorboard:
    from imat_jax.writers import tensorboard

    folder = workdir.tensorboard
    writers.append(BestEffort(tensorboard.TensorBoardWriter(folder)))
  if run.wandb:
    from imat_jax.writers import wandb

    writers.append(BestEffort(wandb.WandbWriter(workdir, run, config_hash)))
  writers += others
  # Last: a start that another writer refuses is not logged.
  writers.append(StartWriter(workdir))
  return MultiWriter(writers, task_set, draws)
