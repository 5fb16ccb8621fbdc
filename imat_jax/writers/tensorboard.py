"""TensorBoard's event files, without TensorFlow."""

import pathlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from imat_jax.runtime import files
from imat_jax.writers import plots
from imat_jax.writers.base import Summary


class TensorBoardWriter:
  """An event file per summary, whole or absent, in the order of their names.

  `SummaryWriter` would have one for each start, with what a killed
  one wrote in it, and waits without end once its thread has met a full disk.
  """

  name = '--tensorboard'
  _NAME = re.compile(r'events\.out\.tfevents\.(\d{12})\.imat_jax')

  def __init__(self, folder: pathlib.Path):
    self._folder = folder

  def start(
    self, step: int, finished: Sequence[Summary], resumes: bool
  ) -> None:
    self._folder.mkdir(parents=True, exist_ok=True)
    for path in self._folder.iterdir():
      ours = self._NAME.fullmatch(path.name)
      if ours and int(ours[1]) > step:
        path.unlink()
    for summary in finished:
      if not self._path(summary.step).exists():
        self.write(summary)

  def write(self, summary: Summary) -> None:
    from tensorboardX import record_writer

    # No name of an event file, so that no reader takes it for one.
    partial = self._folder / f'{files.WRITING}events'
    writer = record_writer.RecordWriter(str(partial))
    try:
      for event in _events(summary):
        writer.write(event.SerializeToString())
    finally:
      writer.close()
    partial.replace(self._path(summary.step))

  def close(self, done: bool) -> None:
    pass

  def _path(self, step: int) -> pathlib.Path:
    return self._folder / f'events.out.tfevents.{step:012d}.imat_jax'


def _events(summary: Summary) -> Iterator[Any]:
  """What an event file holds: its version, then a value per event."""
  from tensorboardX.proto import event_pb2, summary_pb2

  now = time.time()
  yield event_pb2.Event(wall_time=now, file_version='brain.Event:2')
  values = [
    summary_pb2.Summary.Value(tag=tag, simple_value=value)
    for tag, value in summary.scalars().items()
  ]
  for tag, picture in summary.draw().items():
    image = summary_pb2.Summary.Image(
      width=picture.width,
      height=picture.height,
      colorspace=3,
      encoded_image_string=plots.png(picture),
    )
    values.append(summary_pb2.Summary.Value(tag=tag, image=image))
  for value in values:
    one = summary_pb2.Summary(value=[value])
    yield event_pb2.Event(wall_time=now, step=summary.step, summary=one)
