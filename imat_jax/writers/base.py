"""What is written of a run while it is trained, and by whom."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from PIL import Image

Row = Mapping[str, Any]  # of metrics.jsonl


class Summary(NamedTuple):
  """What is written of a step: an epoch's end, or pictures alone."""

  step: int
  row: Row | None
  draw: Callable[[], dict[str, Image.Image]] = dict

  def scalars(self) -> dict[str, float]:
    """The numbers of the row; a task without a labelled photo has none."""
    if self.row is None:
      return {}
    values = {'speed/photos_per_second': self.row['examples_per_second']}
    for split in ('train', 'validation'):
      values[f'{split}/total_loss'] = self.row['total'][split]
      for name, scores in self.row[split].items():
        values |= {f'{split}/{name}_{key}': x for key, x in scores.items()}
    return {name: x for name, x in values.items() if x is not None}


class MetricWriter(Protocol):
  """Gets summaries, each once and in order.

  A run that resumes may do epochs again that were written before it was killed.
  So a writer compares what it has with the epochs that the checkpoint has, and
  in the end it has each epoch once.
  """

  name: str

  def start(
    self, step: int, finished: Sequence[Summary], resumes: bool
  ) -> None:
    """Prepares for what comes.

    Args:
      step: that of the checkpoint; what was written of later ones is to go.
      finished: the epochs up to it, without pictures; what was not written of
        them is to be written now.
      resumes: whether the run has steps to do.

    Raises:
      UserError: the user can fix it; the run does not begin.
    """

  def write(self, summary: Summary) -> None:
    """Writes a summary."""

  def close(self, done: bool) -> None:
    """Writes all there is; `done` is whether the run came to its end."""
