"""Aligned-MTL: Senushkin et al., "Independent component alignment for
multi-task learning" (CVPR 2023).
"""

import jax
import jax.numpy as jnp

from imat_jax.strategies import Evidence, State
from imat_jax.strategies._masked import MaskedGramian
from imat_jax.strategies._solvers import unit_trace


class Aligned(MaskedGramian):
  """Makes all principal axes of the gradients as long as the shortest.

  √λ_min V Λ^(−½) Vᵀ p, with the eigenvectors V and the eigenvalues Λ > 0 of G.
  """

  def weigh(self, evidence: Evidence, state: State) -> tuple[jax.Array, State]:
    is_here_T = evidence.weight_T > 0
    # Those that are not here have the largest eigenvalue there can be.
    gramian_TxT = unit_trace(evidence.gramian_TxT) + jnp.diag(1.0 - is_here_T)
    value_T, vector_TxT = jnp.linalg.eigh(gramian_TxT)
    rounding = is_here_T.sum() * jnp.finfo(value_T.dtype).eps
    is_axis_T = value_T > rounding * value_T.max()
    least = jnp.where(is_axis_T, value_T, jnp.inf).min()
    scale_T = jnp.where(is_axis_T, jnp.sqrt(least / value_T), 0)
    return vector_TxT @ (scale_T * (vector_TxT.T @ evidence.weight_T)), state
