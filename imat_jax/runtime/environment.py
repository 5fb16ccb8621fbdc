"""The provenance of numbers: the command, the versions, the machine."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import shlex
import sys
from typing import Any

import jax

_PACKAGES = ('imat_jax', 'jax', 'flax', 'optax', 'orbax-checkpoint', 'numpy')


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
  try:
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
    names = [x.partition(': ')[2] for x in lines if x.startswith('model name')]
  except OSError:
    names = []
  return names[0] if names else platform.machine()


def _memory() -> float:
  pages = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  return round(pages / 2**30, 1)
