"""Pruning in training: ever more weights become 0, and stay so.

The share of weights that are 0 is that of Zhu and Gupta, "To prune, or not to
prune" (2017): between two steps it rises steeply while many weights are left,
then ever more slowly. The masks are a part of the optimizer's state, so they
are checkpointed, resumed and vmapped with it.

Of weights kernels alone are pruned, each array of the trunk and the kernel of
each head at the same share (`global_magnitude`: the trunk's arrays together),
but not what training leaves as it is, nor the zeros that pad the heads. Of
units, see `models.units`, all parameters are pruned together, by the norm of
their scores (Li et al., "Pruning filters for efficient convnets", 2017), and
never the last one of a layer.
"""

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from imat_jax import config
from imat_jax.models import units
from imat_jax.models.trunks import Trunk, UnitLayer


class State(NamedTuple):
  """Of the optimizer, with what it leaves of the network.

  Attributes:
    inner: the state of the update that is pruned.
    count: the number of updates so far.
    mask: like the parameters: whether each weight is left, or each unit, with
      axes of length 1 before it; True, one for all, of arrays that are not
      pruned.
    size: how many weights, or units, each array could have, a number per task
      of a head's.
  """

  inner: optax.OptState
  count: jax.Array
  mask: dict[str, Any]
  size: dict[str, Any]


def pruned(
  inner: optax.GradientTransformation,
  pruning: config.Pruning,
  trunk: Trunk,
  num_updates: int,
) -> optax.GradientTransformation:
  """The update with pruning; the last one, and with the parameters.

  Args:
    inner: of the parameters.
    pruning: its options.
    trunk: tells which of its parameters are trained.
    num_updates: of the whole run.
  """
  by_unit = pruning.prune_unit == 'unit'

  def init(params: dict[str, Any]) -> State:
    if by_unit:
      mask = _all_units(params, units.layers(trunk, params))
    else:
      is_pruned = jax.tree.map_with_path(
        lambda path, _: _is_pruned(path, trunk), params
      )
      # Of a head's kernel, in × T × out, the zeros are padding.
      mask = jax.tree.map(
        lambda p, is_pruned: p != 0 if is_pruned else jnp.ones((), bool),
        *(params, is_pruned),
      )
    size = jax.tree.map_with_path(_size, mask)
    return State(inner.init(params), jnp.zeros((), jnp.int32), mask, size)

  def update(
    gradient: dict[str, Any], state: State, params: dict[str, Any]
  ) -> tuple[dict[str, Any], State]:
    change, inner_state = inner.update(gradient, state.inner, params)
    count = state.count + 1
    share = share_at(pruning, count, num_updates)

    def prune() -> dict[str, Any]:
      after = optax.apply_updates(params, change)
      score = _scores(pruning.prune_by, after, gradient)
      if by_unit:
        layers = units.layers(trunk, params)
        return _unit_masks(layers, score, state.mask, share)
      return _masks(pruning.prune_by, score, state.mask, state.size, share)

    first, last = pruning.interval(num_updates)
    since = count - first
    is_due = (since % pruning.prune_steps == 0) | (count == last)
    is_due &= (first <= count) & (count <= last)
    mask = jax.lax.cond(is_due, prune, lambda: state.mask)
    # What is masked goes to 0 exactly, and stays there.
    change = jax.tree.map(
      lambda c, p, m: jnp.where(m, c, -p), change, params, mask
    )
    return change, State(inner_state, count, mask, state.size)

  return optax.GradientTransformation(init, update)


def share_at(
  pruning: config.Pruning, count: jax.Array, num_updates: int
) -> jax.Array:
  """The share of weights that are 0 after so many updates: equation 1."""
  first, last = pruning.interval(num_updates)
  done = jnp.clip((count - first) / max(last - first, 1), 0, 1)
  done = jnp.where(count < last, done, 1)  # also where the two are one step
  return pruning.sparsity * (1 - (1 - done) ** 3)


def _is_head(path: tuple) -> bool:
  return path[0].key == 'heads'


def _is_pruned(path: tuple, trunk: Trunk) -> bool:
  is_trained = _is_head(path) or trunk.trains(path[1].key)
  return path[-1].key == 'kernel' and is_trained


def _size(path: tuple, mask: jax.Array) -> jax.Array:
  """How many weights or units a mask leaves, a number per task of a head's."""
  if not _is_head(path) or not mask.ndim:
    return mask.sum()
  return mask.reshape(-1, *mask.shape[-2:]).sum((0, 2))


def _scores(
  prune_by: str, params: dict[str, Any], gradient: dict[str, Any]
) -> dict[str, Any]:
  """What each weight is worth; the smallest go first."""
  if prune_by == 'saliency':  # Lee et al., "SNIP" (2019), of the batch at hand
    return jax.tree.map(lambda p, g: jnp.abs(p * g), params, gradient)
  if prune_by == 'random':

    def draw(path: tuple, leaf: jax.Array) -> jax.Array:
      # The same numbers at each step: what is pruned stays the smallest.
      name = jax.tree_util.keystr(path)
      return jax.random.uniform(
        jax.random.key(zlib.crc32(name.encode())), leaf.shape
      )

    return jax.tree.map_with_path(draw, params)
  return jax.tree.map(jnp.abs, params)


def _masks(
  prune_by: str,
  score: dict[str, Any],
  mask: dict[str, Any],
  size: dict[str, Any],
  share: jax.Array,
) -> dict[str, Any]:
  """The masks in which the weights with the largest scores are left."""

  def left(number: jax.Array) -> jax.Array:
    return jnp.round((1 - share) * number).astype(jnp.int32)

  def of_array(path, score, mask, size):
    if not mask.ndim:
      return mask
    if not _is_head(path):
      return _largest(score, mask, left(size))
    # A head at a time, so that no task's labels cost another's.
    return jax.vmap(_largest, (1, 1, 0), 1)(score, mask, left(size))

  masks = jax.tree.map_with_path(of_array, score, mask, size)
  if prune_by != 'global_magnitude':
    return masks
  trunk = {n: mask[n] for n in mask if n != 'heads'}
  leaves, tree = jax.tree.flatten(trunk)
  chosen = [number for number, leaf in enumerate(leaves) if leaf.ndim]
  if not chosen:
    return masks
  scores = jax.tree.leaves({name: score[name] for name in trunk})
  sizes = jax.tree.leaves({name: size[name] for name in trunk})
  flat = _largest(
    *(
      jnp.concatenate([parts[number].ravel() for number in chosen])
      for parts in (scores, leaves)
    ),
    left(sum(sizes[number] for number in chosen)),
  )
  start = 0
  for number in chosen:
    shape, end = leaves[number].shape, start + leaves[number].size
    leaves[number] = flat[start:end].reshape(shape)
    start = end
  return masks | jax.tree.unflatten(tree, leaves)


def _all_units(
  params: dict[str, Any], layers: Sequence[UnitLayer]
) -> dict[str, Any]:
  """The masks in which all units are left."""
  mask = jax.tree.map(lambda _: jnp.ones((), bool), params)
  for layer in layers:
    part = jax.tree.map(
      lambda leaf, layer=layer: jnp.ones(_unit_shape(leaf, layer), bool),
      units.get(params, layer.path),
    )
    mask = units.replaced(mask, layer.path, part)
  return mask


def _unit_shape(leaf: jax.Array, layer: UnitLayer) -> tuple[int, ...]:
  """That of an array's mask."""
  return tuple(
    1 if axis in _summed_axes(leaf, layer) else length
    for axis, length in enumerate(leaf.shape)
  )


def _summed_axes(leaf: jax.Array, layer: UnitLayer) -> tuple[int, ...]:
  """Those of a layer's array that are not its units, nor a head's tasks."""
  return tuple(range(leaf.ndim - (2 if units.is_head(layer) else 1)))


def _unit_masks(
  layers: Sequence[UnitLayer],
  score: dict[str, Any],
  mask: dict[str, Any],
  share: jax.Array,
) -> dict[str, Any]:
  """The masks in which the units with the largest norms are left."""
  for layer in layers:
    masks, scores = units.get(mask, layer.path), units.get(score, layer.path)
    # A row per task of a head, else one.
    shape = -1, layer.num_units, layer.size
    square_TxU = sum(
      (leaf**2).sum(_summed_axes(leaf, layer)).reshape(shape).sum(-1)
      for leaf in jax.tree.leaves(scores)
    )
    was_left_TxU = jax.tree.leaves(masks)[0].reshape(shape)[..., 0]
    number = jnp.round((1 - share) * layer.num_units).astype(jnp.int32)
    is_left_TxU = jax.vmap(_largest, (0, 0, None))(
      *(square_TxU, was_left_TxU, jnp.maximum(1, number))
    )
    is_left_TxW = jnp.repeat(is_left_TxU, layer.size, 1)
    part = jax.tree.map(
      lambda of, is_left_TxW=is_left_TxW: is_left_TxW.reshape(of.shape), masks
    )
    mask = units.replaced(mask, layer.path, part)
  return mask


def _largest(score: jax.Array, mask: jax.Array, number: jax.Array) -> jax.Array:
  """Of those that are left, as many with the largest scores; ties in order.

  By halving an interval of bit patterns, which order floats from 0 on as the
  numbers do: sorting millions of them takes a CPU ten times as long.
  """
  bits = jax.lax.bitcast_convert_type(score.astype(jnp.float32), jnp.int32)
  bits = jnp.where(mask, bits, -1)

  def halve(_, ends: tuple[jax.Array, jax.Array]):
    low, high = ends  # at least `number` are above low, fewer above high
    middle = low + (high - low) // 2
    enough = (bits > middle).sum() >= number
    return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

  ends = jnp.int32(-1), jnp.int32(2**31 - 2)  # their distance is an int32
  _, threshold = jax.lax.fori_loop(0, 31, halve, ends)
  above, equal = bits > threshold, (bits == threshold) & mask
  spare = number - above.sum()
  among_equal = jnp.cumsum(equal.ravel()).reshape(equal.shape)
  return above | (equal & (among_equal <= spare))
