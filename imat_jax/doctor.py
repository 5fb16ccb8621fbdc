"""Checks whether this machine can train, and what prevents it.

  python -m imat_jax.doctor
  python -m imat_jax.doctor --data_dir=data/built --workdir=runs/first

checks versions, devices and their memory, times a matrix product, writes a file
to the workdir, and opens the data set. Prints a line per check; problems that
would prevent a run begin with `wrong:`, and the exit status is then 1. Run it
first on a new machine.
"""

import dataclasses
import os
import pathlib
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

from imat_jax import config, errors, options
from imat_jax.data import source
from imat_jax.models import kernels
from imat_jax.runtime import environment, files, storage
from imat_jax.training import sharding

_MIN_FREE = 2**30  # bytes; a run with its checkpoints takes a tenth of it
_SIDE = 2048  # of the matrices
_SHARED_MEMORY = pathlib.Path('/dev/shm')
_MIN_SHARED_MB = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Doctor(options.Config):
  """Options of `imat_jax.doctor`."""

  data_dir: str = config.place('a data set to open', '')
  workdir: str = config.place('a folder to write to', '')


@dataclasses.dataclass(frozen=True)
class Finding:
  """A check: its name, the result, and the problem, if any."""

  what: str
  seen: str
  wrong: str = ''

  def __str__(self) -> str:
    mark = 'wrong' if self.wrong else 'ok'
    text = '; '.join(filter(None, (self.seen, self.wrong)))
    return f'{mark + ":":7}{self.what + ":":13}{errors.printable(text)}'


def main(config: Doctor) -> None:
  """Prints the findings; raises if any is a problem."""
  num_problems = 0
  for finding in examine(config):
    print(finding, flush=True)
    num_problems += bool(finding.wrong)
  if num_problems:
    problems = 'problem' if num_problems == 1 else 'problems'
    raise errors.UserError(
      f'{num_problems} {problems} would prevent a run; each line above says '
      'how to fix it'
    )


def examine(config: Doctor) -> Iterator[Finding]:
  """The findings, one by one: some take seconds."""
  versions = environment.versions().items()
  yield Finding('versions', ', '.join(f'{name} {v}' for name, v in versions))
  hardware = environment.machine()
  yield Finding(
    'machine',
    f'{platform.system()} {platform.machine()}, {hardware["processor"]}, '
    f'{hardware["cores"]} cores, {hardware["memory_gib"]} GiB',
  )
  devices = _checked('devices', _devices)
  yield devices
  if not devices.wrong:
    if jax.default_backend() == 'cpu':
      missing = kernels.note()
      yield Finding('kernels', missing or 'compiled ones for this CPU')
    yield Finding('speed', _speed())
  if _SHARED_MEMORY.is_dir():
    yield Finding('/dev/shm', _shared_memory())
  if config.workdir:
    yield from _workdir(config.workdir)
  if config.data_dir:
    yield _checked('data set', lambda: _open(config.data_dir))


def _checked(what: str, check: Callable[[], str]) -> Finding:
  try:
    return Finding(what, check())
  except errors.UserError as error:
    return Finding(what, '', str(error))
  except OSError as error:
    return Finding(what, '', f'{error.filename}: {error.strerror}')


def _devices() -> str:
  sharding.check_devices()
  devices = jax.devices()
  kinds = sorted({device.device_kind for device in devices})
  summary = f'{len(devices)} × {", ".join(kinds)} ({jax.default_backend()})'
  memory = (devices[0].memory_stats() or {}).get('bytes_limit')
  if memory:
    summary += f', {memory / 2**30:.1f} GiB each for jax'
  if idle := _idle_accelerator():
    raise errors.UserError(f'{summary}; {idle}')
  return summary


def _shared_memory() -> str:
  megabytes = shutil.disk_usage(_SHARED_MEMORY).free // 10**6
  summary = f'{megabytes:,} MB free'
  if megabytes < _MIN_SHARED_MB:
    summary += (
      '; too little for --loader_processes: in a container, use docker run '
      '--shm-size=2g'
    )
  return summary


def _idle_accelerator() -> str:
  """A message if there is a GPU or TPU that jax does not use, else ''."""
  if jax.default_backend() != 'cpu':
    return ''
  if os.environ.get('JAX_PLATFORMS') == 'cpu':
    return ''  # the user's choice
  gpu, tpu = pathlib.Path('/dev/nvidiactl'), pathlib.Path('/dev/accel0')
  for path, extra in ((gpu, 'gpu'), (tpu, 'tpu')):
    if path.exists():
      return (
        f'{path} exists, but jax does not use it: pip install -c '
        f"requirements.lock -e '.[{extra}]'"
      )
  return ''


def _speed() -> str:
  matrix = jnp.ones((_SIDE, _SIDE), jnp.float32)
  multiply = jax.jit(lambda x: x @ x)
  seconds = []
  for _ in range(6):
    start = time.perf_counter()
    jax.block_until_ready(multiply(matrix))
    seconds.append(time.perf_counter() - start)
  rate = 2 * _SIDE**3 / statistics.median(seconds[1:])
  return (
    f'{rate / 1e12:.2f} TFLOP/s in a float32 product of {_SIDE} × {_SIDE}; '
    f'the first took {seconds[0]:.1f} s'
  )


def _workdir(workdir: str) -> Iterator[Finding]:
  if files.is_url(workdir):
    yield _checked('bucket', lambda: _write_to(workdir))
    workdir = files.working_folder(workdir)
  yield _checked('workdir', lambda: _write_in(pathlib.Path(workdir)))


def _write_to(url: str) -> str:
  start = time.perf_counter()
  storage.RemoteDir(url).check()
  return (
    f'{url}: wrote and removed a file in {time.perf_counter() - start:.1f} s'
  )


def _write_in(workdir: pathlib.Path) -> str:
  workdir.mkdir(parents=True, exist_ok=True)
  with tempfile.NamedTemporaryFile(dir=workdir, prefix='.doctor-') as file:
    start = time.perf_counter()
    file.write(bytes(2**24))
    file.flush()
    os.fsync(file.fileno())
    rate = 2**24 / (time.perf_counter() - start)
  free = shutil.disk_usage(workdir).free
  summary = f'{workdir}: {free / 2**30:.1f} GiB free, {rate / 1e6:,.0f} MB/s'
  if free < _MIN_FREE:
    raise errors.UserError(f'{summary}; free some space for checkpoints')
  return summary


def _open(data_dir: str) -> str:
  metadata = source.read_metadata(data_dir)
  task_set = source.read_tasks(data_dir)
  for split in metadata['num_examples']:
    source.Source(data_dir, split, task_set)[0]
  counts = metadata['num_examples'].items()
  photos = ', '.join(f'{number:,} {split}' for split, number in counts)
  return (
    f'{data_dir}: {photos} photos for {metadata["image_size"]} pixels, '
    f'{len(task_set)} tasks, fingerprint {metadata["fingerprint"][:12]}'
  )


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, Doctor)
