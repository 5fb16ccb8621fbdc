"""The compiled kernels for a CPU, where the installation could make them.

`setup.py` compiles the sources once per instruction set, so that what was built
on one machine runs on another; the best that this CPU has is loaded.
"""

import contextlib
import contextvars
import ctypes
import functools
import hashlib
import operator
import pathlib
from collections.abc import Callable, Iterator

import cv2
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

PARTS = 16  # of a batch, kParts in C++; a gradient's sums have them in front

# OpenCV's numbers: CV_CPU_AVX512_SKX, CV_CPU_AVX2.
_FEATURES = {'x86_64_v4': 256, 'x86_64_v3': 11, 'any': None}

_portable = contextvars.ContextVar('portable', default=False)


@contextlib.contextmanager
def portable() -> Iterator[None]:
  """What is traced within needs no kernel of ours where it will run."""
  token = _portable.set(True)
  try:
    yield
  finally:
    _portable.reset(token)


def is_portable() -> bool:
  """Whether this is traced within `portable`."""
  return _portable.get()


@functools.cache
def kernels() -> ctypes.CDLL | None:
  """The kernels for this CPU, or None."""
  path = _library()
  return path and ctypes.CDLL(str(path))


def _library() -> pathlib.Path | None:
  folder = pathlib.Path(__file__).parent
  for level, feature in _FEATURES.items():
    if feature is None or cv2.checkHardwareSupport(feature):
      for path in folder.glob(f'compiled_{level}.*'):
        return path
  return None


@functools.cache
def register(name: str) -> str | None:
  """Makes a kernel known to XLA.

  Returns:
    its name there, or None where there is no such kernel.
  """
  if kernels() is None or not hasattr(kernels(), name):
    return None
  handler = jax.ffi.pycapsule(getattr(kernels(), name))
  target = f'imat_jax_{name}'
  jax.ffi.register_ffi_target(target, handler, platform='cpu')
  return target


def available(name: str) -> bool:
  """Whether a kernel can be called here, as things are traced now."""
  on_cpu = jax.default_backend() == 'cpu'
  return on_cpu and not _portable.get() and register(name) is not None


def are_float32(*arrays: jax.Array) -> bool:
  """Whether they are what the kernels take: in half precision some are not."""
  return all(array.dtype == jnp.float32 for array in arrays)


def call(name: str, results: list, *arguments: jax.Array, **attributes):
  """Calls a kernel; results are pairs of a shape and a type."""
  return jax.ffi.ffi_call(
    register(name),
    [jax.ShapeDtypeStruct(*result) for result in results],
    vmap_method='sequential',
  )(*arguments, **attributes)


def total(sums: jax.Array) -> jax.Array:
  """The sum over parts of a batch, in their order.

  XLA's own sum of a few megabytes takes 20 times as long on a CPU.
  """
  return functools.reduce(operator.add, sums)


def on_each_device(
  kernel: Callable[..., jax.Array], batch: jax.Array, *whole: jax.Array
) -> jax.Array:
  """Calls it with each device's part of a batch, and all of what is whole.

  XLA can split its own operations over devices, but no compiled kernel.
  """
  mesh = jax.sharding.get_abstract_mesh()
  is_one = mesh.empty or mesh.size == 1 or mesh.are_all_axes_manual  # within
  if is_one or len(batch) % mesh.size:  # as the one picture of `init`
    return kernel(batch, *whole)
  spread = PartitionSpec(*mesh.axis_names)
  return jax.shard_map(
    kernel,
    in_specs=(spread, *(PartitionSpec() for _ in whole)),
    out_specs=spread,
    check_vma=False,
  )(batch, *whole)


def description() -> str:
  """Which kernels this process computes with, for the record."""
  path = _library()
  if jax.default_backend() != 'cpu' or path is None:
    return 'none'
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  return f'{path.name.split(".")[0]}, SHA-256 {digest[:16]}'


def note() -> str:
  """A line for a user whose CPU trains without the kernels, or nothing."""
  if jax.default_backend() != 'cpu' or kernels() is not None:
    return ''
  return (
    'no compiled kernels: training takes several times as long on this CPU; '
    'install a C++ compiler such as g++ and then imat_jax again'
  )
