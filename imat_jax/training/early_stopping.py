"""Early stopping on the validation loss, as in the report."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
  """The best epoch so far, and how long ago it was.

  As in Keras's callback, an epoch is better when its loss is lower than the
  best by more than `min_delta`; the parameters of the best epoch are kept.
  """

  best_loss: float = math.inf
  best_epoch: int = 0
  waited: int = 0

  def after(
    self, epoch: int, loss: float | None, min_delta: float
  ) -> 'EarlyStopping':
    """The state after one more epoch, numbered from 1.

    Without a loss, as no validation photo has a label, the last epoch is kept
    and nothing stops.
    """
    if loss is None:
      return EarlyStopping(math.inf, epoch, 0)
    if loss < self.best_loss - min_delta:
      return EarlyStopping(loss, epoch, 0)
    return dataclasses.replace(self, waited=self.waited + 1)
