"""Who watches a run: TensorBoard's event files, Weights & Biases.

An observer is told a point at the end of each epoch, the row of `metrics.jsonl`
and pictures, and its training step; before the first step it sees the photos of
the first batch. One that fails, as a disk or a network does, is let go with a
line, and training goes on.

A run that goes on may do epochs again that were told before it was killed. So
an observer compares what it has with the rows that the checkpoint has, and in
the end it has each epoch once.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
from PIL import Image

from imat_jax import config, errors, tasks
from imat_jax.data import input_pipeline
from imat_jax.runtime import distributed, extras, files, progress
from imat_jax.training.workdir import Workdir
from imat_jax.writers import plots

PHOTOS = 32  # of the first batch that are shown
_PATIENCE = 60.0  # seconds that Weights & Biases has at the end

Row = Mapping[str, Any]


class Point(NamedTuple):
  """What is told of a step."""

  step: int
  scalars: dict[str, float]
  draw: Callable[[], dict[str, Image.Image]] = dict


class Observer(Protocol):
  """Gets points, each once and in order; may raise what it likes."""

  name: str

  def start(self, at: int, finished: Sequence[Point], goes_on: bool) -> None:
    """Prepares for what comes.

    Args:
      at: the step of the checkpoint; what was told of later ones is to go.
      finished: the epochs up to it, without pictures; what was not told of them
        is to be told now.
      goes_on: whether the run has steps to do.

    Raises:
      UserError: the user can mend it; the run does not begin.
    """

  def tell(self, point: Point) -> None:
    """Shows a point."""

  def close(self, done: bool) -> None:
    """Shows all there is; `done` is whether the run came to its end."""


class Watch:
  """All observers of a run; a context manager.

  Of several processes the first alone has any.
  """

  def __init__(self, observers: Sequence[Observer], task_set: tasks.TaskSet):
    self._observers, self._task_set = list(observers), task_set

  def start(self, at: int, rows: Sequence[Row], goes_on: bool) -> None:
    """Tells what a start finds: the step and the rows of the checkpoint."""
    finished = [Point(row['step'], scalars(row)) for row in rows]
    self._each(lambda observer: observer.start(at, finished, goes_on))

  def batch(self, batch: input_pipeline.Batch) -> None:
    """Shows photos of the first batch."""
    draw = functools.cache(lambda: {'photos/first_batch': self._grid(batch)})
    self._each(lambda observer: observer.tell(Point(0, {}, draw)))

  def epoch(self, row: Row, validation: Mapping[str, Any]) -> None:
    """Tells of a finished epoch.

    Args:
      row: that of `metrics.jsonl`.
      validation: what `metrics.compute` found of the validation photos.
    """

    @functools.cache
    def draw() -> dict[str, Image.Image]:
      return {
        f'confusion/{task.name}': plots.confusion(
          validation[task.name]['confusion'],
          task.labels,
          f'{task.name}, validation, epoch {row["epoch"]}',
        )
        for task in self._task_set
      }

    point = Point(row['step'], scalars(row), draw)
    self._each(lambda observer: observer.tell(point))

  def _grid(self, batch: input_pipeline.Batch) -> Image.Image:
    image_BxHxWxC, label_BxT = jax.device_get(batch)
    captions = [
      ', '.join(
        task.labels[label]
        for task, label in zip(self._task_set, label_T, strict=True)
        if label != tasks.MISSING
      )
      for label_T in label_BxT
    ]
    return plots.grid(image_BxHxWxC, captions)

  def _each(self, call: Callable[[Observer], None]) -> None:
    for observer in tuple(self._observers):
      try:
        call(observer)
      except errors.UserError:  # of a start
        raise
      except Exception as error:  # each package has its own
        self._observers.remove(observer)
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        progress.say(
          f'{observer.name}: {said[:300]}; training goes on without it'
        )

  def __enter__(self) -> 'Watch':
    return self

  def __exit__(self, kind, value, traceback) -> None:
    self._each(lambda observer: observer.close(kind is None))


def watching(
  run: config.Run, workdir: Workdir, task_set: tasks.TaskSet, identity: str
) -> contextlib.AbstractContextManager[Watch | None]:
  """The observers that a run's flags ask for; None without such a flag.

  Args:
    run: the config.
    workdir: of the run.
    task_set: its tasks.
    identity: what the run is, see `workdir.init_or_check`.

  Raises:
    UserError: a package is missing.
  """
  if not (run.tensorboard or run.wandb):
    return contextlib.nullcontext()
  distributed.broadcast_from_primary(lambda: extras.require_for(run))
  observers = []
  if run.tensorboard and distributed.is_primary():
    observers.append(TensorBoard(workdir.tensorboard))
  if run.wandb and distributed.is_primary():
    observers.append(WeightsAndBiases(workdir, run, identity))
  return Watch(observers, task_set)


def scalars(row: Row) -> dict[str, float]:
  """The numbers of a row; a task without a labelled photo has none."""
  found = {'speed/photos_per_second': row['examples_per_second']}
  for split in ('train', 'validation'):
    found[f'{split}/total_loss'] = row['total'][split]
    for name, scores in row[split].items():
      found |= {f'{split}/{name}_{key}': x for key, x in scores.items()}
  return {name: x for name, x in found.items() if x is not None}


class TensorBoard:
  """An event file per point, whole or absent, in the order of their names.

  `SummaryWriter` would have one for each start, with the points of a killed one
  in it, and waits without end once its thread has met a full disk.
  """

  name = '--tensorboard'
  _NAME = re.compile(r'events\.out\.tfevents\.(\d{12})\.imat_jax')

  def __init__(self, folder: pathlib.Path):
    self._folder = folder

  def start(self, at: int, finished: Sequence[Point], goes_on: bool) -> None:
    self._folder.mkdir(parents=True, exist_ok=True)
    for path in self._folder.iterdir():
      ours = self._NAME.fullmatch(path.name)
      if ours and int(ours[1]) > at:
        path.unlink()
    for point in finished:
      if not self._path(point.step).exists():
        self.tell(point)

  def tell(self, point: Point) -> None:
    from tensorboardX import record_writer

    # No name of an event file, so that no reader takes it for one.
    partial = self._folder / f'{files.WRITING}events'
    writer = record_writer.RecordWriter(str(partial))
    try:
      for event in _events(point):
        writer.write(event.SerializeToString())
    finally:
      writer.close()
    partial.replace(self._path(point.step))

  def close(self, done: bool) -> None:
    pass

  def _path(self, step: int) -> pathlib.Path:
    return self._folder / f'events.out.tfevents.{step:012d}.imat_jax'


def _events(point: Point) -> Iterator[Any]:
  """What an event file holds: its version, then a value per event."""
  from tensorboardX.proto import event_pb2, summary_pb2

  now = time.time()
  yield event_pb2.Event(wall_time=now, file_version='brain.Event:2')
  values = [
    summary_pb2.Summary.Value(tag=tag, simple_value=value)
    for tag, value in point.scalars.items()
  ]
  for tag, picture in point.draw().items():
    image = summary_pb2.Summary.Image(
      width=picture.width,
      height=picture.height,
      colorspace=3,
      encoded_image_string=plots.png(picture),
    )
    values.append(summary_pb2.Summary.Value(tag=tag, image=image))
  for value in values:
    summary = summary_pb2.Summary(value=[value])
    yield event_pb2.Event(wall_time=now, step=point.step, summary=summary)


class WeightsAndBiases:
  """A run of Weights & Biases that all starts of this run go on with.

  Without a connection (WANDB_MODE=offline) each start has a folder, and one
  that was killed has lost what wandb had not written yet: its folder goes, and
  what it told is told again.
  """

  name = '--wandb'

  def __init__(self, workdir: Workdir, run: config.Run, identity: str):
    self._path, self._workdir = workdir.wandb, workdir.path
    self._config, self._identity = dataclasses.asdict(run), identity
    self._run, self._told = None, -1

  def start(self, at: int, finished: Sequence[Point], goes_on: bool) -> None:
    self._state = state = self._read_state()
    self._told = state['told']
    if not goes_on and all(point.step <= self._told for point in finished):
      return
    root = pathlib.Path(os.environ.get('WANDB_DIR') or self._workdir)
    # Compared, not used: who can write to the folder may have put any name.
    for folder in (root / 'wandb').glob('offline-run-*'):
      if folder.name == state['open']:
        shutil.rmtree(folder)
    self._run = self._init(root, state['id'])
    if not self._run.offline:
      self._told = self._run.starting_step - 1
    opened = pathlib.Path(self._run.dir).parent
    files.write_json(self._path, state | {'open': opened.name})
    progress.say(
      f'wandb: offline; `wandb sync {opened.parent}` sends what is there'
      if self._run.offline
      else f'wandb: {self._run.url}'
    )
    for point in finished:
      self.tell(point)

  def tell(self, point: Point) -> None:
    if point.step <= self._told:
      return
    import wandb

    drawn = {tag: wandb.Image(x) for tag, x in point.draw().items()}
    # Without `commit` a point waits for the next one.
    self._run.log(point.scalars | drawn, step=point.step, commit=True)
    self._told = point.step

  def close(self, done: bool) -> None:
    if self._run is None:
      return
    import wandb

    self._run.finish(exit_code=int(not done))
    wandb.teardown()  # `finish` comes back before its file is whole
    closed = {'told': self._told, 'open': ''}
    files.write_json(self._path, self._state | closed)

  def _init(self, root: pathlib.Path, run_id: str) -> Any:
    import wandb

    silent = wandb.Settings(
      silent=True,
      console='off',
      finish_timeout=_PATIENCE,
      finish_timeout_raises=True,
    )
    wandb.setup(silent)
    try:
      return wandb.init(
        project=os.environ.get('WANDB_PROJECT') or 'imat_jax',
        name=self._workdir.resolve().name,
        id=run_id,
        resume='allow',
        reinit='create_new',
        dir=root,
        config=self._config,
        allow_val_change=True,
        settings=silent,
      )
    except (wandb.errors.UsageError, wandb.errors.AuthenticationError) as error:
      raise errors.UserError(
        f'--wandb: {error} Or set WANDB_MODE=offline.'
      ) from error

  def _read_state(self) -> dict[str, Any]:
    fresh = {
      'identity': self._identity,
      'id': secrets.token_hex(4),
      'told': -1,  # up to which step by starts that were closed
      'open': '',  # the folder of a start that was not
    }
    if not self._path.exists():
      return fresh
    state = files.read_json(self._path)
    try:
      found = {name: type(x)(state[name]) for name, x in fresh.items()}
    except (KeyError, TypeError, ValueError):
      raise errors.UserError(f'{self._path}: damaged; remove it') from None
    return found if found['identity'] == self._identity else fresh
