"""Runs that are synced to a bucket."""

import contextlib
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import bucket
import pytest
import tiny

from imat_jax import errors, evaluate
from imat_jax import train as train_lib
from imat_jax.models import presets
from imat_jax.runtime import checksums, files, storage, sync
from imat_jax.study import sweep
from imat_jax.study.config import Study
from imat_jax.training import trained_model

URL = 's3://shop/run'
MARKS = (checksums.NAME, 'evaluation.json')
ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def shop(tmp_path):
  """A bucket; its folder on this machine."""
  with bucket.known(tmp_path) as folder:
    yield folder
  storage.cached_download.cache_clear()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
  monkeypatch.setattr(sync, '_POLL_S', 0.02)
  monkeypatch.setattr(sync, '_FINAL_BACKOFF_S', (0.01, 0.01))


def _start(here: pathlib.Path) -> sync.Mirror:
  here.mkdir(exist_ok=True)
  started = sync.Mirror(URL, here, MARKS)
  started.begin()
  return started


def _fill(folder: pathlib.Path, content: dict[str, str]) -> None:
  for name, text in content.items():
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def _content(folder: pathlib.Path) -> dict[str, str]:
  """What of a folder is the run's."""
  return {
    name: path.read_text()
    for path in sorted(folder.rglob('*'))
    if path.is_file()
    and (name := path.relative_to(folder).as_posix())
    not in ('lock', '.mirror.json', 'owner.json')
  }


def _wait(happened) -> None:
  end = time.monotonic() + 60
  while not happened():
    assert time.monotonic() < end
    time.sleep(0.005)


def _refuse(shop: pathlib.Path, *what: str) -> None:
  (shop.parent / 'refuses').write_text('\n'.join(what))


FIRST = {'config.json': '{}', 'checkpoints/2/a/b': 'two'}
SEALED = FIRST | {'checkpoints/2/SEAL.json': '{}'}


# A folder of files.


def test_new_files_are_uploaded_and_deleted_ones_removed(shop, tmp_path):
  here, there = tmp_path / 'here', shop / 'run'
  started = _start(here)
  _fill(here, SEALED)
  _wait(lambda: _content(there) == SEALED)
  shutil.rmtree(here / 'checkpoints' / '2')
  (here / 'config.json').write_text('{"epochs": 3}')
  _fill(here, {'checkpoints/4/c': 'four', 'checkpoints/4/SEAL.json': '{}'})
  started.end()
  assert _content(there) == _content(here)
  assert len(_content(there)) == 3


def test_incomplete_checkpoints_are_not_uploaded(shop, tmp_path):
  here, there = tmp_path / 'here', shop / 'run'
  started = _start(here)
  waiting = {
    '.writing-x': 'x',
    'sub/.writing-y': 'y',
    'checkpoints/5.tmp/a': '',
  }
  _fill(here, FIRST | waiting)
  started.end()
  assert _content(there) == {'config.json': '{}'}


def test_a_mark_waits_for_what_it_stands_for(shop, tmp_path, monkeypatch):
  """What is written between the two walks of a look."""
  here, there = tmp_path / 'here', shop / 'run'
  started = _start(here)
  _fill(here, {'evaluation.json': 'of two', 'predictions.npz': 'of two'})
  _wait(lambda: _content(there) == _content(here))
  started._stop.set()
  started._thread.join()
  walk, walks = started._walk, []

  def write_between():
    walks.append(walk())
    if len(walks) == 2:
      # The walk had passed the first of them.
      (here / 'evaluation.json').write_text('of four')
      return walk()
    return walks[-1]

  monkeypatch.setattr(started, '_walk', write_between)
  _fill(here, {'report.html': 'so that there is something to do'})
  started._push()
  assert 'evaluation.json' not in _content(there)
  (here / 'predictions.npz').write_text('of four')
  started.end()
  assert _content(there) == _content(here)


def test_uploads_before_an_error_are_removed_with_the_rest(shop, tmp_path):
  here, there = tmp_path / 'here', shop / 'run'
  started = _start(here)
  _refuse(shop, 'put SEAL.json')
  _fill(here, SEALED)
  _wait(lambda: _content(there) == FIRST)
  shutil.rmtree(here / 'checkpoints' / '2')
  _refuse(shop)
  started.end()
  assert _content(there) == {'config.json': '{}'}


def test_another_machine_has_all_of_it(shop, tmp_path):
  started = _start(tmp_path / 'one')
  _fill(tmp_path / 'one', SEALED)
  started.end()
  _fill(shop / 'run', {'checkpoints/3/half': 'came'})  # before it was killed
  _fill(tmp_path / 'two', {'old': 'of another start', 'checkpoints/1/x': ''})
  _start(tmp_path / 'two').end()
  assert _content(tmp_path / 'two') == SEALED
  assert _content(shop / 'run') == SEALED


def test_local_files_of_an_earlier_start_are_kept(shop, tmp_path):
  here, there = tmp_path / 'here', shop / 'run'
  started = _start(here)
  _fill(here, SEALED | {'gone': 'soon'})
  started.end()
  # As a start that could not copy, and was killed.
  _fill(here, {'metrics.jsonl': 'more'})
  (here / 'gone').unlink()
  _fill(there, {'checkpoints/3/half': 'came'})
  _start(here).end()
  assert _content(here) == SEALED | {'metrics.jsonl': 'more'}
  assert _content(there) == _content(here)


def test_nothing_is_uploaded_twice(shop, tmp_path, monkeypatch):
  _fill(tmp_path / 'here', SEALED)
  started = _start(tmp_path / 'here')
  _fill(tmp_path / 'here', SEALED)
  started.end()
  done = []
  monkeypatch.setattr(bucket, 'done', lambda *what: done.append(what[0]))
  started = _start(tmp_path / 'here')
  time.sleep(0.2)
  started.end()
  assert sorted(set(done)) == ['list', 'read', 'write']


def test_a_run_that_was_copied_by_hand_resumes(shop, tmp_path):
  _fill(shop / 'run', SEALED)
  _start(tmp_path / 'here').end()
  assert _content(tmp_path / 'here') == SEALED


def test_what_other_programs_leave_is_no_obstacle(shop, tmp_path):
  """A browser of buckets, or the Finder, was in both folders."""
  foreign = {'.DS_Store': 'Bud1', 'Thumbs.db': 'x', '@eaDir/a': 'x'}
  _fill(shop / 'run', foreign)
  one = _start(tmp_path / 'here')
  _fill(tmp_path / 'here', {'config.json': '{}', '.DS_Store': 'of here'})
  one.end()
  assert _content(shop / 'run') == foreign | {'config.json': '{}'}
  other = _start(tmp_path / 'there')
  other.end()
  assert _content(tmp_path / 'there') == {'config.json': '{}'}


@pytest.mark.parametrize('text', ['[]', '{}', '{"token": 1, "known": 2}'])
def test_a_damaged_state_is_named(shop, tmp_path, text):
  _start(tmp_path / 'here').end()
  (tmp_path / 'here' / '.mirror.json').write_text(text)
  with pytest.raises(errors.UserError, match='.mirror.json: damaged'):
    _start(tmp_path / 'here')


def test_files_of_no_run_are_not_touched(shop, tmp_path):
  _fill(shop / 'run', {'one/config.json': '{}', 'photo.jpg': ''})
  with pytest.raises(errors.UserError, match='^s3://shop/run: .*one/config.js'):
    _start(tmp_path / 'here')
  assert not (shop / 'run' / 'owner.json').exists()


@pytest.mark.parametrize('text', ['', 'x', '[]', '{"token": 1}'])
def test_a_damaged_owner_is_named(shop, tmp_path, text):
  _fill(shop / 'run', {'owner.json': text})
  with pytest.raises(errors.UserError, match='run/owner.json: damaged'):
    _start(tmp_path / 'here')


def test_the_last_start_has_the_run(shop, tmp_path, monkeypatch):
  signals = []
  monkeypatch.setattr(os, 'kill', lambda *which: signals.append(which))
  first = _start(tmp_path / 'one')
  _fill(tmp_path / 'one', SEALED)
  _wait(lambda: _content(shop / 'run') == SEALED)
  second = _start(tmp_path / 'two')
  _fill(tmp_path / 'one', {'of the first': ''})
  _wait(lambda: signals)
  assert signals == [(os.getpid(), signal.SIGTERM)]
  job = f'pid {os.getpid()} on {socket.gethostname()}'
  with pytest.raises(errors.UserError, match=rf'another job .* \({job}\)'):
    first.end()
  _fill(tmp_path / 'two', {'of the second': ''})
  second.end()
  assert _content(shop / 'run') == SEALED | {'of the second': ''}


def test_a_run_that_was_removed_is_not_put_back(shop, tmp_path, monkeypatch):
  monkeypatch.setattr(os, 'kill', lambda *_: None)
  started = _start(tmp_path / 'here')
  shutil.rmtree(shop / 'run')
  _fill(tmp_path / 'here', FIRST)
  with pytest.raises(errors.UserError, match='no owner.json'):
    started.end()
  assert not (shop / 'run').exists()
  # A new start begins from scratch.
  _start(tmp_path / 'here').end()
  assert _content(tmp_path / 'here') == {}


def test_a_bucket_that_fails_for_a_while_costs_nothing(
  shop, tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(sync, '_MAX_BACKOFF_S', 0.05)
  here, there = tmp_path / 'here', shop / 'run'
  started = _start(here)
  _refuse(shop, 'put', 'remove')
  _fill(here, SEALED)
  time.sleep(0.3)
  assert _content(there) == {}
  _refuse(shop)
  _wait(lambda: _content(there) == SEALED)
  started.end()
  output = capsys.readouterr().err
  assert f'{URL}: Access Denied' in output and 'training continues' in output
  assert f'{URL}: upload complete' in output


def test_a_bucket_that_fails_until_the_end_is_reported(shop, tmp_path, capsys):
  here = tmp_path / 'here'
  started = _start(here)
  _refuse(shop, 'put evaluation.json')
  _fill(here, SEALED | {'evaluation.json': '{}'})
  with pytest.raises(
    errors.UserError, match=f'Access Denied.* has the files in {here}'
  ):
    started.end()
  assert 'upload complete' not in capsys.readouterr().err
  assert _content(shop / 'run') == SEALED
  _refuse(shop)
  _start(here).end()
  assert _content(shop / 'run') == _content(here)


def test_a_bucket_that_cannot_be_read_or_written_ends_the_start(shop, tmp_path):
  for what in ('list', 'write owner.json'):
    _refuse(shop, what)
    with pytest.raises(errors.UserError, match='Access Denied'):
      _start(tmp_path / 'here')


def test_a_start_that_broke_off_while_it_copied_begins_again(shop, tmp_path):
  _fill(shop / 'run', SEALED)
  _refuse(shop, 'get SEAL.json')
  with pytest.raises(errors.UserError, match='Access Denied'):
    _start(tmp_path / 'here')
  _refuse(shop)
  _start(tmp_path / 'here').end()
  assert _content(tmp_path / 'here') == _content(shop / 'run') == SEALED


def test_wherever_it_stops_what_looks_complete_is_complete(
  shop, tmp_path, monkeypatch
):
  """Ends a second copy at each of its acts in turn."""
  more = {
    'checkpoints/4/c': 'four',
    'checkpoints/4/SEAL.json': '{}',
    'predictions.npz': 'of four',
    'evaluation.json': 'of four',
  }
  before = SEALED | {'predictions.npz': 'of two', 'evaluation.json': 'of two'}
  acts = 0
  while True:
    acts += 1
    left = [acts]

    def end_there(action, path, left=left):
      if action in ('put', 'remove'):
        left[0] -= 1
        if left[0] < 1:
          raise ConnectionError('the machine is gone')

    for folder in (shop / 'run', tmp_path / 'here'):
      shutil.rmtree(folder, ignore_errors=True)
    with monkeypatch.context() as patched:
      started = _start(tmp_path / 'here')
      started._stop.set()
      started._thread.join()
      _fill(tmp_path / 'here', before)
      started._push()
      patched.setattr(bucket, 'done', end_there)
      shutil.rmtree(tmp_path / 'here' / 'checkpoints' / '2')
      _fill(tmp_path / 'here', more)
      with contextlib.suppress(errors.UserError):
        started._push()
    content = _content(shop / 'run')
    if 'evaluation.json' in content:
      assert content['predictions.npz'] == content['evaluation.json']
    for step, name in (('2', 'a/b'), ('4', 'c')):
      if f'checkpoints/{step}/SEAL.json' in content:
        assert f'checkpoints/{step}/{name}' in content
    if left[0] > 0:  # it came to its end
      break
  assert acts > 6
  assert content == _content(tmp_path / 'here')


# Runs and studies.


@pytest.fixture
def built_there(built, shop) -> str:
  shutil.copytree(built, shop / 'built')
  return 's3://shop/built'


def test_a_run_in_a_bucket_equals_a_local_one(
  built, built_there, shop, uninterrupted
):
  output = tiny.run(built_there, URL)
  assert f'{URL}: upload complete' in output
  assert tiny.results(shop / 'run') == tiny.results(uninterrupted)
  assert files.working_folder(URL).is_relative_to(files.cache_folder())
  described = json.loads((shop / 'run' / 'config.json').read_text())['config']
  assert (described['data_dir'], described['workdir']) == (built_there, URL)
  names = {path.name for path in (shop / 'run').iterdir()}
  assert names - {'owner.json'} == {
    path.name for path in uninterrupted.iterdir()
  } - {'lock'}
  assert 'README.md' in names
  # It is read from the bucket.
  evaluation = evaluate.evaluate(
    evaluate.Evaluate(run=URL, data_dir=built_there, batch_size=4)
  )
  expected = json.loads((uninterrupted / 'evaluation.json').read_text())
  for name, of_task in expected['tasks'].items():
    same = {key: evaluation['tasks'][name][key] for key in of_task}
    assert same.pop('loss') == pytest.approx(of_task.pop('loss'), rel=1e-5)
    assert same == of_task
  # And resumes on a machine without its files.
  shutil.rmtree(files.cache_folder())
  storage.cached_download.cache_clear()
  assert 'finished after epoch 3' in tiny.run(built_there, URL)
  assert tiny.results(shop / 'run') == tiny.results(uninterrupted)


def test_no_run_is_one_line(shop):
  with pytest.raises(errors.UserError, match=f'^{URL}: no trained run here'):
    trained_model.load(URL)


def test_a_run_that_is_not_uploaded_has_failed(built, shop):
  _refuse(shop, 'put predictions.npz')
  with pytest.raises(
    errors.UserError, match='run the same command again on this machine'
  ):
    tiny.run(built, URL, epochs=1)
  assert not (shop / 'run' / 'evaluation.json').exists()
  _refuse(shop)
  assert 'finished after epoch 1' in tiny.run(built, URL, epochs=1)
  assert (shop / 'run' / 'evaluation.json').exists()


def test_an_error_of_the_run_is_reported_before_that_of_the_bucket(
  built, shop, monkeypatch
):
  def fail(*_, **__):
    _refuse(shop, 'put')
    raise errors.UserError('the loss is not finite')

  monkeypatch.setattr(train_lib, 'fit', fail)
  with pytest.raises(errors.UserError, match='the loss is not finite'):
    tiny.run(built, URL)


def _command(data_dir: str, *flags: str) -> list[str]:
  return [
    *(sys.executable, '-m', 'experiments.public_3m', *tiny.RUN_FLAGS),
    *(f'--data_dir={data_dir}', f'--workdir={URL}', *flags),
  ]


def _begin(command: list[str], shop: pathlib.Path, cache: str):
  return subprocess.Popen(
    command,
    cwd=ROOT,
    env=bucket.environment(shop.parent, shop.parent / cache),
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def _checkpoints(run: pathlib.Path, sealed: bool) -> list[int]:
  """Those that have a seal, or that have none yet."""
  paths = [p for p in run.glob('checkpoints/**/*') if p.is_file()]
  names = [path.relative_to(run).parts for path in paths]
  steps = {int(step) for _, step, *_ in names}
  found_steps = {
    int(step) for _, step, *rest in names if rest == [checksums.NAME]
  }
  return sorted(found_steps if sealed else steps - found_steps)


def test_killed_during_an_upload_it_resumes_elsewhere(
  built_there, shop, uninterrupted
):
  there = shop / 'run'
  first = _command(built_there, '--epochs=2', '--save_steps=2')
  process = _begin(first, shop, '.cache-1')
  _wait(lambda: (there / 'owner.json').exists())
  (shop.parent / 'slow').write_text('0.02')  # seconds for each file

  def stopped_between_two_seals() -> bool:
    process.send_signal(signal.SIGSTOP)  # so that it is still so when killed
    # Some step is sealed, not only 0, which is none to resume at.
    if any(_checkpoints(there, sealed=True)) and _checkpoints(
      there, sealed=False
    ):
      return True
    process.send_signal(signal.SIGCONT)
    return False

  _wait(stopped_between_two_seals)
  process.kill()
  process.communicate()
  (shop.parent / 'slow').unlink()
  process = _begin(_command(built_there), shop, '.cache-2')
  output = process.communicate(timeout=240)[0]
  assert process.returncode == 0, output
  assert 'resumes at step' in output and 'skipping' not in output
  assert tiny.results(there) == tiny.results(uninterrupted)
  assert not _checkpoints(there, sealed=False)


def test_processes_of_a_job_share_one_mirror(built_there, shop, uninterrupted):
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  job = [f'--coordinator=127.0.0.1:{port}', '--num_processes=2', '--epochs=1']
  processes = [
    _begin(
      _command(built_there, *job, f'--process_id={number}'),
      shop,
      f'.cache-{number}',  # as on machines of their own
    )
    for number in range(2)
  ]
  first, second = (process.communicate(timeout=240)[0] for process in processes)
  assert [process.returncode for process in processes] == [0, 0], first + second
  assert f'{URL}: upload complete' in first and URL not in second
  caches = [
    shop.parent / f'.cache-{number}' / 'imat_jax' for number in range(2)
  ]
  assert [(cache / 'remote').exists() for cache in caches] == [True, False]
  assert all(len(list(cache.glob('copies/*.lock'))) == 1 for cache in caches)
  mine, theirs = (
    tiny.results(shop / 'run')['rows'],
    tiny.results(uninterrupted)['rows'],
  )
  assert mine[0]['total'] == pytest.approx(theirs[0]['total'], rel=1e-4)


def _study(data_dir: str, place: str, seeds: int) -> str:
  output = io.StringIO()
  with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
    sweep.run_study(
      Study(
        data_dir=data_dir,
        workdir=place,
        models=('public_3m',),
        task_sets='apparel;apparel,age',
        seeds=seeds,
        epochs=1,
        batch_size=16,
        cache_on_device=True,
      )
    )
  return output.getvalue()


def test_a_study_in_a_bucket_resumes_elsewhere(
  built, built_there, shop, tmp_path, monkeypatch
):
  monkeypatch.setattr(presets, 'by_name', lambda name: tiny.SMALL)
  _study(built, str(tmp_path / 'here'), seeds=2)
  _study(built_there, 's3://shop/study', seeds=1)
  shutil.rmtree(files.cache_folder())
  storage.cached_download.cache_clear()
  trained = []
  fit = train_lib.fit
  monkeypatch.setattr(
    train_lib,
    'fit',
    lambda group, *rest, **options: (
      trained.append(group.runs[0].seed) or fit(group, *rest, **options)
    ),
  )
  _study(built_there, 's3://shop/study', seeds=2)
  assert trained == [1, 1]
  ours = sorted((tmp_path / 'here').glob('runs/*/*/*'))
  assert len(ours) == 4
  for path in ours:
    name = path.relative_to(tmp_path / 'here')
    assert tiny.results(shop / 'study' / name) == tiny.results(path)
    assert trained_model.load(f's3://shop/study/{name}').run.seed in (0, 1)
  assert (shop / 'study' / 'report.html').exists()
  assert not [p for p in shop.glob('study/groups/**/*') if p.is_file()]
