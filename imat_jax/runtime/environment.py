"""The provenance of numbers: the command, the versions, the machine."""

import datetime
import functools
import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from typing import Any

import jax

_PACKAGES = (
  *('imat_jax', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy'),
)
# What compilers choose other instructions by, as Linux names it.
_CPU_FLAGS = (
  *('sse4_2', 'avx', 'f16c', 'fma', 'avx2', 'avx512f', 'avx512bw', 'avx512vl'),
  *('avx512_vnni', 'avx512_bf16', 'avx512_fp16', 'avx_vnni', 'amx_tile'),
  *('amx_bf16', 'asimd', 'sve', 'bf16'),
)


def describe() -> dict[str, Any]:
  """The provenance of this process's numbers."""
  return {
    'command': shlex.join(['python', *sys.orig_argv[1:]]),
    'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'versions': versions(),
    'hardware': {
      'device': jax.devices()[0].device_kind,
      'devices': jax.device_count(),
      **machine(),
    },
  }


def rounding() -> dict[str, Any]:
  """Everything of this process that may change the last digits of a number.

  One seed gives the same numbers again where all of it is the same.
  """
  return {
    'commit': _commit(),
    'versions': versions(),
    'processor': _processor(),
    'cpu_flags': _cpu_flags(),
    'threads': len(os.sched_getaffinity(0))
    if hasattr(os, 'sched_getaffinity')
    else os.cpu_count(),
    'device': jax.devices()[0].device_kind,
    'devices': jax.device_count(),
    'xla_flags': os.environ.get('XLA_FLAGS', ''),
  }


@functools.cache
def _commit() -> str | None:
  """Of the git checkout that the code is run from, if it is one."""
  folder = pathlib.Path(__file__).parent

  def git(*arguments: str) -> str:
    command = ['git', '--no-optional-locks', '-C', str(folder), *arguments]
    return subprocess.run(
      command, capture_output=True, check=True, text=True
    ).stdout.strip()

  try:
    # An environment of installed packages may lie in somebody's repository.
    git('ls-files', '--error-unmatch', pathlib.Path(__file__).name)
    changed = ' with changes' if git('status', '--porcelain', '-uno') else ''
    return git('rev-parse', 'HEAD') + changed
  except (OSError, subprocess.CalledProcessError):
    return None


@functools.cache
def versions() -> dict[str, str]:
  """Of Python and the packages that compute the numbers."""
  packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
  return {'python': platform.python_version()} | packages


def machine() -> dict[str, Any]:
  """The hardware, as far as it is known without jax."""
  return {
    'processor': _processor(),
    'cores': os.cpu_count(),
    'memory_gib': _memory(),
  }


def _processor() -> str:
  return _cpuinfo('model name') or platform.machine()


def _cpu_flags() -> list[str]:
  flags = (_cpuinfo('flags') or _cpuinfo('Features')).split()
  return [flag for flag in _CPU_FLAGS if flag in flags]


def _cpuinfo(key: str) -> str:
  """Of the first core; empty where the system does not tell."""
  try:
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
  except OSError:
    return ''
  values = [x.partition(': ')[2] for x in lines if x.startswith(key)]
  return values[0] if values else ''


def _memory() -> float:
  pages = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  return round(pages / 2**30, 1)
