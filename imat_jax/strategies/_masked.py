"""Methods for which a task without a label in the batch does not exist."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from imat_jax import options
from imat_jax.strategies import Evidence, State, Strategy


class Masked(Strategy):
  """Hides what is not in the batch from `weigh`, once for all methods.

  A task is here if it is the run's and the batch has a label of it. Of those
  that are here `weigh` sees the run's weights as shares that add up to 1, and
  its result counts times the sum of their weights. Of the others it sees share
  0, loss 1 (logarithm 0) and gradient 0; their weights are 0, and their state
  stands still.
  """

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    """As `update`.

    Args:
      evidence: of the tasks that are here, those with `weight_T > 0`; their
        losses are positive.
      state: all leaves T, by task, or T × T, by pair of tasks.
    """
    raise NotImplementedError

  def update(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    here_T = (evidence.weight_T > 0) & (evidence.count_T > 0)
    here_TxT = here_T[:, None] & here_T[None]
    for leaf in jax.tree.leaves(state):
      if leaf.shape not in (here_T.shape, here_TxT.shape):
        raise TypeError(
          f'--strategy={self.kind}: its state has an array of the shape '
          f'{list(leaf.shape)}; a method that is Masked has arrays by task or '
          f'by pair of tasks, here {list(here_T.shape)} and '
          f'{list(here_TxT.shape)}'
        )
    weight_T = jnp.where(here_T, evidence.weight_T, 0)
    least = jnp.finfo(evidence.loss_T.dtype).tiny
    gramian_TxT = evidence.gramian_TxT
    if gramian_TxT is not None:
      gramian_TxT = jnp.where(here_TxT, gramian_TxT, 0)
    seen = evidence._replace(
      loss_T=jnp.where(here_T, jnp.maximum(evidence.loss_T, least), 1),
      weight_T=shares(weight_T),
      gramian_TxT=gramian_TxT,
    )
    given = self.weigh(seen, state)
    relative_T, next_state = self.checked(given, seen, state)
    next_state = jax.tree.map(
      lambda new, old: jnp.where(
        here_T if new.ndim == 1 else here_TxT, new, old
      ),
      next_state,
      state,
    )
    return jnp.where(here_T, relative_T * weight_T.sum(), 0), next_state


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedGramian(Masked):
  """Also sees the Gramian."""

  gradients_at: Literal['features', 'trunk'] = options.option(
    'with respect to what the gradients are whose Gramian the method sees: '
    "features are the trunk's outputs, at little cost; trunk are its trained "
    'parameters, with a pass back for each task',
    'features',
  )


def shares(weight_T: jax.Array) -> jax.Array:
  """Divided by their sum; 0 where that is."""
  total = weight_T.sum()
  return weight_T / jnp.where(total == 0, 1, total)


def softmax(logit_T: jax.Array, evidence: Evidence) -> jax.Array:
  """Over the tasks that are here."""
  here_T = evidence.weight_T > 0
  return jax.nn.softmax(logit_T, where=here_T, axis=0)


def places(evidence: Evidence) -> jax.Array:
  """The number of each task among those here: by it they draw at random."""
  return jnp.maximum(jnp.cumsum(evidence.weight_T > 0) - 1, 0)


def random_orders(evidence: Evidence) -> jax.Array:
  """A row for each task: all tasks, those that are here in a random order."""
  place_T = places(evidence)
  draw_TxT = jax.vmap(
    lambda place: jax.random.uniform(
      jax.random.fold_in(evidence.key, place), evidence.weight_T.shape
    )[place_T]
  )(place_T)
  return jnp.where(evidence.weight_T > 0, draw_TxT, 2).argsort(1)
