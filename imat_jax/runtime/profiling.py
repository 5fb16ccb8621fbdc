"""Traces some steps for TensorBoard's profiler and for Perfetto."""

import pathlib

import jax

_FIRST, _STEPS = 5, 10  # the first steps compile and fill caches


class Trace:
  """Traces a few steps after a start; a context manager.

  Writes `plugins/profile/…` in `folder`: `*.xplane.pb` for TensorBoard and
  `perfetto_trace.json.gz` for ui.perfetto.dev. Without a folder, does nothing.
  """

  def __init__(self, folder: pathlib.Path | None):
    self._folder = folder
    self._step, self._open = 0, False

  def advance(self) -> None:
    """Call this at each step."""
    self._step += 1
    if self._folder is None:
      return
    if self._step == _FIRST:
      jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
      self._open = True
    if self._step == _FIRST + _STEPS:
      self._close()

  def _close(self) -> None:
    if self._open:
      self._open = False
      jax.profiler.stop_trace()

  def __enter__(self) -> 'Trace':
    return self

  def __exit__(self, kind, value, traceback) -> None:
    self._close()
