"""Handles SIGTERM and SIGINT: the first makes the loop save and exit.

In a job of several processes a signal to one is enough: the loop syncs them,
and all exit at the same step. jax's own preemption sync point is not used: in
0.10.2 a process can pass it before all have agreed on it.
"""

import os
import signal


class PreemptionHandler:
  """Remembers the signal; a context manager for the main thread.

  A second signal exits at once, without saving.
  """

  received: int = 0

  def __enter__(self) -> 'PreemptionHandler':
    self._previous_handlers = {
      number: signal.signal(number, self._receive)
      for number in (signal.SIGTERM, signal.SIGINT)
    }
    return self

  def __exit__(self, kind, value, traceback) -> None:
    for number, handler in self._previous_handlers.items():
      signal.signal(number, handler)

  def _receive(self, number: int, frame) -> None:
    if self.received:
      os._exit(128 + number)
    self.received = number
