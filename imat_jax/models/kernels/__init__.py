"""The compiled kernels for a CPU, where the installation could make them.

`setup.py` compiles `conv_pool.cc` once per instruction set, so that what was
built on one machine runs on another; the best that this CPU has is loaded.
"""

import ctypes
import functools
import pathlib

import cv2
import jax

# OpenCV's numbers: CV_CPU_AVX512_SKX, CV_CPU_AVX2.
_FEATURES = {'x86_64_v4': 256, 'x86_64_v3': 11, 'any': None}
_KINDS = ('forward', 'gradients')


@functools.cache
def kernels() -> ctypes.CDLL | None:
  """The kernels for this CPU, or None."""
  folder = pathlib.Path(__file__).parent
  for level, feature in _FEATURES.items():
    if feature is None or cv2.checkHardwareSupport(feature):
      for path in folder.glob(f'conv_pool_{level}.*'):
        return ctypes.CDLL(str(path))
  return None


@functools.cache
def register(channels: int, filters: int, stride: int) -> str | None:
  """Makes a kernel known to XLA.

  Returns:
    what follows its kind in the calls' names, or None where there is none.
  """
  suffix = f'{channels}_{filters}_{stride}'
  if kernels() is None or not hasattr(kernels(), f'forward_{suffix}'):
    return None
  for kind in _KINDS:
    name = f'{kind}_{suffix}'
    handler = jax.ffi.pycapsule(getattr(kernels(), name))
    jax.ffi.register_ffi_target(f'imat_jax_{name}', handler, platform='cpu')
  return suffix


def note() -> str:
  """A line for a user whose CPU trains without the kernels, or nothing."""
  if jax.default_backend() != 'cpu' or kernels() is not None:
    return ''
  return (
    'no compiled kernels: training takes five times as long on this CPU; '
    'install a C++ compiler such as g++ and then imat_jax again'
  )
