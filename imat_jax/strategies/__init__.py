"""Multi-task methods: how the losses of the tasks become one update.

One file per method, each a `Strategy`. A method sees what a step knows of its
tasks and gives their weights; it never sees parameters.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

State = Any  # a pytree of arrays; of most methods empty


class Evidence(NamedTuple):
  """What a method may look at, of T tasks; the global batch's.

  Attributes:
    loss_T: mean losses in nats; 0 where the batch has no label.
    count_T: labelled photos of the batch.
    weight_T: the run's task weights, 0 for a task that is not its own.
    gramian_TxT: products of the tasks' gradients; None unless
      `Strategy.needs_gramian`.
  """

  loss_T: jax.Array
  count_T: jax.Array
  weight_T: jax.Array
  gramian_TxT: jax.Array | None = None


class Strategy(NamedTuple):
  """A method, like an `optax.GradientTransformation`: pure functions.

  Attributes:
    init: number of tasks → the state, which is part of the train state.
    update: evidence, state → the weights of the losses whose sum is minimised,
      and the next state. No gradient flows through the weights.
    total: losses of a split (None without a label), the run's weights → the
      number that early stopping watches; None where there is no loss.
    needs_gramian: whether the evidence has to have it, which costs time.
  """

  init: Callable[[int], State]
  update: Callable[[Evidence, State], tuple[jax.Array, State]]
  total: Callable[[Sequence[float | None], Sequence[float]], float | None]
  needs_gramian: bool = False
