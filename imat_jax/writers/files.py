"""The writers that each run has: metrics.jsonl, starts.jsonl, lines."""

from collections.abc import Sequence

from imat_jax import config
from imat_jax.runtime import progress, workdir
from imat_jax.writers.base import Row, Summary


class JsonlWriter:
  """`metrics.jsonl`, written anew each time: never half a row."""

  name = 'metrics.jsonl'

  def __init__(self, folder: workdir.Workdir):
    self._folder, self._rows = folder, []

  def start(
    self, step: int, finished: Sequence[Summary], resumes: bool
  ) -> None:
    self._rows = [summary.row for summary in finished]
    workdir.write_metrics(self._folder, self._rows)

  def write(self, summary: Summary) -> None:
    if summary.row is not None:
      self._rows.append(summary.row)
      workdir.write_metrics(self._folder, self._rows)

  def close(self, done: bool) -> None:
    pass


class StartWriter:
  """`starts.jsonl`, and a line of what a start finds."""

  name = 'starts.jsonl'

  def __init__(self, folder: workdir.Workdir):
    self._folder = folder

  def start(
    self, step: int, finished: Sequence[Summary], resumes: bool
  ) -> None:
    if not resumes:
      done = f'is done after epoch {len(finished)}'
      print(f'{self._folder.path}: {done}', flush=True)
      return
    if step:
      print(f'{self._folder.path}: goes on at step {step}', flush=True)
    workdir.log_start(self._folder, step)

  def write(self, summary: Summary) -> None:
    pass

  def close(self, done: bool) -> None:
    pass


class StderrWriter:
  """A line per epoch."""

  name = 'stderr'

  def __init__(self, run: config.Run):
    self._epochs = run.epochs

  def start(
    self, step: int, finished: Sequence[Summary], resumes: bool
  ) -> None:
    pass

  def write(self, summary: Summary) -> None:
    if summary.row is not None:
      progress.say(self._line(summary.row))

  def close(self, done: bool) -> None:
    pass

  def _line(self, row: Row) -> str:
    first = next(iter(row['validation']))
    accuracy = _shown(row['validation'][first]['accuracy'])
    losses = {split: _shown(loss) for split, loss in row['total'].items()}
    return (
      f'epoch {row["epoch"]}/{self._epochs}: loss {losses["train"]}, '
      f'validation loss {losses["validation"]}, {first} accuracy {accuracy}, '
      f'{row["examples_per_second"]:.0f} photos/s'
    )


def _shown(value: float | None) -> str:
  return '- (no labels)' if value is None else f'{value:.3f}'
