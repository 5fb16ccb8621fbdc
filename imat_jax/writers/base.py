"""The interface of metric writers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from PIL import Image

Row = Mapping[str, Any]  # of metrics.jsonl


class Summary(NamedTuple):
  """The metrics and images of a step."""

  step: int
  row: Row | None  # None: images only
  draw: Callable[[], dict[str, Image.Image]] = dict

  def scalars(self) -> dict[str, float]:
    """The row's numbers by tag, without tasks that have no labelled photo."""
    if self.row is None:
      return {}
    values = {'speed/photos_per_second': self.row['examples_per_second']}
    for split in ('train', 'validation'):
      values[f'{split}/total_loss'] = self.row['total'][split]
      for name, scores in self.row[split].items():
        values |= {f'{split}/{name}_{key}': x for key, x in scores.items()}
    return {name: x for name, x in values.items() if x is not None}


class MetricWriter(Protocol):
  """Receives summaries, each once and in order.

  A resumed run may repeat epochs that were written before a kill, so a writer
  compares what it has with the checkpoint's epochs and ends up with each once.
  """

  name: str

  def start(
    self, step: int, finished: Sequence[Summary], resumes: bool
  ) -> None:
    """Drops later steps and writes missing epochs.

    Args:
      step: of the checkpoint; later summaries are to be dropped.
      finished: the epochs up to it, without images; missing ones are to be
        written.
      resumes: whether the run has steps to do.

    Raises:
      UserError: the user can fix it; the run does not start.
    """

  def write(self, summary: Summary) -> None:
    """Writes a summary."""

  def close(self, done: bool) -> None:
    """Flushes; `done` is whether the run finished."""
