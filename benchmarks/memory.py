"""Measures the memory of a training run, epoch by epoch.

  python -m benchmarks.memory --data_dir=data/built [--epochs=5] [-- flags]

Runs `experiments.public_3m` and samples the resident memory of its process ten
times a second: what it holds at the end of each epoch, the most that was seen
during it, and the kernel's own peak. Whatever follows `--` goes to the run.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

from benchmarks import duel

COMMAND = (sys.executable, '-m', 'experiments.public_3m')


def main() -> None:
  parser = duel.flag_parser(__doc__)
  parser.add_argument('--data_dir', required=True)
  parser.add_argument('--epochs', type=int, default=5)
  parser.add_argument('rest', nargs='*', help='flags of the run')
  flags = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    workdir = pathlib.Path(folder) / 'run'
    command = [
      *COMMAND,
      f'--data_dir={flags.data_dir}',
      f'--workdir={workdir}',
      f'--epochs={flags.epochs}',
      *flags.rest,
    ]
    metrics = workdir / 'metrics.jsonl'
    samples, peak = sampled(command, metrics)
    body = rows(samples, finished_epochs(metrics))
  print(duel.table(('epoch', 'MiB at its end', 'most MiB'), body))
  print(f'\nThe kernel saw {peak:,.0f} MiB at most. {duel.about(())}.')


def sampled(
  command: list[str], metrics: pathlib.Path
) -> tuple[list[tuple[int, float]], float]:
  """Runs it; returns (finished epochs, MiB) of each sample, and the peak."""
  samples, peak = [], 0.0
  process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
  try:
    while process.poll() is None:
      resident, highest = memory(process.pid)
      if resident:
        samples.append((finished_epochs(metrics), resident))
      peak = max(peak, highest)
      time.sleep(0.1)
  finally:
    process.kill()
    process.wait()
  if process.returncode:
    raise SystemExit(f'the run ended with status {process.returncode}')
  return samples, peak


def memory(pid: int) -> tuple[float, float]:
  """MiB now and at most; zeros for a process that is ending."""
  size_by_name = {'VmRSS': 0.0, 'VmHWM': 0.0}
  for line in pathlib.Path(f'/proc/{pid}/status').read_text().splitlines():
    name, _, value = line.partition(':')
    if name in size_by_name:
      size_by_name[name] = int(value.split()[0]) / 1024
  return size_by_name['VmRSS'], size_by_name['VmHWM']


def finished_epochs(metrics: pathlib.Path) -> int:
  return metrics.read_text().count('\n') if metrics.exists() else 0


def rows(samples: list[tuple[int, float]], epochs: int) -> list[list[str]]:
  """A row per epoch; after the last one the run evaluates and reports."""
  by_epoch: dict[int, list[float]] = {}
  for epochs, resident in samples:
    by_epoch.setdefault(epochs, []).append(resident)
  return [
    [
      'evaluation' if done == epochs else str(done + 1),
      f'{sizes[-1]:,.0f}',
      f'{max(sizes):,.0f}',
    ]
    for done, sizes in by_epoch.items()
  ]


if __name__ == '__main__':
  main()
