"""Units: outputs of a layer that pruning sets to 0, and can then remove.

A filter of a convolution, a unit of a dense layer, or in a residual network as
many filters as are normalised together. A layer's parameters for a unit, its
bias among them, are 0 together: then 0 comes out of every activation here, so
without the unit the network computes the same.
"""

import dataclasses
import functools
import itertools
import operator
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from imat_jax import config
from imat_jax.models.trunks import Trunk, UnitLayer


def layers(trunk: Trunk, params: dict[str, Any]) -> tuple[UnitLayer, ...]:
  """The layers of a network that have units, the heads' hidden ones last.

  Args:
    trunk: the network's.
    params: of the network, in which the paths lead; or their shapes.
  """
  heads = sorted(params['heads'])  # dense_0, …, logits
  paths = [('heads', name) for name in heads]
  return (
    *(
      layer._replace(
        path=('trunk', *layer.path),
        reader=('trunk', *layer.reader) if layer.reader else paths[0],
      )
      for layer in trunk.unit_layers
    ),
    *(
      UnitLayer(path, reader, get(params, path)['bias'].shape[-1])
      for path, reader in itertools.pairwise(paths)
    ),
  )


def is_head(layer: UnitLayer) -> bool:
  """Whether a layer is of the heads: the axis before the last is T."""
  return layer.path[0] == 'heads'


def get(tree: dict[str, Any], path: Sequence[str]) -> Any:
  """What a path leads to."""
  return functools.reduce(operator.getitem, path, tree)


def replaced(
  tree: dict[str, Any], path: Sequence[str], part: Any
) -> dict[str, Any]:
  """The tree with another part at the end of a path."""
  if not path:
    return part
  first, *rest = path
  return tree | {first: replaced(tree[first], rest, part)}


def shrunk(
  model: config.Model, params: dict[str, Any], mask: dict[str, Any]
) -> tuple[config.Model, dict[str, Any]]:
  """A network without its pruned units, which computes the same logits.

  Args:
    model: the network's.
    params: of it; those of pruned units count as 0.
    mask: which units are left, see `training.pruning`.

  Returns:
    the smaller model with its parameters, numpy.
  """
  params, width_L = jax.device_get(params), []
  for layer in layers(model.trunk, params):
    part, reader = get(params, layer.path), get(params, layer.reader)
    is_left = np.asarray(jax.tree.leaves(get(mask, layer.path))[0])
    if is_head(layer):
      # Of each task as many, at different places.
      is_left_TxW = is_left.reshape(is_left.shape[-2:])
      left_TxN = np.nonzero(is_left_TxW)[1].reshape(len(is_left_TxW), -1)
      part = {
        'kernel': np.take_along_axis(part['kernel'], left_TxN[None], 2),
        'bias': np.take_along_axis(part['bias'], left_TxN, 1),
      }
      kernel = np.take_along_axis(reader['kernel'], left_TxN.T[..., None], 0)
    else:
      left_N = np.flatnonzero(is_left)
      part = jax.tree.map(lambda x, left_N=left_N: x[..., left_N], part)
      axis = reader['kernel'].ndim - (3 if layer.reader[0] == 'heads' else 2)
      kernel = _take_inputs(reader['kernel'], axis, layer.width, left_N)
    params = replaced(params, layer.path, part)
    params = replaced(params, layer.reader, reader | {'kernel': kernel})
    width_L.append(jax.tree.leaves(part)[0].shape[-1])
  return with_widths(model, width_L), params


def small(model: config.Model, share: float) -> config.Model:
  """The network that is left of one when a share of its units is removed."""
  model.check_units()
  width_L = [
    layer.size * num_left(layer.num_units, share)
    for layer in model.trunk.unit_layers
  ]
  width_L += [num_left(width, share) for width in model.head_widths]
  return with_widths(model, width_L)


def num_left(number: int, share: float) -> int:
  """How many units of a layer are left without a share of them."""
  return max(1, round((1 - share) * number))


def with_widths(model: config.Model, width_L: Sequence[int]) -> config.Model:
  """The network with other widths of its `layers`."""
  number = len(model.trunk.unit_layers)
  return dataclasses.replace(
    *(model,),
    trunk=model.trunk.with_units(width_L[:number]),
    head_widths=tuple(width_L[number:]),
  )


def _take_inputs(
  kernel: np.ndarray, axis: int, width: int, left_N: np.ndarray
) -> np.ndarray:
  """The part of a kernel that reads what is left of a layer's outputs.

  Behind a flattening its inputs are the outputs at each place in turn.
  """
  before, after = kernel.shape[:axis], kernel.shape[axis + 1 :]
  by_place = kernel.reshape(*before, -1, width, *after)
  taken = by_place.take(left_N, axis + 1)
  return taken.reshape(*before, -1, *after)
