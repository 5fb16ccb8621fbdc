"""Times programs against each other in one run: one repetition each in turn.

  python -m benchmarks.duel --repetitions=7 \\
    --contestant='ours=python -m benchmarks.ours_worker --what=step' \\
    --contestant='keras=keras-env/bin/python benchmarks/peers/keras_worker.py
    --what=step'

The first contestant is what the others are compared with. Each is a program of
its own environment that speaks the protocol of `benchmarks/peers/worker.py`;
all are set up and warm before the first repetition. Prints a markdown table:
medians, and the ratio to the first taken pair by pair. Standard library only.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

REST_SECONDS = 0.5
HEAD = ('contestant', 'seconds', 'photos/s', 'times the first', 'peak MiB')


class Died(Exception):
  """A contestant gave no answer; `str()` says why."""


@dataclasses.dataclass(frozen=True)
class Contestant:
  """A program that speaks the protocol, and what it adds to the environment."""

  name: str
  command: Sequence[str]
  environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Result:
  """What a contestant did; `died` says why it did not finish."""

  name: str
  versions: dict = dataclasses.field(default_factory=dict)
  repetitions: list[dict] = dataclasses.field(default_factory=list)
  died: str = ''

  @property
  def seconds(self) -> list[float]:
    return [repetition['seconds'] for repetition in self.repetitions]


class Running:
  """A contestant at work."""

  def __init__(self, contestant: Contestant, log: pathlib.Path, timeout: float):
    self._log, self._timeout = log, timeout
    self.result = Result(contestant.name)
    with log.open('w') as stderr:
      self._process = subprocess.Popen(
        contestant.command,
        env=os.environ | contestant.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
      )

  def get_ready(self) -> None:
    with self._noting_death():
      self.result.versions = self._read()['ready']['versions']

  def repeat(self) -> None:
    """One repetition; nothing where the contestant is dead."""
    if self.result.died:
      return
    with self._noting_death():
      # The threads of the one before may spin for a while, above all OpenMP's.
      time.sleep(REST_SECONDS)
      self._process.stdin.write('\n')
      self._process.stdin.flush()
      self.result.repetitions.append(self._read())

  def leave(self) -> None:
    with contextlib.suppress(OSError):
      self._process.stdin.close()
    try:
      self._process.wait(20)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    self._process.stdout.close()

  @contextlib.contextmanager
  def _noting_death(self):
    try:
      yield
    except (OSError, ValueError, KeyError, Died) as error:
      self.result.died = self._why(error)
      print(self.result.died, file=sys.stderr, flush=True)

  def _read(self) -> dict:
    timer = threading.Timer(self._timeout, self._process.kill)
    timer.start()
    try:
      line = self._process.stdout.readline()
    finally:
      timer.cancel()
    if not line:
      raise Died('no answer')
    return json.loads(line)

  def _why(self, error: Exception) -> str:
    with contextlib.suppress(subprocess.TimeoutExpired):
      self._process.wait(5)
    status = self._process.poll()
    lines = self._log.read_text(errors='replace').split('\n')
    last = [line.strip() for line in lines if line.strip()][-1:]
    return (
      f'{self.result.name} died (status {status}, {error}): '
      f'{"".join(last) or "no output"} (all of it: {self._log})'
    )


def run(
  contestants: Sequence[Contestant], repetitions: int, timeout: float
) -> list[Result]:
  """Lets the contestants repeat in turn; one that dies leaves the others.

  Args:
    contestants: the first is what the others are compared with.
    repetitions: of each.
    timeout: seconds after which a silent contestant is ended.
  """
  logs = pathlib.Path(tempfile.mkdtemp(prefix='duel-'))
  running = []
  try:
    for contestant in contestants:
      log = logs / f'{contestant.name.replace(" ", "-")}.log'
      running.append(Running(contestant, log, timeout))
      running[-1].get_ready()  # one after the other: no warm-up beside another
    for _ in range(repetitions):
      for one in running:
        one.repeat()
  finally:
    for one in running:
      one.leave()
  return [one.result for one in running]


def ratio(first: Result, other: Result) -> float | None:
  """The median over the rounds of other's seconds by the first's."""
  pairs = list(zip(first.seconds, other.seconds, strict=False))
  return statistics.median(b / a for a, b in pairs) if pairs else None


def rows(results: Sequence[Result]) -> list[list[str]]:
  """A row of the table for each contestant, under `HEAD`."""
  return [_row(results[0], result) for result in results]


def _row(first: Result, result: Result) -> list[str]:
  if result.died or not result.repetitions:
    return [result.name, 'died', '', '', '']
  seconds = statistics.median(result.seconds)
  rate = statistics.median(
    r['count'] / r['seconds'] for r in result.repetitions
  )
  times = ratio(first, result)
  peak = max(repetition['peak_mib'] for repetition in result.repetitions)
  return [
    result.name,
    f'{seconds:.3f}',
    f'{rate:,.0f}',
    '' if times is None else f'{times:.2f}',
    f'{peak:,.0f}',
  ]


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
  """Markdown."""
  lines = [head, ['---'] * len(head), *body]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def about(results: Iterable[Result]) -> str:
  """The machine, and the versions of each contestant."""
  parts = [f'{os.cpu_count()} cores of {_processor()}, {_memory()}']
  seen = {}
  for result in results:
    seen.setdefault(result.name, result.versions)
  for name, versions in seen.items():
    shown = ' '.join(f'{k} {v}' for k, v in versions.items())
    parts.append(f'{name}: {shown or "died"}')
  return '; '.join(parts)


def _processor() -> str:
  with contextlib.suppress(OSError):
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
      if line.startswith('model name'):
        return line.partition(':')[2].strip()
  return platform.machine()


def _memory() -> str:
  size = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  return f'{size / 2**30:.0f} GiB'


class Report:
  """Collects the duels of one driver; prints and keeps them."""

  def __init__(self, flags: argparse.Namespace, title: str):
    self._flags, self._title = flags, title
    self._duels: dict[str, list[Result]] = {}

  def duel(self, label: str, contestants: Sequence[Contestant]) -> None:
    print(f'{label} …', file=sys.stderr, flush=True)
    self._duels[label] = run(
      contestants, self._flags.repetitions, self._flags.timeout
    )

  def finish(self) -> int:
    """Prints the table, writes `--json`; returns the exit status."""
    body = [
      [label, *row]
      for label, results in self._duels.items()
      for row in rows(results)
    ]
    results = [r for of_duel in self._duels.values() for r in of_duel]
    print(table((self._title, *HEAD), body))
    print(f'\nMedians of {self._flags.repetitions} in turn. {about(results)}.')
    if self._flags.json:
      self._write(pathlib.Path(self._flags.json))
    return int(any(result.died for result in results))

  def _write(self, path: pathlib.Path) -> None:
    content = {
      label: [dataclasses.asdict(result) for result in results]
      for label, results in self._duels.items()
    }
    path.write_text(json.dumps(content, indent=2) + '\n')


def flag_parser(about: str) -> argparse.ArgumentParser:
  """Its help shows a module's description as it is written."""
  return argparse.ArgumentParser(
    description=about, formatter_class=argparse.RawDescriptionHelpFormatter
  )


def arguments(about: str) -> argparse.ArgumentParser:
  """The flags of everything that runs duels."""
  parser = flag_parser(about)
  parser.add_argument('--repetitions', type=int, default=7)
  parser.add_argument(
    '--timeout',
    type=float,
    default=300,
    help='seconds after which a silent contestant is ended',
  )
  parser.add_argument('--json', help='file for every single repetition')
  return parser


def main() -> int:
  parser = arguments(__doc__)
  parser.add_argument(
    '--contestant', action='append', required=True, metavar='NAME=COMMAND'
  )
  flags = parser.parse_args()
  contestants = []
  for given in flags.contestant:
    name, _, command = given.partition('=')
    contestants.append(Contestant(name, shlex.split(command)))
  report = Report(flags, 'duel')
  report.duel('given', contestants)
  return report.finish()


if __name__ == '__main__':
  sys.exit(main())
