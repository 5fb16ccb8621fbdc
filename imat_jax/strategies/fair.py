"""FairGrad: Ban and Ji, "Fair resource allocation in multi-task learning" (ICML
2024).
"""

import dataclasses

import jax

from imat_jax import options, validators
from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import MaskedGramian, shares
from imat_jax.strategies._solvers import fair_point


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fair(MaskedGramian):
  """∝ the x with Gx = x^(−1/α): tasks progress fairly."""

  fairness: float = options.option(
    'α: 1 is nash, and the higher, the more the task counts that is worst off',
    2.0,
    validators.between(0.5, 10),
  )

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    return shares(fair_point(evidence.gramian_TxT, self.fairness)), state
