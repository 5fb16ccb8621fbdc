"""The processes of one job, on one machine or many.

All run the same program on their own part of each batch. Only the first, the
primary, writes and prints; it broadcasts what it reads from its folder, so they
need no shared disk.
"""

import atexit
import contextlib
import importlib.util
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from imat_jax import config, errors
from imat_jax.runtime import progress

Tree = TypeVar('Tree')

# How jax's errors after a lost connection begin; some are ValueErrors.
_LOST_CONNECTION = re.compile(
  '(ABORTED|CANCELLED|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|UNKNOWN): '
)
_SHUTDOWN_TIMEOUT_S = 10  # that a process waits for the others at its end
_SYNC_EVERY_STEPS = 16  # steps between two syncs of all processes
_PRIMARY_EXIT_DELAY_S = 3  # that the primary waits for others after an error

# Where one process of several dies, jax ends the others within the heartbeat
# time-out by an abort, which Python cannot catch. A small watcher process logs
# what that means.
_ABORT_MESSAGE = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
if not sys.stdin.read():
  print(sys.argv[1], file=sys.stderr)
"""


@contextlib.contextmanager
def initialize(cluster: config.Cluster) -> Iterator[None]:
  """Connects this process to the others of its job; a no-op for a single one.

  Must be entered before jax is used.

  Raises:
    UserError: another process cannot be reached, or has ended.
  """
  if not (cluster.coordinator or _is_detected()):
    yield
    return
  with _log_on_abort():
    _initialize(cluster)
    if not is_primary():
      progress.silence()
    try:
      yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
      _exit_without_waiting(1)
      if not _LOST_CONNECTION.match(str(error)):
        raise
      raise errors.UserError(_lost_process(errors.first_line(error))) from error
    except errors.Interrupted:  # in all processes, at the same step
      jax.distributed.shutdown()
      raise
    except BaseException:
      _exit_without_waiting(1)
      raise
    jax.distributed.shutdown()


def is_primary() -> bool:
  """Whether this is the first process, or the only one."""
  return jax.process_index() == 0


def broadcast_from_primary(call: Callable[[], Any]) -> Any:
  """Runs `call` in the primary; returns its result, JSON, in all processes.

  Raises:
    UserError: the one raised in the primary.
  """
  if jax.process_count() == 1:
    return call()
  result, error_message = None, None
  if is_primary():
    try:
      result = call()
    except errors.UserError as error:
      error_message = str(error)
  result, error_message = json.loads(
    _broadcast(json.dumps([result, error_message]))
  )
  if error_message is not None:
    raise errors.UserError(error_message)
  return result


def broadcast_arrays(tree: Tree | None, shapes: Tree) -> Tree:
  """The primary's arrays in all processes, bit-exact.

  Args:
    tree: numpy arrays; None in the other processes.
    shapes: their shapes and types.
  """
  if jax.process_count() == 1:
    return tree
  leaves, structure = jax.tree.flatten(shapes)
  sent = [np.empty(leaf.shape, leaf.dtype) for leaf in leaves]
  if is_primary():
    sent = jax.tree.leaves(tree)
  # As bytes: jax adds zeros to what it broadcasts, which changes a -0.
  as_bytes = [np.frombuffer(leaf.tobytes(), np.uint8) for leaf in sent]
  buffers = [
    part.tobytes() for part in multihost_utils.broadcast_one_to_all(as_bytes)
  ]
  return structure.unflatten(
    np.frombuffer(part, leaf.dtype).reshape(leaf.shape)
    for part, leaf in zip(buffers, leaves, strict=True)
  )


def is_sync_step(step: int) -> bool:
  """Whether all processes sync before this step, which costs a wait."""
  return jax.process_count() == 1 or step % _SYNC_EVERY_STEPS == 0


def any_preempted(step: int, number: int) -> int:
  """The largest signal number of any process, in all of them; 0 for none."""
  if not is_sync_step(step):
    return 0
  if jax.process_count() == 1:
    return number
  return int(multihost_utils.process_allgather(np.int32(number)).max())


def _broadcast(text: str) -> str:
  size = np.array([len(text.encode())], np.int32)
  (size,) = multihost_utils.broadcast_one_to_all(size)
  sent = np.zeros(size, np.uint8)
  if is_primary():
    sent = np.frombuffer(text.encode(), np.uint8)
  return multihost_utils.broadcast_one_to_all(sent).tobytes().decode()


def _is_detected() -> bool:
  """Whether the environment shows that this process is one of a job."""
  if int(os.environ.get('SLURM_STEP_NUM_TASKS', '1')) > 1:
    return True
  accelerators = pathlib.Path('/dev/accel0'), pathlib.Path('/dev/vfio/0')
  return (
    importlib.util.find_spec('libtpu') is not None
    and os.environ.get('JAX_PLATFORMS') != 'cpu'
    and any(path.exists() for path in accelerators)
  )


def _initialize(cluster: config.Cluster) -> None:
  options = {}
  if cluster.coordinator:
    options = {
      'coordinator_address': cluster.coordinator,
      'num_processes': cluster.num_processes,
      'process_id': cluster.process_id,
      'cluster_detection_method': 'deactivate',
    }
  # Otherwise jax would handle SIGTERM, as `runtime.preemption` does.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    jax.distributed.initialize(
      **options,
      initialization_timeout=cluster.heartbeat_seconds,
      heartbeat_timeout_seconds=cluster.heartbeat_seconds,
      shutdown_timeout_seconds=_SHUTDOWN_TIMEOUT_S,
    )
  except (RuntimeError, ValueError) as error:
    raise errors.UserError(_lost_process(errors.first_line(error))) from error


def _exit_without_waiting(status: int) -> None:
  """Makes this process exit without waiting for the others, which may hang.

  The primary exits last: without it jax aborts the others, which may have
  something to log themselves.
  """
  atexit.register(os._exit, status)
  if is_primary():
    atexit.register(time.sleep, _PRIMARY_EXIT_DELAY_S)


def _lost_process(reason: str) -> str:
  return (
    f'a process of this job died or is unreachable ({reason}); see its last '
    'log line, then restart all processes: they resume from the last checkpoint'
  )


@contextlib.contextmanager
def _log_on_abort() -> Iterator[None]:
  """Logs a line if jax aborts this process."""
  message = _lost_process('heartbeat timeout')
  name = f'pid {os.getpid()} on {socket.gethostname()}'
  watcher = subprocess.Popen(
    [sys.executable, '-c', _ABORT_MESSAGE, f'{name}: ended: {message}'],
    stdin=subprocess.PIPE,
    start_new_session=True,
  )
  try:
    yield
  finally:
    watcher.communicate(b'clean exit')
