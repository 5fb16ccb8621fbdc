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
  """An event file per summary, complete or absent; names sort by step.

  `SummaryWriter` has one per start, including the steps of a killed one, and
  hangs once its thread meets a full disk.
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

    # Not named like an event file, so that no reader opens it.
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
  """The events of a file: its version, then one per value."""
  from tensorboardX.proto import event_pb2, summary_pb2

  now = time.time()
  yield event_pb2.Event(wall_time=now, file_version='brain.Event:2')
  values = [
    summary_pb2.Summary.Value(tag=tag, simple_value=value)
    for tag, value in summary.scalars().items()
  ]
  for tag, image in summary.draw().items():
    image_proto = summary_pb2.Summary.Image(
      width=image.width,
      height=image.height,
      colorspace=3,
      encoded_image_string=plots.png(image),
    )
    values.append(summary_pb2.Summary.Value(tag=tag, image=image_proto))
  for value in values:
    summary_proto = summary_pb2.Summary(value=[value])
    yield event_pb2.Event(
      wall_time=now, step=summary.step, summary=summary_proto
    )
