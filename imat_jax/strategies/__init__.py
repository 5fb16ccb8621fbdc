"""Multi-task methods: how the losses of the tasks become one update.

To add one, write `strategies/NAME.py` with one `Strategy` in it;
`--strategy=NAME` then trains with it, and its fields are its flags. A method
sees what a step knows of its tasks and gives their weights; it never sees
parameters. One that is `Masked` or `MaskedGramian`, of `_masked.py`, need not
know that labels are missing. docs/strategies.md has a line on each, and
tests/toys/strategies small examples.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp

from imat_jax import options

State = Any  # a pytree of arrays; of many methods empty


class Evidence(NamedTuple):
  """What a method may look at, of T tasks; of the global batch.

  In a study T counts the tasks of all its runs. Those that are not this run's
  have weight, count, loss and gradient 0: count tasks by `weight_T > 0`, not by
  T, for the same run alone and in a study to be the same.

  Attributes:
    loss_T: mean losses in nats; 0 where the batch has no label.
    count_T: labelled photos of the batch.
    weight_T: the run's task weights.
    gramian_TxT: products of the gradients of the tasks' losses; None unless the
      method says with respect to what, by its `gradients_at`.
    key: of the step's own randomness.
  """

  loss_T: jax.Array
  count_T: jax.Array
  weight_T: jax.Array
  gramian_TxT: jax.Array | None
  key: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strategy(options.Part):
  """A method: pure functions, and its options as fields.

  tests/strategies_test.py tests each method that is here.
  """

  # With respect to what the gradients of the Gramian are: `features`, the
  # trunk's outputs, at little cost; or `trunk`, its trained parameters, at that
  # of a pass back for each task. Empty for a method that needs no Gramian.
  gradients_at: ClassVar[Literal['', 'features', 'trunk']] = ''

  def init(self, num_tasks: int) -> State:
    """The state before the first step; a part of the train state."""
    del num_tasks
    return ()

  def update(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    """The weights of the losses whose sum is minimised, and the next state.

    The weights, T, are constants of the step: no gradient flows through them.
    The state keeps its form, shapes and types.
    """
    raise NotImplementedError

  def total(
    self, losses: Sequence[float | None], weights: Sequence[float]
  ) -> float | None:
    """What early stopping watches: a split's losses as one number.

    Args:
      losses: means over the split; None for a task without a labelled photo,
        which adds 0.
      weights: of the run's tasks.
    """
    if all(loss is None for loss in losses):
      return None
    pairs = zip(losses, weights, strict=True)
    return sum(weight * (loss or 0.0) for loss, weight in pairs)

  def checked(
    self, given: tuple[jax.Array, State], evidence: Evidence, state: State
  ) -> tuple[jax.Array, State]:
    """What a method's own code gives: see `update`.

    Raises:
      TypeError: it is something else.
    """
    wanted = _forms((evidence.weight_T, state))
    if _forms(given) != wanted:
      raise TypeError(
        f'--strategy={self.kind}: gives {_forms(given)}, not {wanted}: a '
        'weight per task, and a state of the same form, shapes and types'
      )
    return given


def _forms(tree: Any) -> Any:
  """The types and shapes of its arrays."""
  return jax.tree.map(
    lambda x: f'{jnp.result_type(x)}{list(jnp.shape(x))}', tree
  )
