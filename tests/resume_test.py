"""Runs that were killed, stopped or damaged end like those that were not.

Real processes and real signals; the figures of the table in
docs/reliability.md.
"""

import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import tiny

from imat_jax import errors
from imat_jax.runtime import checksums, distributed, workdir
from imat_jax.training import trained_model

STEPS = 13 * 3  # 50 photos in batches of 4, three epochs


def _start(data_dir, path, **flags) -> subprocess.Popen:
  flags = {'data_dir': data_dir, 'workdir': path, 'save_steps': 2} | flags
  command = [sys.executable, '-m', 'experiments.public_3m', *tiny.RUN_FLAGS]
  command += [f'--{name}={value}' for name, value in flags.items()]
  return subprocess.Popen(
    command,
    cwd=pathlib.Path(__file__).parent.parent,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    # A group of its own, so that its loader processes can be killed, too.
    start_new_session=True,
  )


def _finish(process: subprocess.Popen) -> str:
  out, err = process.communicate(timeout=240)
  assert process.returncode == 0, err
  return out + err


def _steps(path: pathlib.Path) -> list[int]:
  folder = path / 'checkpoints'
  names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
  return sorted(int(name) for name in names if name.isdigit())


def _starts(path: pathlib.Path) -> int:
  file = path / 'starts.jsonl'
  return len(file.read_text().splitlines()) if file.exists() else 0


def _wait(happened: Callable[[], bool], process: subprocess.Popen) -> None:
  end = time.monotonic() + 120
  while not happened():
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < end
    time.sleep(0.002)


def _wait_for_step(path, step: int, process: subprocess.Popen) -> None:
  """Returns once a checkpoint of `step` or later is there."""
  _wait(lambda: max(_steps(path), default=-1) >= step, process)


def test_killed_many_times_equals_uninterrupted(built, uninterrupted, tmp_path):
  rng = random.Random(0)
  path = tmp_path / 'run'
  kills = sorted(rng.sample(range(1, STEPS - 4), 4))
  for number, step in enumerate(kills):
    # The number of loader processes changes from start to start.
    process = _start(built, path, loader_processes=2 * (number % 2))
    _wait(lambda n=number: _starts(path) > n, process)
    _wait_for_step(path, step, process)
    time.sleep(rng.uniform(0, 0.1))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
  said = _finish(_start(built, path, loader_processes=2))
  assert re.search(r'resumes at step \d+', said)
  assert 'leaked' not in said  # shared memory, of its loader processes
  assert tiny.results(path) == tiny.results(uninterrupted)
  assert workdir.times_resumed(workdir.Workdir(path)) == 4
  assert 'resumed 4 times' in (path / 'report.html').read_text()


@pytest.mark.parametrize(
  ('number', 'status'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_saves_and_leaves(
  built, uninterrupted, tmp_path, number, status
):
  path = tmp_path / 'run'
  process = _start(built, path)
  _wait_for_step(path, 3, process)
  process.send_signal(number)
  _, err = process.communicate(timeout=120)
  assert process.returncode == status
  said = re.search(rf'{number.name}: saved at step (\d+) in .* to resume', err)
  assert said and 'Traceback' not in err
  assert max(_steps(path)) == int(said[1])
  tiny.run(built, path)
  assert tiny.results(path) == tiny.results(uninterrupted)


def test_a_second_signal_leaves_at_once(built, tmp_path):
  path = tmp_path / 'run'
  process = _start(built, path)
  _wait_for_step(path, 1, process)
  process.send_signal(signal.SIGTERM)
  process.send_signal(signal.SIGTERM)
  start = time.monotonic()
  process.communicate(timeout=120)
  # Either the first was served in between, or the second ended it.
  assert process.returncode == 143
  assert time.monotonic() - start < 30


def test_a_signal_to_another_process_saves_and_leaves(
  built, uninterrupted, tmp_path, monkeypatch
):
  path = tmp_path / 'run'
  with monkeypatch.context() as patched:
    patched.setattr(
      distributed, 'any_preempted', lambda step, _: signal.SIGTERM * (step == 5)
    )
    with pytest.raises(errors.Interrupted, match='saved at step 5') as left:
      tiny.run(built, path)
  assert left.value.status == 143
  assert 'resumes at step 5' in tiny.run(built, path)
  assert tiny.results(path) == tiny.results(uninterrupted)


def _damage(path: pathlib.Path, how: str) -> None:
  content = path.read_bytes()
  if how == 'missing':
    path.unlink()
  elif how == 'truncated':
    path.write_bytes(content[: len(content) // 2])
  else:
    path.write_bytes(b'garbage' + content[7:])


@pytest.fixture(scope='module')
def stopped(built, tmp_path_factory) -> pathlib.Path:
  """A run with several checkpoints that is not finished."""
  path = tmp_path_factory.mktemp('stopped') / 'run'
  process = _start(built, path)
  _wait_for_step(path, 16, process)
  process.send_signal(signal.SIGTERM)
  process.communicate(timeout=120)
  return path


@pytest.mark.parametrize('how', ['missing', 'truncated', 'garbage'])
def test_damage_to_any_file_is_found(stopped, tmp_path, how):
  newest = stopped / 'checkpoints' / str(max(_steps(stopped)))
  files = [path for path in newest.rglob('*') if path.is_file()]
  assert len(files) > 5
  for number, file in enumerate(files):
    if how == 'truncated' and not file.stat().st_size:
      continue
    copy = tmp_path / str(number)
    shutil.copytree(newest, copy)
    _damage(copy / file.relative_to(newest), how)
    assert checksums.verify(copy), file


@pytest.mark.parametrize('how', ['missing', 'truncated', 'garbage'])
def test_a_damaged_checkpoint_is_named_and_passed_over(
  built, uninterrupted, stopped, tmp_path, how
):
  path = tmp_path / 'run'
  shutil.copytree(stopped, path)
  newest = max(_steps(path))
  folder = path / 'checkpoints' / str(newest)
  biggest = max(
    (p for p in folder.rglob('*') if p.is_file()),
    key=lambda p: p.stat().st_size,
  )
  _damage(biggest, how)
  before = sorted(_steps(path))[-2]
  said = tiny.run(built, path)
  assert re.search(
    rf'checkpoints/{newest}: .*{biggest.name} is .*skipping', said
  )
  assert f'resumes at step {before}' in said
  assert tiny.results(path) == tiny.results(uninterrupted)


def test_what_other_programs_leave_is_no_damage(
  built, uninterrupted, stopped, tmp_path
):
  """The Finder, a stick from a Mac, Windows, a NAS and editors were there."""
  path = tmp_path / 'run'
  shutil.copytree(stopped, path)
  folders = [path, *(p for p in path.rglob('*') if p.is_dir())]
  for folder in folders:
    for name in ('.DS_Store', '._0', 'Thumbs.db', 'metrics.jsonl~', '.nfs01'):
      (folder / name).write_bytes(b'\0\0\0\1Bud1\xff')
    (folder / '@eaDir').mkdir()
  for name in ('²', '٣', '007', '6 copy'):  # digits, but no step's folder
    (path / 'checkpoints' / name).mkdir()
  said = tiny.run(built, path)
  assert f'resumes at step {max(_steps(stopped))}' in said
  assert 'skipping' not in said
  assert not list((path / 'checkpoints').glob('damaged-*'))
  assert all((folder / 'Thumbs.db').exists() for folder in folders[:2])
  assert tiny.results(path) == tiny.results(uninterrupted)
  assert len(trained_model.load(path).history.rows) == 3


@pytest.mark.parametrize('name', ['starts.jsonl', 'lock', 'metrics.jsonl'])
def test_files_that_are_no_text_stop_no_run(
  built, uninterrupted, tmp_path, name
):
  path = tmp_path / 'run'
  shutil.copytree(uninterrupted, path)
  (path / name).write_bytes(b'\xff\xfe\0torn')
  assert 'finished after' in tiny.run(built, path)
  assert tiny.results(path) == tiny.results(uninterrupted)


@pytest.mark.parametrize('content', [b'', b'{"config', b'\xff\xfe', b'[]'])
def test_a_damaged_config_is_named_and_stays(built, stopped, tmp_path, content):
  path = tmp_path / 'run'
  shutil.copytree(stopped, path)
  (path / 'config.json').write_bytes(content)
  with pytest.raises(errors.UserError, match='config.json: (not|damaged)'):
    tiny.run(built, path)
  assert (path / 'config.json').read_bytes() == content


def test_no_whole_checkpoint_is_an_error(built, stopped, tmp_path):
  path = tmp_path / 'run'
  shutil.copytree(stopped, path)
  for step in _steps(path):
    (path / 'checkpoints' / str(step) / '_CHECKPOINT_METADATA').unlink()
  with pytest.raises(errors.UserError, match='no checkpoint is complete'):
    tiny.run(built, path)


def test_half_written_metrics_are_written_anew(
  built, uninterrupted, stopped, tmp_path
):
  path = tmp_path / 'run'
  shutil.copytree(stopped, path)
  with (path / 'metrics.jsonl').open('a') as file:
    file.write('{"epoch": 1, "step": 13}\n{"epoch": 2, "st')
  tiny.run(built, path)
  assert tiny.results(path) == tiny.results(uninterrupted)


def test_checkpoints_of_another_run_are_refused(built, stopped, tmp_path):
  path = tmp_path / 'run'
  shutil.copytree(stopped, path)
  (path / 'config.json').unlink()
  with pytest.raises(errors.UserError, match='of another run'):
    tiny.run(built, path, seed=1)


def test_fewer_epochs_are_refused_more_go_on(built, uninterrupted, tmp_path):
  path = tmp_path / 'run'
  shutil.copytree(uninterrupted, path)
  with pytest.raises(errors.UserError, match='epochs: 3 → 2'):
    tiny.run(built, path, epochs=2)
  assert 'resumes at step 39' in tiny.run(built, path, epochs=4)


def test_the_last_two_checkpoints_and_the_best_are_kept(uninterrupted):
  best = json.loads((uninterrupted / 'evaluation.json').read_text())['step']
  assert _steps(uninterrupted) == sorted({26, 39, best})


def test_a_second_process_is_refused(built, stopped):
  with (
    workdir.lock(workdir.Workdir(stopped)),
    pytest.raises(
      errors.UserError,
      match=rf'locked by another process \(pid {os.getpid()} on',
    ),
  ):
    tiny.run(built, stopped)


@pytest.fixture
def small_disk(tmp_path):
  """A file system with little room."""
  path = tmp_path / 'disk'
  path.mkdir()
  mount = ['mount', '-t', 'tmpfs', '-o', 'size=1500k', 'tmpfs', str(path)]
  try:
    subprocess.run(mount, check=True, capture_output=True)
  except (OSError, subprocess.CalledProcessError):
    pytest.skip('mounting a small file system needs root')
  yield path
  subprocess.run(['umount', str(path)], check=True)


def test_a_full_disk_ends_with_a_line_and_goes_on_with_room(
  built, uninterrupted, small_disk
):
  path = small_disk / 'run'
  process = _start(built, path)
  _, err = process.communicate(timeout=240)
  assert process.returncode == 1
  lines = [x for x in err.splitlines() if x.startswith('experiments.public_3m')]
  assert len(lines) == 1 and 'No space left' in lines[0], err[-2000:]
  assert 'Traceback' not in err
  remount = ['mount', '-o', 'remount,size=50m', str(small_disk)]
  subprocess.run(remount, check=True)
  tiny.run(built, path)
  assert tiny.results(path) == tiny.results(uninterrupted)


def test_a_folder_that_cannot_be_written_is_one_line(built, tmp_path):
  (tmp_path / 'file').write_text('')
  process = _start(built, tmp_path / 'file' / 'run')
  _, err = process.communicate(timeout=120)
  assert process.returncode == 1
  assert 'Not a directory' in err and 'Traceback' not in err


def test_another_data_set_is_refused(built, stopped, tmp_path):
  path, other = tmp_path / 'run', tmp_path / 'built'
  shutil.copytree(stopped, path)
  shutil.copytree(built, other)
  metadata = next(other.rglob('metadata.json'))
  text = metadata.read_text()
  fingerprint = json.loads(text)['fingerprint']
  metadata.write_text(text.replace(fingerprint, fingerprint[::-1]))
  with pytest.raises(errors.UserError, match=r'data set: \w+ → \w+'):
    tiny.run(str(other), path)


# What tensorstore was reading when orbax gave up.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.parametrize(
  'content', ['', 'x', 'null', '[]', '{}', '[' * 10**5, '{"tree_metadata": 3}']
)
def test_a_crafted_checkpoint_is_a_user_error(
  built, uninterrupted, tmp_path, content
):
  """With a seal that fits: whoever crafts it can make one."""
  path = tmp_path / 'run'
  shutil.copytree(uninterrupted, path)
  best = json.loads((path / 'evaluation.json').read_text())['step']
  folder = path / 'checkpoints' / str(best)
  small = [f for f in folder.rglob('*') if f.is_file() and _is_json(f)]
  assert len(small) >= 4
  for damaged in small:
    before = damaged.read_bytes()
    damaged.write_text(content)
    _reseal(folder)
    with contextlib.suppress(errors.UserError):  # or it did not matter
      trained_model.load(path)
    damaged.write_bytes(before)
  _reseal(folder)
  trained_model.load(path)


def test_nothing_is_imported_that_a_checkpoint_names(
  built, uninterrupted, tmp_path
):
  path = tmp_path / 'run'
  shutil.copytree(uninterrupted, path)
  (tmp_path / 'evil_module.py').write_text('raise SystemExit("imported")')
  for file in (path / 'checkpoints').rglob('*'):
    if file.is_file() and _is_json(file):
      text = re.sub(r'orbax[.\w]*\.(\w+)', r'evil_module.\1', file.read_text())
      file.write_text(text)
  for folder in (path / 'checkpoints').iterdir():
    _reseal(folder)
  with pytest.MonkeyPatch.context() as patched:
    patched.syspath_prepend(tmp_path)
    with contextlib.suppress(errors.UserError):
      trained_model.load(path)
  assert 'evil_module' not in sys.modules


def _is_json(path: pathlib.Path) -> bool:
  try:
    return isinstance(json.loads(path.read_bytes()), dict)
  except ValueError:
    return False


def _reseal(folder: pathlib.Path) -> None:
  (folder / 'SEAL.json').unlink(missing_ok=True)
  checksums.write(folder)
