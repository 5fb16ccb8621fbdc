"""Writers have each epoch once, and never stop a run."""

import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from typing import NamedTuple

import bucket
import numpy as np
import pytest
import tiny
import wandb
from PIL import Image
from tensorboardX import record_writer
from tensorboardX.proto import event_pb2
from wandb.proto import wandb_internal_pb2

from imat_jax import config, errors, train
from imat_jax.data import input_pipeline, source
from imat_jax.runtime import storage, sync, workdir
from imat_jax.writers import multi, plots
from imat_jax.writers import wandb as wandb_lib

ROOT = pathlib.Path(__file__).parent.parent
TASKS = ('apparel', 'age', 'material')
STEPS = 13  # of an epoch: 50 photos in batches of 4
SPEED = 'speed/photos_per_second'


class Logs(NamedTuple):
  """What a writer wrote: tag → step → value."""

  scalars: dict[str, dict[int, float]]
  pictures: dict[str, dict[int, Image.Image]]


def _config(data_dir: str, path: pathlib.Path, **overrides) -> config.Run:
  options = {'tasks': TASKS, 'model': tiny.SMALL, 'epochs': 3, 'batch_size': 4}
  return config.Run(data_dir=data_dir, workdir=str(path), **options | overrides)


def _run(data_dir: str, path: pathlib.Path, **overrides) -> str:
  """Trains in this process; returns stdout and stderr."""
  output = io.StringIO()
  with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
    train.train(_config(data_dir, path, **overrides))
  return output.getvalue()


@pytest.fixture(autouse=True, scope='module')
def offline():
  """No network."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('WANDB_MODE', 'offline')
    patch.delenv('WANDB_DIR', raising=False)
    patch.delenv('WANDB_PROJECT', raising=False)
    yield


@pytest.fixture(scope='module')
def whole(built, tmp_path_factory) -> pathlib.Path:
  """A run that nothing interrupted, with both observers."""
  path = tmp_path_factory.mktemp('whole') / 'run'
  _run(built, path, tensorboard=True, wandb=True)
  return path


def _events(path: pathlib.Path):
  """The events of a file, their checksums checked."""
  content, at = path.read_bytes(), 0
  while at < len(content):
    header, data = content[at : at + 8], content[at + 12 :]
    (size,) = struct.unpack('<Q', header)
    (of_header,) = struct.unpack('<I', content[at + 8 : at + 12])
    (of_data,) = struct.unpack('<I', data[size : size + 4])
    assert of_header == record_writer.masked_crc32c(header)
    assert of_data == record_writer.masked_crc32c(data[:size])
    yield event_pb2.Event.FromString(data[:size])
    at += size + 16


def _tensorboard(path: pathlib.Path) -> Logs:
  """All that event files say; nothing may be there twice."""
  written = Logs({}, {})
  for file in sorted((path / 'tensorboard').iterdir()):
    assert 'tfevents' in file.name
    version, *events = _events(file)
    assert version.file_version == 'brain.Event:2'
    for event in events:
      (value,) = event.summary.value
      kind = value.WhichOneof('value')
      scalar = value.simple_value
      if kind == 'image':
        png = io.BytesIO(value.image.encoded_image_string)
        scalar = Image.open(png)
        assert scalar.size == (value.image.width, value.image.height)
      steps = written[kind == 'image'].setdefault(value.tag, {})
      assert event.step not in steps
      steps[event.step] = scalar
  return written


def _records(path: pathlib.Path):
  """The records of a file of wandb: blocks of 32 KiB with parts of them."""
  content, at, whole = path.read_bytes(), 7, b''
  while at + 7 <= len(content):
    rest = 32768 - at % 32768
    if rest < 7:
      at += rest
      continue
    _, size, kind = struct.unpack('<IHB', content[at : at + 7])
    whole += content[at + 7 : at + 7 + size]
    at += 7 + size
    if kind in (1, 4):  # all of a record, or its last part
      yield wandb_internal_pb2.Record.FromString(whole)
      whole = b''


def _wandb_records(path: pathlib.Path, kind: str) -> list:
  files = sorted(path.glob('wandb/offline-run-*/*.wandb'))
  records = [record for file in files for record in _records(file)]
  return [
    getattr(r, kind) for r in records if r.WhichOneof('record_type') == kind
  ]


def _wandb(path: pathlib.Path) -> Logs:
  """All that the folders of a run say; nothing may be there twice."""
  written = Logs({}, {})
  for history in _wandb_records(path, 'history'):
    step = history.step.num
    for item in history.item:
      name, *part = item.nested_key or [item.key]
      if name.startswith('_') or part not in ([], ['path']):
        continue  # its own, or what else it knows of a picture
      value = json.loads(item.value_json)
      if part:
        (file,) = path.glob(f'wandb/offline-run-*/files/{value}')
        value = Image.open(file)
      steps = written[bool(part)].setdefault(name, {})
      assert step not in steps
      steps[step] = value
  return written


def _rows(path: pathlib.Path) -> list[dict]:
  return workdir.read_rows(workdir.Workdir(path))


def _wanted(rows: list[dict]) -> dict[str, dict[int, float]]:
  """The scalars of the rows of metrics.jsonl, written out."""
  scalars = {}
  for row in rows:
    at = {SPEED: row['examples_per_second']}
    at |= {f'{split}/total_loss': x for split, x in row['total'].items()}
    for name in TASKS:
      for split in ('train', 'validation'):
        for score in ('loss', 'accuracy', 'macro_f1'):
          at[f'{split}/{name}_{score}'] = row[split][name][score]
    for name, value in at.items():
      scalars.setdefault(name, {})[row['step']] = value
  return scalars


def _close(actual: dict, reference: dict, but: str = '') -> None:
  """Equal to the precision of the event files, but for one name."""
  assert actual.keys() == reference.keys()
  for name in reference.keys() - {but}:
    assert actual[name] == pytest.approx(reference[name], rel=1e-6), name


# What is shown.


@pytest.mark.parametrize('read', [_tensorboard, _wandb])
def test_scalars_are_those_of_the_rows(whole, read):
  rows = _rows(whole)
  assert [row['step'] for row in rows] == [13, 26, 39]
  _close(read(whole).scalars, _wanted(rows))


def test_the_best_epoch_has_the_scores_of_the_evaluation(whole):
  evaluation = json.loads((whole / 'evaluation.json').read_text())
  scalars = _tensorboard(whole).scalars
  for name in TASKS:
    for score in ('loss', 'accuracy', 'macro_f1'):
      logged = scalars[f'validation/{name}_{score}'][evaluation['step']]
      assert logged == pytest.approx(evaluation['tasks'][name][score], rel=1e-6)


@pytest.mark.parametrize('read', [_tensorboard, _wandb])
def test_each_epoch_has_an_image_of_each_matrix(whole, read):
  pictures = read(whole).pictures
  names = {f'confusion/{name}' for name in TASKS}
  assert pictures.keys() == names | {'photos/first_batch'}
  for name in names:
    assert list(pictures[name]) == [13, 26, 39]
  assert list(pictures['photos/first_batch']) == [0]


def test_the_matrix_of_an_epoch_is_that_of_its_photos(whole):
  evaluation = json.loads((whole / 'evaluation.json').read_text())
  epoch = evaluation['epoch']
  for name in TASKS:
    scores = evaluation['tasks'][name]
    reference = plots.confusion(
      np.array(scores['confusion_matrix']),
      scores['labels'],
      f'{name}, validation, epoch {epoch}',
    )
    logged = _tensorboard(whole).pictures[f'confusion/{name}'][epoch * STEPS]
    np.testing.assert_array_equal(np.asarray(logged), np.asarray(reference))


def _tiles(sheet: Image.Image, number: int, side: int = 128) -> np.ndarray:
  """The photos of a grid of eight across, without what is written."""
  pixels = np.asarray(sheet)
  tiles = [
    pixels[i // 8 * (side + 20) :, i % 8 * (side + 4) :][:side, :side]
    for i in range(number)
  ]
  return np.stack(tiles)


@pytest.mark.parametrize('cached', [False, True])
def test_the_first_batch_is_what_the_network_sees(built, tmp_path, cached):
  overrides = {
    'model': tiny.MODEL,
    'batch_size': 10,
    'epochs': 1,
    'seed': 3,
    'cache_on_device': cached,
  }
  _run(built, tmp_path, tensorboard=True, **overrides)
  (sheet,) = _tensorboard(tmp_path).pictures['photos/first_batch'].values()
  task_set = source.read_tasks(built).select(TASKS)
  examples = source.Source(built, 'train', task_set)
  dataset = input_pipeline.train_dataset(
    examples, (128, 128), 10, 3, config.Augmentation()
  )
  image_BxHxWxC, label_BxT = dataset[0]
  # Photos on the device are the same to one grey level.
  difference = _tiles(sheet, 10).astype(int) - image_BxHxWxC
  assert np.abs(difference).max() <= cached
  assert sheet.size == (8 * 132 - 4, 2 * 148 - 4)
  names = [dict(enumerate(task.labels)) | {-1: ''} for task in task_set]
  captions = [
    ', '.join(filter(None, (n[i] for n, i in zip(names, row, strict=True))))
    for row in label_BxT.tolist()
  ]
  assert any(',' in caption for caption in captions)
  rows = np.asarray(
    plots.image_grid(
      [*map(Image.fromarray, image_BxHxWxC)],
      [[plots.Caption(caption)] for caption in captions],
    )
  )
  for top in (128, 148 + 128):
    np.testing.assert_array_equal(np.asarray(sheet)[top:][:16], rows[top:][:16])


def test_of_a_large_batch_32_photos_are_shown(built, tmp_path):
  _run(
    *(built, tmp_path),
    tensorboard=True,
    model=tiny.MODEL,
    batch_size=50,
    epochs=1,
  )
  (sheet,) = _tensorboard(tmp_path).pictures['photos/first_batch'].values()
  assert sheet.size == (8 * 132 - 4, 4 * 148 - 4)


def _cells(sheet: Image.Image, size: int, cell: int = 44) -> np.ndarray:
  """The color of each cell, from its corner, away from the number."""
  pixels = np.asarray(sheet)[:-10, :-10][-size * cell :, -size * cell :]
  return pixels[4::cell, 4::cell]


def test_a_matrix_is_shaded_by_the_share_of_its_row():
  names = ['a long name of a label', 'b', 'c']
  counts = np.array([[3, 1, 0], [0, 50, 0], [0, 0, 0]])
  cells = _cells(plots.confusion(counts, names, 'task'), 3).astype(int)
  share = (255 - cells[..., 0]) / (255 - cells[1, 1, 0])
  reference = [[0.75, 0.25, 0], [0, 1, 0]]
  np.testing.assert_allclose(share[:2], reference, atol=0.01)
  assert (cells[2] == cells[2, 0]).all()  # nothing is known of it
  assert len({tuple(color) for color in cells.reshape(-1, 3)}) == 5


@pytest.mark.parametrize('size', [1, 2, 33, 120])
def test_matrices_of_any_size_and_names(size):
  odd = ['', '\x1b[2J', '\ud800', '衣服', 'x' * 300, '\u202e', 'a\nb']
  names = [odd[k % len(odd)] for k in range(size)]
  sheet = plots.confusion(np.eye(size, dtype=int), names, '\x00')
  assert min(sheet.size) >= 16 * size
  assert max(sheet.size) < 16 * size + 700


def test_a_grid_of_one_photo_with_any_caption():
  photo = np.full((1, 8, 8, 3), 7, np.uint8)
  caption = [plots.Caption('\ud800\n' * 100)]
  sheet = plots.image_grid([Image.fromarray(photo[0])], [caption])
  np.testing.assert_array_equal(_tiles(sheet, 1, 8)[0], photo[0])


# A run that is stopped and goes on.


def _equals(path: pathlib.Path, whole: pathlib.Path) -> None:
  """Each point once, the same; times and, offline, pictures may differ."""
  one, other = _tensorboard(path), _tensorboard(whole)
  _close(one.scalars, other.scalars, but=SPEED)
  assert one.pictures.keys() == other.pictures.keys()
  for name, by_step in other.pictures.items():
    assert one.pictures[name].keys() == by_step.keys()
    for step, picture in by_step.items():
      assert one.pictures[name][step].tobytes() == picture.tobytes()
  _close(_wandb(path).scalars, _wandb(whole).scalars, but=SPEED)


def test_stopped_and_continued_equals_uninterrupted(built, whole, tmp_path):
  _run(built, tmp_path, tensorboard=True, wandb=True, epochs=1)
  time.sleep(1)  # wandb names its folders by the second
  _run(built, tmp_path, tensorboard=True, wandb=True)
  _equals(tmp_path, whole)
  pictures = _wandb(tmp_path).pictures
  assert all(
    list(x) == [13, 26, 39] for n, x in pictures.items() if 'confusion' in n
  )
  starts = _wandb_records(tmp_path, 'run')
  assert len(starts) == 2
  assert len({start.run_id for start in starts}) == 1
  assert [start.resume for start in starts] == [True, True]


def _start(data_dir: str, path: pathlib.Path, cwd: pathlib.Path, *flags: str):
  command = [sys.executable, '-m', 'experiments.public_3m', '--batch_size=4']
  command += [f'--data_dir={data_dir}', f'--workdir={path}', '--epochs=3']
  command += [*tiny.SMALL_FLAGS]
  # It is not to use the process that wandb started for this one.
  env = {k: v for k, v in os.environ.items() if k != 'WANDB_SERVICE'}
  return subprocess.Popen(
    [*command, f'--tasks={",".join(TASKS)}', *flags],
    cwd=cwd,
    env=env | {'PYTHONPATH': str(ROOT)},
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    start_new_session=True,
  )


def test_killed_it_drops_epochs_of_no_checkpoint(built, whole, tmp_path):
  path, cwd = tmp_path / 'run', tmp_path / 'elsewhere'
  cwd.mkdir()
  flags = '--tensorboard', '--wandb', '--nosave_epochs', '--save_steps=10'
  process = _start(built, path, cwd, *flags)
  written = path / 'tensorboard' / f'events.out.tfevents.{26:012d}.imat_jax'
  end = time.monotonic() + 120
  while not written.exists():
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < end
    time.sleep(0.002)
  os.killpg(process.pid, signal.SIGKILL)
  process.communicate()
  for folder in (path / 'checkpoints').iterdir():
    if int(folder.name.partition('.')[0]) > 20:
      shutil.rmtree(folder)
  (of_killed,) = path.glob('wandb/offline-run-*')
  out, err = (process := _start(built, path, cwd, *flags)).communicate()
  assert process.returncode == 0, err
  assert re.search(r'resumes at step [12]0', out)
  _equals(path, whole)
  assert not of_killed.exists()
  # It prints one line, and writes nothing to the current folder.
  other = [
    line
    for line in tiny.without_progress(err)
    if not re.match(r'epoch |.*checkpoints/20: .* skipping', line)
  ]
  assert other == [f'wandb: offline; upload with `wandb sync {path}/wandb`']
  assert not list(cwd.iterdir())


def test_started_later_it_writes_the_earlier_epochs(built, tmp_path):
  _run(built, tmp_path, epochs=2)
  assert not (tmp_path / 'tensorboard').exists()
  assert not (tmp_path / 'wandb.json').exists()
  output = _run(built, tmp_path, epochs=2, tensorboard=True, wandb=True)
  assert 'finished after' in output
  for written in (_tensorboard(tmp_path), _wandb(tmp_path)):
    _close(written.scalars, _wanted(_rows(tmp_path)))
    assert not written.pictures
  # Then there is nothing more to tell.
  before = _content(tmp_path)
  _run(built, tmp_path, epochs=2, tensorboard=True, wandb=True)
  assert _content(tmp_path) == before


def _content(path: pathlib.Path) -> dict[str, int]:
  folders = path / 'tensorboard', path / 'wandb'
  files = [file for folder in folders for file in folder.rglob('*')]
  return {str(file): file.lstat().st_mtime_ns for file in files}


class _Online:
  """What `wandb.init` gives where the server has steps up to 26."""

  offline, starting_step, url = False, 27, 'https://wandb.example/run'

  def __init__(self, path: pathlib.Path):
    self.dir, self.logged = str(path / 'wandb' / 'run-1' / 'files'), []

  def log(self, data, step, commit):
    self.logged.append(step)

  def finish(self, exit_code):
    self.logged.append(f'exit {exit_code}')


def test_a_server_gets_the_epochs_it_lacks(whole, tmp_path, monkeypatch):
  path = tmp_path / 'run'
  shutil.copytree(whole, path, symlinks=True)
  online = _Online(path)
  monkeypatch.setattr(wandb, 'init', lambda **options: online)
  run = _config('', path, wandb=True)
  rows = _rows(path)
  writer = wandb_lib.WandbWriter(workdir.Workdir(path), run, 'another')
  with multi.MultiWriter([writer], ()) as writers:
    writers.start(39, rows, resumes=True)
    writers.write_epoch(rows[1], {})  # from a checkpoint before
    writers.write_epoch(rows[2] | {'step': 52}, {})
  assert online.logged == [39, 52, 'exit 0']
  assert json.loads((path / 'wandb.json').read_text())['told'] == 52


def test_another_run_in_the_folder_is_another_run_there(built, tmp_path):
  overrides = {'tensorboard': True, 'wandb': True}
  _run(built, tmp_path, **overrides, epochs=2)
  (tmp_path / 'tensorboard' / 'of_the_user').write_text('')
  shutil.rmtree(tmp_path / 'checkpoints')
  time.sleep(1)
  _run(built, tmp_path, **overrides, epochs=1, seed=1)
  (tmp_path / 'tensorboard' / 'of_the_user').unlink()
  rows = _wanted(_rows(tmp_path))
  _close(_tensorboard(tmp_path).scalars, rows)
  starts = _wandb_records(tmp_path, 'run')
  assert len({start.run_id for start in starts}) == 2


# What must not end a run, and what must.


def _warnings(output: str) -> list[str]:
  return [x for x in output.splitlines() if 'training continues without' in x]


def test_a_full_disk_does_not_stop_training(built, whole, tmp_path):
  # What is written under the name that a point has first does not fit.
  (tmp_path / 'lock').touch()  # the folder is of a run that was started
  (tmp_path / 'tensorboard').mkdir()
  (tmp_path / 'tensorboard' / '.writing-events').symlink_to('/dev/full')
  output = _run(built, tmp_path, tensorboard=True)
  (line,) = _warnings(output)
  assert line.startswith('--tensorboard: ') and 'No space left' in line
  assert 'epoch 3/3' in output
  (tmp_path / 'tensorboard' / '.writing-events').unlink()
  assert not _tensorboard(tmp_path).scalars
  # With room again, the next start tells it.
  _run(built, tmp_path, tensorboard=True)
  _close(_tensorboard(tmp_path).scalars, _tensorboard(whole).scalars, SPEED)


def test_a_lost_connection_does_not_stop_training(built, tmp_path, monkeypatch):
  def no_answer(**options):
    raise wandb.errors.CommError('no answer\nfrom the server')

  monkeypatch.setattr(wandb, 'init', no_answer)
  output = _run(built, tmp_path, wandb=True, tensorboard=True)
  assert _warnings(output) == [
    '--wandb: no answer; training continues without it'
  ]
  assert len(_tensorboard(tmp_path).scalars[SPEED]) == 3


def test_what_fails_midway_is_written_again(
  built, whole, tmp_path, monkeypatch
):
  log = wandb.Run.log

  def log_once(self, data, step, commit):
    if step > 13:
      raise BrokenPipeError
    log(self, data, step=step, commit=commit)

  with monkeypatch.context() as patched:
    patched.setattr(wandb.Run, 'log', log_once)
    output = _run(built, tmp_path, wandb=True)
  expected = '--wandb: BrokenPipeError; training continues without it'
  assert _warnings(output) == [expected]
  assert 'epoch 3/3' in output
  wandb.teardown()  # as at the end of the process
  _run(built, tmp_path, wandb=True)
  _close(_wandb(tmp_path).scalars, _wandb(whole).scalars, SPEED)


@pytest.mark.parametrize('package', ['tensorboardX', 'wandb'])
def test_a_missing_package_is_reported_at_once(
  built, tmp_path, monkeypatch, package
):
  extra = package.lower().removesuffix('x')
  monkeypatch.setitem(sys.modules, package, None)
  install = rf"--{extra}: .* pip install 'imat_jax\[{extra}\]'"
  with pytest.raises(errors.UserError, match=install):
    _run(built, tmp_path, **{extra: True})
  assert not (tmp_path / 'checkpoints').exists()


def test_a_missing_login_is_reported_at_once(built, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  for name in ('WANDB_MODE', 'WANDB_API_KEY', 'NETRC'):
    monkeypatch.delenv(name, raising=False)
  process = _start(built, tmp_path / 'run', tmp_path, '--wandb')
  _, err = process.communicate(timeout=120)
  assert process.returncode == 1
  (line,) = err.splitlines()
  assert 'wandb login' in line and 'WANDB_MODE=offline' in line
  assert not (tmp_path / 'run' / 'checkpoints').exists()


@pytest.mark.parametrize(
  'content',
  ['', '[]', '{}', '{"identity": 1, "id": 2, "told": "x", "open": 3}'],
)
def test_a_damaged_state_is_reported_at_once(built, tmp_path, content):
  (tmp_path / 'wandb.json').write_text(content)
  with pytest.raises(errors.UserError, match='wandb.json'):
    _run(built, tmp_path, wandb=True)


def test_a_crafted_note_removes_nothing(built, tmp_path):
  overrides = {'epochs': 1, 'wandb': True}
  _run(built, tmp_path / 'run', **overrides)
  precious = tmp_path / 'precious'
  precious.mkdir()
  note = tmp_path / 'run' / 'wandb.json'
  for name in ('../../precious', str(precious), '..', '*', '.'):
    crafted = json.loads(note.read_text()) | {'open': name, 'told': -1}
    note.write_text(json.dumps(crafted))
    _run(built, tmp_path / 'run', **overrides)
    assert precious.exists() and (tmp_path / 'run' / 'wandb').is_dir()
  assert list((tmp_path / 'run').glob('wandb/offline-run-*'))


# Where it goes.


def test_weights_and_biases_knows_the_config(whole):
  (run,) = _wandb_records(whole, 'run')
  stored = json.loads((whole / 'config.json').read_text())['config']
  logged = {x.key: json.loads(x.value_json) for x in run.config.update}
  assert {key: logged[key] for key in stored} == stored
  assert (run.project, run.display_name) == ('imat_jax', whole.name)


def test_wandbs_variables_are_respected(built, tmp_path, monkeypatch):
  monkeypatch.setenv('WANDB_DIR', str(tmp_path / 'there'))
  monkeypatch.setenv('WANDB_PROJECT', 'shop')
  (tmp_path / 'there').mkdir()
  _run(built, tmp_path / 'run', wandb=True, epochs=1)
  assert not (tmp_path / 'run' / 'wandb').exists()
  (run,) = _wandb_records(tmp_path / 'there', 'run')
  assert run.project == 'shop'


def test_event_files_are_copied_to_a_bucket(built, tmp_path, monkeypatch):
  monkeypatch.setattr(sync, '_POLL_S', 0.02)
  with bucket.known(tmp_path) as shop:
    _run(built, 's3://shop/run', tensorboard=True, wandb=True)
    written = _tensorboard(shop / 'run'), _wandb(shop / 'run')
    rows = _wanted(_rows(shop / 'run'))
  storage.cached_download.cache_clear()
  for logs in written:
    _close(logs.scalars, rows)
    assert len(logs.pictures) == 1 + len(TASKS)


def test_nothing_is_drawn_without_a_flag(built, tmp_path):
  run = _config(built, tmp_path)
  task_set = source.read_tasks(built).select(TASKS)
  folder = workdir.Workdir(tmp_path)
  with multi.make_writers(run, folder, task_set, '') as writers:
    assert not writers.draws
    names = [writer.name for writer in writers._writers]
    assert names == ['metrics.jsonl', 'stderr', 'starts.jsonl']


def test_what_is_drawn_changes_no_number(built, whole, tmp_path):
  _run(built, tmp_path)
  times = {'seconds', 'examples_per_second'}
  rows = [
    [{k: v for k, v in row.items() if k not in times} for row in _rows(path)]
    for path in (whole, tmp_path)
  ]
  assert rows[0] == rows[1]
