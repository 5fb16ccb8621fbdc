"""Measures one job of several processes on this machine, over loopback.

  python -m benchmarks.processes --data_dir=data/built [--processes=1,2,4]

Runs `experiments.public_3m` in so many processes at once, each on one core (in
turn, where there are fewer), once with a global batch of 128 for all (strong
scaling) and once with 64 more for each (weak). Prints the photos per second of
an epoch, and beside it how long the processes take for nothing but the sum of
the gradients, which each step has to wait for.
"""

import argparse
import itertools
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks import duel

STRONG, WEAK = 128, 64  # photos: of all processes, and of each
PARAMS = 3_000_000
HEAD = ('processes', 'batch', 'photos/s', 'times one', 'a step', 'sum alone')


def main() -> None:
  parser = duel.flag_parser(__doc__)
  parser.add_argument('--data_dir', help='the built data set')
  parser.add_argument('--processes', default='1,2,4')
  parser.add_argument('--epochs', type=int, default=4, help='of each run')
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--join', help=argparse.SUPPRESS)
  flags = parser.parse_args()
  if flags.join:
    print(sum_seconds(*flags.join.split(',')))
    return
  counts = [int(count) for count in flags.processes.split(',')]
  # Gloo has a line of its own before ours.
  sums = {
    count: float(together(count, sum_command).splitlines()[-1])
    for count in counts
  }
  for title, batch in (
    ('strong scaling', lambda count: STRONG),
    ('weak scaling', lambda count: WEAK * count),
  ):
    rates = {count: [] for count in counts}
    for _ in range(flags.rounds):
      for count in counts:
        rates[count].append(photos_per_second(flags, count, batch(count)))
    medians = {count: statistics.median(rates[count]) for count in counts}
    body = [
      [
        str(count),
        str(batch(count)),
        f'{medians[count]:,.0f}',
        f'{medians[count] / medians[counts[0]]:.2f}',
        f'{1e3 * batch(count) / medians[count]:,.0f} ms',
        f'{1e3 * sums[count]:,.0f} ms',
      ]
      for count in counts
    ]
    print(f'{title}\n\n{duel.table(HEAD, body)}\n')
  print(f'{duel.about(())}.')


def photos_per_second(
  flags: argparse.Namespace, count: int, batch_size: int
) -> float:
  """The median of the epochs after the first, which compiles."""
  with tempfile.TemporaryDirectory() as folder:
    together(
      count,
      lambda address, count, number: [
        *('-m', 'experiments.public_3m'),
        f'--data_dir={flags.data_dir}',
        f'--workdir={folder}/run',
        f'--epochs={flags.epochs}',
        f'--batch_size={batch_size}',
        *('--save_seconds=0', '--save_steps=0'),
        *joining(address, count, number),
      ],
    )
    lines = (pathlib.Path(folder) / 'run/metrics.jsonl').read_text()
  rows = [json.loads(line) for line in lines.splitlines()]
  return statistics.median(row['examples_per_second'] for row in rows[1:])


def joining(address: str, count: int, number: int) -> list[str]:
  if count == 1:
    return []
  return [
    f'--coordinator={address}',
    f'--num_processes={count}',
    f'--process_id={number}',
  ]


def sum_command(address: str, count: int, number: int) -> list[str]:
  return ['-m', 'benchmarks.processes', f'--join={address},{count},{number}']


def together(count: int, command) -> str:
  """Runs a job of so many processes; returns what the first of them prints."""
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    address = f'127.0.0.1:{free.getsockname()[1]}'
  cores = itertools.cycle(sorted(os.sched_getaffinity(0)))
  jobs = [
    subprocess.Popen(
      ['taskset', '--cpu-list', str(next(cores)), sys.executable]
      + command(address, count, number),
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      env=os.environ | {'JAX_PLATFORMS': 'cpu'},
      text=True,
    )
    for number in range(count)
  ]
  said = [job.communicate()[0] for job in jobs]
  if any(job.returncode for job in jobs):
    raise SystemExit(f'a job of {count} processes failed')
  return said[0]


def sum_seconds(address: str, count: str, number: str) -> float:
  """The median time of a sum of public 3M's gradients over the processes."""
  import jax
  import jax.numpy as jnp
  from jax.sharding import AxisType, Mesh, PartitionSpec

  if int(count) > 1:
    jax.distributed.initialize(address, int(count), int(number))
  mesh = Mesh(jax.devices(), ('data',), axis_types=(AxisType.Auto,))

  @jax.jit
  @jax.shard_map(
    mesh=mesh,
    in_specs=PartitionSpec(),
    out_specs=PartitionSpec(),
    check_vma=False,
  )
  def summed(gradient_P):
    return jax.lax.psum(gradient_P, 'data') / int(count)

  gradient_P = summed(jnp.ones(PARAMS))
  times = []
  for _ in range(30):
    start = time.perf_counter()
    gradient_P = summed(gradient_P).block_until_ready()
    times.append(time.perf_counter() - start)
  if int(count) > 1:
    jax.distributed.shutdown()
  return statistics.median(times)


if __name__ == '__main__':
  main()
