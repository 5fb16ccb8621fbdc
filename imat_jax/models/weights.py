"""Reads trained weights that others have published: numbers by name.

Of a PyTorch file only tensors are built. A pickle may name any function of any
module to be called; here all but a short list is refused before it is imported.
"""

import collections
import hashlib
import io
import pathlib
import pickle
import zipfile
from typing import Any

import numpy as np

from imat_jax import errors
from imat_jax.runtime import extras

_TYPES = {
  'FloatStorage': np.float32,
  'DoubleStorage': np.float64,
  'HalfStorage': np.float16,
  'LongStorage': np.int64,
  'IntStorage': np.int32,
  'ShortStorage': np.int16,
  'CharStorage': np.int8,
  'ByteStorage': np.uint8,
  'BoolStorage': np.bool_,
}
# The three values at the start of the older form of a PyTorch file.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Weights:
  """Named arrays, each of which has to be taken or ignored once."""

  def __init__(self, path: str, arrays: dict[str, np.ndarray]):
    self._path, self._arrays = path, dict(arrays)

  def rename(self, parts: dict[str, str]) -> None:
    """Replaces parts of all names, one after the other."""
    renamed = {}
    for name, array in self._arrays.items():
      for old, new in parts.items():
        name = name.replace(old, new)
      renamed[name] = array
    self._arrays = renamed

  def take(self, name: str) -> np.ndarray:
    """An array as float32.

    Raises:
      UserError: there is none of that name.
    """
    if name not in self._arrays:
      raise errors.UserError(
        f'{self._path}: has no {name!r}; these are weights of another network'
      )
    return np.asarray(self._arrays.pop(name), np.float32)

  def take_folded(
    self, conv: str, norm: str, epsilon: float
  ) -> dict[str, np.ndarray]:
    """A convolution with its batch normalisation; H × W × I × O.

    Args:
      conv, norm: what PyTorch's modules are called.
      epsilon: of the normalisation.

    Raises:
      UserError: one of their arrays is not there.
    """
    kernel = self.take(f'{conv}.weight')
    scale, bias, mean, variance = (
      self.take(f'{norm}.{name}')
      for name in ('weight', 'bias', 'running_mean', 'running_var')
    )
    self.ignore(f'{norm}.num_batches_tracked')
    factor = scale / np.sqrt(variance + epsilon)
    return {
      'kernel': (kernel * factor[:, None, None, None]).transpose(2, 3, 1, 0),
      'bias': bias - mean * factor,
    }

  def ignore(self, *names: str) -> None:
    """Arrays that may be there and are not needed."""
    for name in names:
      self._arrays.pop(name, None)

  def check_all_taken(self) -> None:
    """Raises UserError where an array was neither taken nor ignored."""
    if self._arrays:
      names = sorted(self._arrays)
      raise errors.UserError(
        f'{self._path}: {names[0]!r} and {len(names) - 1} more fit nowhere; '
        'these are weights of another network'
      )


def read(path: str | pathlib.Path) -> Weights:
  """The arrays of a .safetensors, .npz or PyTorch file.

  Raises:
    UserError: the file is none of these, is damaged, or holds other things
      than tensors.
  """
  path = pathlib.Path(path)
  try:
    if path.suffix == '.safetensors':
      arrays = _read_safetensors(path)
    elif path.suffix == '.npz':
      with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    elif path.suffix in ('.pth', '.pt', '.bin'):
      arrays = _read_torch(path)
    else:
      raise errors.UserError(
        f'{path}: weights are read from .safetensors, .npz, .pth, .pt and .bin'
      )
  except OSError as error:
    raise errors.UserError(f'{path}: {errors.first_line(error)}') from error
  except (errors.UserError, MemoryError):
    raise
  except Exception as error:  # a damaged file fails in many ways
    raise errors.UserError(
      f'{path}: not a readable file of weights ({errors.first_line(error)})'
    ) from error
  return Weights(str(path), arrays)


def digest(path: str | pathlib.Path) -> str:
  """SHA-256 of a file of weights."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  extras.require('safetensors', 'pretrained', str(path))
  from safetensors import numpy as safetensors

  return safetensors.load_file(path)


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Both forms: a zip archive, and before PyTorch 1.6 pickles in a row."""
  if zipfile.is_zipfile(path):
    with zipfile.ZipFile(path) as archive:
      (name,) = (n for n in archive.namelist() if n.endswith('/data.pkl'))
      folder = name.removesuffix('data.pkl')

      def bytes_of(key: str) -> bytes:
        return archive.read(f'{folder}data/{key}')

      tensors = _Unpickler(io.BytesIO(archive.read(name))).load()
      return _arrays(tensors, bytes_of)
  with open(path, 'rb') as file:
    magic, protocol, _ = (_Unpickler(file).load() for _ in range(3))
    if (magic, protocol) != (_MAGIC, _PROTOCOL):
      raise ValueError('no PyTorch file')
    tensors = _Unpickler(file).load()
    keys, stored = _Unpickler(file).load(), {}
    sizes = {t.storage.key: t.storage for t in _flat(tensors).values()}
    for key in keys:
      (number,) = np.frombuffer(file.read(8), '<i8')
      item = np.dtype(sizes[key].dtype).itemsize
      stored[key] = file.read(int(number) * item)
    return _arrays(tensors, stored.__getitem__)


class _Storage:
  """A piece of memory that tensors are views of."""

  def __init__(self, dtype: type, key: str):
    self.dtype, self.key = dtype, key


class _Tensor:
  """A view, before its storage is read."""

  def __init__(self, storage, offset, size, stride, *_):
    self.storage, self.offset = storage, offset
    self.size, self.stride = size, stride


def _parameter(tensor: _Tensor, *_) -> _Tensor:
  return tensor


class _Unpickler(pickle.Unpickler):
  """Builds dictionaries of tensors and nothing else."""

  def find_class(self, module: str, name: str) -> Any:
    allowed = {
      ('collections', 'OrderedDict'): collections.OrderedDict,
      ('torch._utils', '_rebuild_tensor_v2'): _Tensor,
      ('torch._utils', '_rebuild_parameter'): _parameter,
    }
    if module == 'torch' and name in _TYPES:
      return _TYPES[name]
    if (module, name) not in allowed:
      raise pickle.UnpicklingError(
        f'it names {module}.{name}, which is no tensor, and was not loaded'
      )
    return allowed[module, name]

  def persistent_load(self, identifier: Any) -> _Storage:
    kind, dtype, key, *_ = identifier
    if kind != 'storage':
      raise pickle.UnpicklingError(f'unknown {kind!r}')
    return _Storage(dtype, str(key))


def _flat(tensors: Any, prefix: str = '') -> dict[str, _Tensor]:
  """The tensors of nested dictionaries, by their names with dots."""
  if not isinstance(tensors, dict):
    raise ValueError('no dictionary of tensors')
  flat = {}
  for name, value in tensors.items():
    if isinstance(value, _Tensor):
      flat[f'{prefix}{name}'] = value
    elif isinstance(value, dict):
      flat |= _flat(value, f'{prefix}{name}.')
  return flat


def _arrays(tensors: Any, bytes_of) -> dict[str, np.ndarray]:
  arrays = {}
  for name, tensor in _flat(tensors).items():
    flat = np.frombuffer(bytes_of(tensor.storage.key), tensor.storage.dtype)
    # Checked, as as_strided reads any memory.
    last = tensor.offset + sum(
      (length - 1) * step
      for length, step in zip(tensor.size, tensor.stride, strict=True)
    )
    if min(tensor.size, default=1) < 1 or min(tensor.stride, default=0) < 0:
      raise ValueError(f'{name} has an impossible shape')
    if not 0 <= tensor.offset <= last < len(flat):
      raise ValueError(f'{name} lies outside of its storage')
    arrays[name] = np.lib.stride_tricks.as_strided(
      flat[tensor.offset :],
      tensor.size,
      tuple(step * flat.itemsize for step in tensor.stride),
      writeable=False,
    )
  return arrays
