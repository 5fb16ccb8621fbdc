"""SIGTERM and SIGINT: the first asks the loop to save and leave.

Where a job has several processes jax takes SIGTERM, in any of them, and finds
the step at which all of them leave (`cluster.preempted`); a SIGINT becomes one.
"""

import os
import signal

import jax


class Interruption:
  """Remembers the signal; a context manager for the main thread.

  A second signal leaves at once, with nothing more saved.
  """

  received: int | None = None

  def __enter__(self) -> 'Interruption':
    if jax.process_count() > 1:
      handlers = {signal.SIGINT: _pass_on}
    else:
      handlers = dict.fromkeys((signal.SIGTERM, signal.SIGINT), self._note)
    self._before = {
      number: signal.signal(number, handler)
      for number, handler in handlers.items()
    }
    return self

  def __exit__(self, kind, value, traceback) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number: int, frame) -> None:
    if self.received:
      os._exit(128 + number)
    self.received = number


def _pass_on(number: int, frame) -> None:
  os.kill(os.getpid(), signal.SIGTERM)
