"""Calls in worker processes: results, CPU time limits, exclusive sections."""

import concurrent.futures
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from imat_jax.data import bounded


def test_a_call_gives_what_the_function_returns_or_raises():
  assert bounded.call(divmod, 7, 2) == (3, 1)
  with pytest.raises(ZeroDivisionError):
    bounded.call(divmod, 1, 0)
  assert bounded.call(os.getpid) != os.getpid()


def _nap() -> int:
  time.sleep(1)
  return os.getpid()


def test_a_process_serves_many_calls_and_one_thread():
  assert bounded.call(os.getpid) == bounded.call(os.getpid)
  with concurrent.futures.ThreadPoolExecutor(3) as pool:
    calls = [pool.submit(bounded.call, _nap) for _ in range(3)]
  assert len({call.result() for call in calls}) == 3


def test_what_counts_is_cpu_time():
  """Not the clock: on a busy machine a call may take long."""
  assert bounded.call(time.sleep, bounded.SECONDS + 0.5) is None
  started = time.monotonic()
  with pytest.raises(bounded.TooSlowError):
    bounded.call(pow, 3, 10**9)  # minutes, and no signal handler runs in it
  assert time.monotonic() - started < 30
  assert bounded.call(abs, -1) == 1


def test_a_call_that_crashes_is_tried_twice():
  with pytest.raises(bounded.CrashError):
    bounded.call(signal.raise_signal, signal.SIGSEGV)
  assert bounded.call(abs, -1) == 1


def test_a_process_that_was_killed_while_it_waited_costs_nothing():
  os.kill(bounded.call(os.getpid), signal.SIGKILL)
  assert bounded.call(abs, -1) == 1


def _loaded() -> set[str]:
  from imat_jax.data import preprocess

  assert preprocess
  return {'jax', 'flax', 'grain', 'tensorflow'} & set(sys.modules)


def test_a_process_loads_no_more_than_it_needs():
  assert bounded.call(_loaded) == set()


def _take_turn(log: str) -> None:
  with bounded.exclusive(), open(log, 'a') as file:
    for word in ('in', 'out'):
      file.write(f'{word} ')
      file.flush()
      time.sleep(0.2)


def test_one_at_a_time(tmp_path):
  """So the memory of all processes together is bounded."""
  log = str(tmp_path / 'log')
  with concurrent.futures.ThreadPoolExecutor(3) as pool:
    list(pool.map(bounded.call, [_take_turn] * 3, [log] * 3))
  assert pathlib.Path(log).read_text() == 'in out ' * 3


_CALLER = """
import os, signal
from imat_jax.data import bounded
print(bounded.call(os.getpid), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not os.path.exists('/proc/self'), reason='no /proc')
def test_a_process_ends_with_its_caller():
  """Which is a script without a main guard, too."""
  done = subprocess.run(
    [sys.executable, '-c', _CALLER], capture_output=True, text=True
  )
  end = time.monotonic() + 10
  while _is_alive(int(done.stdout)):
    assert time.monotonic() < end
    time.sleep(0.05)


def _is_alive(pid: int) -> bool:
  try:
    stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
  except FileNotFoundError:
    return False
  return stat.rpartition(')')[2].split()[0] != 'Z'
