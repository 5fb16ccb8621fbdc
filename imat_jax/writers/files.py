"""The writers of every run: metrics.jsonl, starts.jsonl, stderr."""

from collections.abc import Sequence

from imat_jax import config
from imat_jax.runtime import progress, workdir
from imat_jax.writers.base import Row, Summary


class JsonlWriter:
  """`metrics.jsonl`, rewritten each time: never a partial row."""

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
  """`starts.jsonl`, and a line on stdout for a resumed or finished run."""

  name = 'starts.jsonl'

  def __init__(self, folder: workdir.Workdir):
    self._folder = folder

  def start(
    self, step: int, finished: Sequence[Summary], resumes: bool
  ) -> None:
    if not resumes:
      epochs = f'finished after epoch {len(finished)}'
      print(f'{self._folder.path}: {epochs}', flush=True)
      return
    if step:
      print(f'{self._folder.path}: resumes at step {step}', flush=True)
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
    accuracy = _format(row['validation'][first]['accuracy'])
    losses = {split: _format(loss) for split, loss in row['total'].items()}
    return (
      f'epoch {row["epoch"]}/{self._epochs}: loss {losses["train"]}, '
      f'validation loss {losses["validation"]}, {first} accuracy {accuracy}, '
      f'{row["examples_per_second"]:.0f} photos/s'
    )


def _format(value: float | None) -> str:
  return '- (no labels)' if value is None else f'{value:.3f}'
