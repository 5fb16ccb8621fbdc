"""The devices of all processes as a mesh with one axis, `data`.

A batch is spread over it, all else is on each device. What a step computes is
written for the whole batch, so the numbers do not depend on how many devices
there are: a masked mean is divided once, by the labels of all of them.
"""

import os
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import (
  AxisType,
  Mesh,
  NamedSharding,
  PartitionSpec,
  Sharding,
  SingleDeviceSharding,
)

from imat_jax import errors
from imat_jax.data.types import Shard

DATA = 'data'  # the axis of the mesh over which a batch is spread

Tree = TypeVar('Tree')


def check_devices() -> None:
  """Raises where jax has no device of the kind that it was told to use."""
  try:
    jax.devices()
  except (RuntimeError, AssertionError) as error:
    asked = os.environ.get('JAX_PLATFORMS', '')
    raise errors.UserError(
      f'JAX_PLATFORMS={asked}: jax finds no such device here '
      f'({errors.first_line(error)}); unset '
      "it, or install jax for it: pip install -e '.[gpu]' or '.[tpu]'"
    ) from error


def set_mesh(batch_size: int):
  """A context in which steps use as many devices as divide the batch.

  Raises:
    UserError: not every process would have the same number of photos.
  """
  processes = jax.process_count()
  if batch_size % processes:
    raise errors.UserError(
      f'--batch_size={batch_size}: the photos of a step cannot be divided '
      f'evenly among {processes} processes'
    )
  per_process = batch_size // processes
  # Fewer devices rather than padding: each example counts once, everywhere.
  number = max(n for n in range(1, max_devices() + 1) if not per_process % n)
  # In this order each process has one run of a batch, and the first the first.
  places = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
  used = np.array(places).reshape(processes, -1)[:, :number].ravel()
  return jax.set_mesh(Mesh(used, (DATA,), axis_types=(AxisType.Auto,)))


def shard() -> Shard:
  """Which part of each batch this process has to make."""
  return Shard(jax.process_index(), jax.process_count())


def shard_batch(part: Tree) -> Tree:
  """The batch on the devices, some examples on each.

  Args:
    part: of the batch, this process's share.
  """
  over = _over(DATA)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(over, x), part
  )


def replicate(tree: Tree) -> Tree:
  """Arrays that each device has whole; each process gives all of them."""
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(_over(), x, x.shape),
    jax.device_get(tree),
  )


def constrain_batch(batch: Tree) -> Tree:
  """`shard_batch`, for a batch that is made inside of a jitted step."""
  return _constrained(batch, DATA)


def constrain_replicated(tree: Tree) -> Tree:
  """`replicate`, for what is found inside of a jitted step: all can read it."""
  return _constrained(tree)


def max_devices() -> int:
  """The devices of this process."""
  return jax.local_device_count()


def _constrained(tree: Tree, *axes: str) -> Tree:
  if jax.sharding.get_abstract_mesh().empty:  # as in a notebook, or an export
    return tree
  return jax.lax.with_sharding_constraint(tree, PartitionSpec(*axes))


def _over(*axes: str) -> Sharding:
  """Outside of `set_mesh` jax's first device has all."""
  mesh = jax.sharding.get_mesh()
  if mesh.empty:
    return SingleDeviceSharding(jax.devices()[0])
  return NamedSharding(mesh, PartitionSpec(*axes))
