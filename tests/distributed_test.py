"""One run on several processes of this machine, which meet over loopback."""

import contextlib
import functools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import tiny

from imat_jax import config, errors, options
from imat_jax.runtime import distributed

ROOT = pathlib.Path(__file__).parent.parent
HEARTBEAT = 10  # seconds


def _command(data_dir: str, path: pathlib.Path, *flags: str) -> list[str]:
  return [
    *(sys.executable, '-m', 'experiments.public_3m', f'--data_dir={data_dir}'),
    *(f'--workdir={path}', '--batch_size=16', '--tasks=apparel,color'),
    *(*tiny.SMALL_FLAGS, '--loader_threads=1', *flags),
  ]


@contextlib.contextmanager
def _job(
  commands: list[list[str]],
) -> Iterator[list[subprocess.Popen]]:
  """The processes of a job, one for each command."""
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  common = [
    f'--coordinator=127.0.0.1:{port}',
    f'--num_processes={len(commands)}',
    f'--heartbeat_seconds={HEARTBEAT}',
  ]
  processes = [
    subprocess.Popen(
      [*command, *common, f'--process_id={number}'],
      cwd=ROOT,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for number, command in enumerate(commands)
  ]
  try:
    yield processes
  finally:
    for process in processes:
      process.kill()
      process.wait()


def _outputs(processes: list[subprocess.Popen]) -> list[str]:
  return [process.communicate(timeout=240)[0] for process in processes]


def _train_on_two(*command) -> list[str]:
  """Runs to the end; what each process said."""
  with _job([_command(*command)] * 2) as processes:
    said = _outputs(processes)
    assert [p.returncode for p in processes] == [0, 0], said
  return said


def _losses(path: pathlib.Path) -> list[float]:
  rows = map(json.loads, (path / 'metrics.jsonl').read_text().splitlines())
  return [row['total'][split] for row in rows for split in row['total']]


def _wait_for_step(path: pathlib.Path, step: int, process) -> None:
  while not any(
    int(sealed.parent.name) >= step
    for sealed in path.glob('checkpoints/[0-9]*/SEAL.json')
  ):
    assert process.poll() is None, process.communicate()[0]
    time.sleep(0.05)


def _first_batch(path: pathlib.Path) -> bytes:
  """The PNG in the first of the event files, one of which is each epoch's."""
  content = min((path / 'tensorboard').iterdir()).read_bytes()
  return content[content.index(b'\x89PNG') : content.index(b'IEND')]


def _has_scores(path: pathlib.Path) -> bool:
  """Whether an epoch's are in an event file, too."""
  return any(
    b'validation/total_loss' in file.read_bytes()
    for file in (path / 'tensorboard').iterdir()
  )


def _first_batch_of_one(built, path: pathlib.Path, **options) -> bytes:
  """The same, of a run of one process."""
  options |= {'tasks': ('apparel', 'color'), 'batch_size': 16}
  tiny.run(built, path, **options, epochs=1, tensorboard=True)
  return _first_batch(path)


def test_processes_with_photos_on_the_devices_are_as_one(built, tmp_path):
  """Their losses, and the photos of the whole batch that they plot."""
  flags = '--epochs=1', '--tensorboard', '--cache_on_device'
  _train_on_two(built, tmp_path / 'two', *flags)
  of_one = _first_batch_of_one(built, tmp_path / 'one', cache_on_device=True)
  assert _first_batch(tmp_path / 'two') == of_one
  expected = pytest.approx(_losses(tmp_path / 'one'), rel=1e-4)
  assert _losses(tmp_path / 'two') == expected
  assert _has_scores(tmp_path / 'two')


UPGRAD = '--strategy=upgrad', '--gradients_at=trunk'


class Killed(NamedTuple):
  path: pathlib.Path
  returncode: int
  said: str
  seconds: float


@pytest.fixture(scope='module')
def killed(built, tmp_path_factory) -> Callable[[int], Killed]:
  """Of two processes one is killed: what becomes of the other."""

  @functools.cache
  def job(victim: int) -> Killed:
    path = tmp_path_factory.mktemp('run')
    flags = *UPGRAD, '--epochs=4', '--save_steps=1'
    with _job([_command(built, path, *flags)] * 2) as processes:
      _wait_for_step(path, 3, processes[0])
      processes[victim].kill()
      start = time.monotonic()
      other = processes[1 - victim]
      said = other.communicate(timeout=120)[0]
      seconds = time.monotonic() - start
    return Killed(path, other.returncode, said, seconds)

  return job


@pytest.mark.parametrize('victim', [0, 1])
def test_a_killed_process_ends_the_others(killed, victim):
  job = killed(victim)
  assert job.returncode != 0
  assert job.seconds < 3 * HEARTBEAT
  assert 'a process of this job died' in job.said
  assert 'restart all processes' in job.said


def test_killed_on_2_processes_it_goes_on_on_1_and_on_2(
  built, killed, tmp_path
):
  """To the numbers of one; the Gramian is of the photos of all."""
  upgrad = options.part('imat_jax.strategies', 'upgrad')(gradients_at='trunk')
  train = functools.partial(
    *(tiny.run, built),
    tasks=('apparel', 'color'),
    batch_size=16,
    strategy=upgrad,
  )
  path = killed(0).path
  assert 'resumes at step' in train(path, epochs=4)
  first, second = _train_on_two(built, path, *UPGRAD, '--epochs=5')
  assert 'resumes at step 16' in first
  assert 'epoch 5/5' in first and 'report.html' in first
  # One speaks for all.
  assert 'epoch' not in second and 'report.html' not in second
  train(tmp_path, epochs=5)
  assert _losses(path) == pytest.approx(_losses(tmp_path), rel=1e-4)


def test_a_silent_process_ends_the_others(built, tmp_path):
  path = tmp_path / 'run'
  command = _command(built, path, '--epochs=300')
  with _job([command] * 2) as processes:
    _wait_for_step(path, 0, processes[0])
    processes[1].send_signal(signal.SIGSTOP)
    start = time.monotonic()
    said = processes[0].communicate(timeout=120)[0]
    assert time.monotonic() - start < 4 * HEARTBEAT
  assert 'a process of this job died' in said


def test_a_signal_to_one_process_saves_and_ends_all(built, tmp_path):
  """And what was plotted by then is of the whole batch."""
  path = tmp_path / 'run'
  command = _command(built, path, '--epochs=300', '--tensorboard')
  with _job([command] * 2) as processes:
    _wait_for_step(path, 4, processes[0])
    processes[1].send_signal(signal.SIGTERM)
    said = _outputs(processes)
    assert [p.returncode for p in processes] == [143, 143], said
  assert 'saved at step' in said[0]
  (at,) = [word for word in said[0].split() if word.isdigit()][-1:]
  assert (path / 'checkpoints' / at / 'SEAL.json').exists()
  of_one = _first_batch_of_one(built, tmp_path / 'one')
  assert _first_batch(path) == of_one
  assert _has_scores(path)


def test_another_data_set_in_one_process_is_refused(built, tmp_path):
  elsewhere = _command(str(tmp_path / 'nothing'), tmp_path / 'run')
  with _job([_command(built, tmp_path / 'run'), elsewhere]) as processes:
    first, second = _outputs(processes)
    assert [p.returncode for p in processes] == [1, 1]
  assert 'no data set in this folder' in second
  assert 'a process of this job died' in first


def test_what_the_first_process_refuses_all_say(built, tmp_path):
  (tmp_path / 'run').mkdir()
  (tmp_path / 'run' / 'checkpoints').touch()
  with _job([_command(built, tmp_path / 'run')] * 2) as processes:
    said = _outputs(processes)
  assert [p.returncode for p in processes] == [1, 1], said


def test_a_batch_that_cannot_be_divided_is_refused(built, tmp_path):
  command = _command(built, tmp_path / 'run', '--batch_size=15')
  with _job([command] * 2) as processes:
    said = _outputs(processes)
    assert [p.returncode for p in processes] == [1, 1]
  assert all('--batch_size=15' in text for text in said)


def test_a_process_without_the_others_says_so(built, tmp_path):
  command = [
    *_command(built, tmp_path / 'run', '--coordinator=127.0.0.1:1'),
    *('--num_processes=2', '--process_id=1', '--heartbeat_seconds=5'),
  ]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode != 0
  assert 'died or is unreachable' in done.stderr


@pytest.mark.parametrize(
  'flags, said',
  [
    ({'num_processes': 2}, 'HOST:PORT'),
    ({'coordinator': 'host:1'}, 'belong together'),
    ({'coordinator': 'host', 'num_processes': 2}, 'HOST:PORT'),
    ({'process_id': 1}, '--process_id=1: must be less'),
    ({'heartbeat_seconds': 1}, 'must be at least 5'),
  ],
)
def test_flags_that_do_not_fit_are_refused(flags, said):
  with pytest.raises(ValueError, match=said):
    config.Cluster(**flags)


def test_one_process_is_the_first():
  assert distributed.is_primary()
  assert distributed.broadcast_from_primary(lambda: [1, 'a']) == [1, 'a']
  with pytest.raises(errors.UserError, match='why'):
    distributed.broadcast_from_primary(_refuse)


def _refuse():
  raise errors.UserError('why')


def test_one_of_many_slurm_tasks_looks_for_the_others(monkeypatch):
  calls = []
  monkeypatch.setenv('SLURM_STEP_NUM_TASKS', '2')
  monkeypatch.setattr(
    distributed.jax.distributed,
    'initialize',
    lambda **given: calls.append(given),
  )
  monkeypatch.setattr(distributed.jax.distributed, 'shutdown', lambda: None)
  with distributed.initialize(config.Cluster()):
    pass
  (given,) = calls
  assert 'coordinator_address' not in given
  assert os.environ['SLURM_STEP_NUM_TASKS'] == '2'
