"""Progress on stderr: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Collection, Iterator
from typing import TypeVar

import tqdm

from imat_jax import errors

PLAIN_SECONDS = 15.0
_SHORT_SECONDS = 2.0

_is_silent = False

T = TypeVar('T')


def silence() -> None:
  """Silences this process: another one reports the progress."""
  global _is_silent
  _is_silent = True


def say(text: str) -> None:
  """Prints a line on stderr without breaking a bar."""
  if not _is_silent:
    tqdm.tqdm.write(errors.printable(text), file=sys.stderr)
    sys.stderr.flush()


def each(items: Collection[T], label: str, unit: str) -> Iterator[T]:
  """Iterates over the items with a progress bar."""
  with Progress(len(items), label, unit) as bar:
    for item in items:
      yield item
      bar.advance()


class Progress:
  """Counts finished units of work; a context manager.

  A tqdm bar on a terminal. Elsewhere (a log file, a batch job) a plain line
  every `PLAIN_SECONDS`, and one at the end of what took over 2 s. `done` units
  were finished by an earlier start; `total` may be unknown.
  """

  def __init__(self, total: int | None, label: str, unit: str, done: int = 0):
    self.total, self.label, self.unit = total, label, unit
    self._count, self._done = done, done
    self._start = self._printed = time.monotonic()
    self._printed_count = done
    self._bar = None
    if sys.stderr.isatty() and not _is_silent:
      self._bar = tqdm.tqdm(
        total=total,
        initial=done,
        desc=label,
        unit=unit,
        dynamic_ncols=True,
        leave=False,
      )

  def advance(self, units: int = 1) -> None:
    """Reports `units` more as done."""
    self._count += units
    if self._bar is not None:
      self._bar.update(units)
    elif time.monotonic() - self._printed > PLAIN_SECONDS:
      self._print_line()

  def say(self, text: str) -> None:
    """Prints a line on stderr without breaking the bar."""
    say(text)

  def _print_line(self) -> None:
    if _is_silent:
      return
    self._printed, self._printed_count = time.monotonic(), self._count
    seconds = max(self._printed - self._start, 1e-9)
    rate = (self._count - self._done) / seconds
    speed = (
      f'{rate:,.1f}/s' if rate >= 1 or not rate else f'{1 / rate:,.1f} s each'
    )
    total, eta = '', ''
    if self.total is not None:
      seconds_left = (self.total - self._count) / rate if rate else float('inf')
      total, eta = f'/{self.total:,}', f', ETA {seconds_left:.0f} s'
    line = (
      f'{self.label}: {self._count:,}{total} {self.unit}, {speed}, '
      f'elapsed {seconds:.0f} s{eta}'
    )
    print(line, file=sys.stderr, flush=True)

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(self, kind, value, traceback) -> None:
    if self._bar is not None:
      self._bar.close()
    elif kind is None and self._is_worth_a_line() and self._count_is_new():
      self._print_line()

  def _is_worth_a_line(self) -> bool:
    seconds = time.monotonic() - self._start
    return self._start < self._printed or seconds > _SHORT_SECONDS

  def _count_is_new(self) -> bool:
    return self._printed_count < self._count
