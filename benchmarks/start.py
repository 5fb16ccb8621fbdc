"""Times the way from a command's start to its first finished step.

  python -m benchmarks.start --data_dir=data/built [--repetitions=5]

Seconds from launching `experiments.public_3m` to the first finished step, with
a cold and with a warm compilation cache in turn, and of `--help`. The run has a
terminal for its progress bar: when the bar shows a second step begun, the first
one is done, since the loop keeps one step ahead of the device.
"""

import os
import pty
import re
import statistics
import subprocess
import tempfile
import termios
import time

from benchmarks import duel
from benchmarks.memory import COMMAND

_BAR = re.compile(r'(\d+)/\d+ \[')


def main() -> None:
  parser = duel.flag_parser(__doc__)
  parser.add_argument('--data_dir', required=True)
  parser.add_argument('--repetitions', type=int, default=5)
  flags = parser.parse_args()
  seconds_by_kind = {'--help': [], 'cold cache': [], 'warm cache': []}
  help_seconds()  # brings the files into memory
  for _ in range(flags.repetitions):
    seconds_by_kind['--help'].append(help_seconds())
    with tempfile.TemporaryDirectory() as cache:
      for kind in ('cold cache', 'warm cache'):
        seconds_by_kind[kind].append(first_step_seconds(flags.data_dir, cache))
  body = [
    [kind, f'{statistics.median(seconds):.2f}', f'{min(seconds):.2f}']
    for kind, seconds in seconds_by_kind.items()
  ]
  print(duel.table(('start', 'seconds', 'least'), body))
  print(f'\nMedians of {flags.repetitions}. {duel.about(())}.')


def help_seconds() -> float:
  start = time.perf_counter()
  command = [*COMMAND, '--help']
  subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
  return time.perf_counter() - start


def first_step_seconds(data_dir: str, cache: str) -> float:
  """Starts a run with this compilation cache; ends it at its second step."""
  environment = os.environ | {
    'JAX_COMPILATION_CACHE_DIR': cache,
    'TQDM_MININTERVAL': '0',
  }
  with tempfile.TemporaryDirectory() as workdir:
    start = time.perf_counter()
    terminal, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(
      [*COMMAND, f'--data_dir={data_dir}', f'--workdir={workdir}/run'],
      env=environment,
      stdin=subprocess.DEVNULL,
      stdout=subprocess.DEVNULL,
      stderr=theirs,
    )
    os.close(theirs)
    try:
      wait_for_step(terminal, 2)
      return time.perf_counter() - start
    finally:
      process.kill()
      process.wait()
      os.close(terminal)


def wait_for_step(terminal: int, step: int) -> None:
  """Reads the bar until it shows that step."""
  shown = ''
  while True:
    try:
      shown += os.read(terminal, 65536).decode(errors='replace')
    except OSError:  # the run has left its terminal
      raise SystemExit(f'the run ended before step {step}:\n{shown}') from None
    if any(int(done) >= step for done in _BAR.findall(shown)):
      return


if __name__ == '__main__':
  main()
