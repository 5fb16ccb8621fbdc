"""The contestant's side of `benchmarks/duel.py`, for every environment.

A worker is a program that sets itself up, warms up and prints a JSON line
`{"ready": {"versions": {…}}}`. Then each line on stdin asks for one repetition,
answered by `{"seconds": s, "count": n, "peak_mib": m}`; it leaves at the end of
stdin. Whatever else its libraries print goes to stderr. Standard library only.
"""

import argparse
import json
import os
import platform
import resource
import sys
import time


def arguments(about: str) -> argparse.ArgumentParser:
  """The flags that all workers have."""
  parser = argparse.ArgumentParser(
    description=about, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    '--what', choices=('step', 'input', 'epoch'), required=True
  )
  parser.add_argument('--tasks', type=int, default=1, choices=range(1, 6))
  parser.add_argument(
    '--geometry', choices=('report', 'original'), default='report'
  )
  parser.add_argument('--source', choices=('jpeg', 'memory'), default='jpeg')
  parser.add_argument('--batch_size', type=int, default=128)
  return parser


def peer_arguments(about: str) -> argparse.ArgumentParser:
  """With the flags of those who read the photos as they were downloaded."""
  parser = arguments(about)
  parser.add_argument('--annotations', help='folder of the Kaggle files')
  parser.add_argument('--images', help='has train/ID.jpg')
  return parser


def serve(prepare) -> None:
  """Speaks the protocol on stdout until stdin ends.

  Args:
    prepare: sets up and warms up; returns the versions of what it uses and a
      function that does one repetition and gives its number of photos.
  """
  replies = os.fdopen(os.dup(sys.stdout.fileno()), 'w')
  os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
  versions, repeat = prepare()
  versions = {'python': platform.python_version(), **versions}
  _reply(replies, {'ready': {'versions': versions}})
  for _ in sys.stdin:
    start = time.perf_counter()
    count = repeat()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    reply = {'seconds': seconds, 'count': count, 'peak_mib': round(peak, 1)}
    _reply(replies, reply)


def _reply(replies, value: dict) -> None:
  replies.write(json.dumps(value) + '\n')
  replies.flush()
