"""What methods on the Gramian of the tasks' gradients compute, up to 45 tasks.

All have a bound of their iterations, and no tolerance but rounding, so they
compile into the step and batch over runs; and all work in float32.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def unit_trace(gramian_TxT: jax.Array) -> jax.Array:
  """Divided by its trace; all 0 stays."""
  trace = jnp.trace(gramian_TxT)
  return gramian_TxT / jnp.where(trace > 0, trace, 1)


def cosines(gramian_TxT: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Those of the gradients, and their norms.

  A gradient that is 0 is at a right angle to the others.
  """
  norm_T = jnp.sqrt(jnp.diagonal(gramian_TxT))
  inverse_T = reciprocal(norm_T)
  cosine_TxT = gramian_TxT * inverse_T[:, None] * inverse_T[None]
  return jnp.fill_diagonal(cosine_TxT, 1, inplace=False), norm_T


def reciprocal(number_T: jax.Array) -> jax.Array:
  """1 / number; 0 where that is 0."""
  return jnp.where(number_T > 0, 1 / jnp.where(number_T > 0, number_T, 1), 0)


def nonnegative_qp(matrix_TxT: jax.Array, linear_T: jax.Array) -> jax.Array:
  """argmin ½ xᵀAx − bᵀx over x ≥ 0, for a positive definite A.

  Rows are scaled to diagonal 1, and b to largest entry 1.
  """
  norm_T = jnp.sqrt(jnp.diagonal(matrix_TxT))
  scaled_TxT = matrix_TxT / (norm_T[:, None] * norm_T[None])
  scaled_T = linear_T / norm_T
  size = jnp.abs(scaled_T).max()
  scaled_T = scaled_T / jnp.where(size > 0, size, 1)
  least_T = nonnegative_minimum(
    lambda x_T: x_T @ scaled_TxT @ x_T / 2 - scaled_T @ x_T,
    jnp.ones_like(linear_T),
  )
  return least_T * size / norm_T


def projected(gramian_TxT: jax.Array, weight_T: jax.Array) -> jax.Array:
  """The weights of the vector nearest to Jᵀw that hurts no task.

  They are w + x for the x ≥ 0 that makes (w + x)ᵀG(w + x) least. A little of
  the identity is added to G, of which this is part of the method (Quinton and
  Rey, 2024): the solution is otherwise not unique.
  """
  ridge_TxT = 1e-4 * jnp.eye(len(weight_T))
  matrix_TxT = unit_trace(gramian_TxT) + ridge_TxT
  return weight_T + nonnegative_qp(matrix_TxT, -matrix_TxT @ weight_T)


def nonnegative_minimum(
  objective: Callable[[jax.Array], jax.Array],
  start_T: jax.Array,
  iterations: int = 40,
) -> jax.Array:
  """argmin of a convex, almost quadratic function over x ≥ 0.

  The predictor-corrector interior-point method of Mehrotra (1992; Nocedal and
  Wright, "Numerical Optimization", algorithm 16.4). Then one Newton step on the
  numbers that are not 0, which ends a quadratic program exactly.

  Args:
    objective: scaled so that the minimum and its slopes are of order 1.
    start_T: a positive guess.
    iterations: at most; 40 are enough for 45 tasks in float64, and in float32
      it is a third of them.
  """
  slope, curvature = jax.grad(objective), jax.hessian(objective)
  smallest = jnp.finfo(start_T.dtype).eps ** 1.5

  def goes_on(carry):
    number, is_moving, _ = carry
    return is_moving & (number < iterations)

  def iterate(carry):
    number, _, (x_T, dual_T) = carry
    gap = (x_T @ dual_T) / len(x_T)
    residual_T = slope(x_T) - dual_T
    factor = jax.scipy.linalg.cho_factor(
      curvature(x_T) + jnp.diag(dual_T / x_T)
    )

    def direction(product_T):
      # Such that x · dual changes by the product, and the residual goes.
      right_T = product_T / x_T - residual_T
      step_T = jax.scipy.linalg.cho_solve(factor, right_T)
      return step_T, (product_T - dual_T * step_T) / x_T

    step_T, dual_step_T = direction(-x_T * dual_T)
    length = jnp.minimum(_room(x_T, step_T), _room(dual_T, dual_step_T))
    next_gap = (x_T + length * step_T) @ (dual_T + length * dual_step_T)
    centering = (next_gap / len(x_T) / gap) ** 3
    step_T, dual_step_T = direction(
      centering * gap - x_T * dual_T - step_T * dual_step_T
    )
    length = jnp.minimum(_room(x_T, step_T), _room(dual_T, dual_step_T))
    # Longer ones save iterations of a quadratic program, and miss others.
    length = 0.9 * length
    following = x_T + length * step_T, dual_T + length * dual_step_T
    # At the end rounding is all that would change.
    is_moving = (gap > smallest) & jnp.isfinite(jnp.stack(following)).all()
    return (
      number + 1,
      is_moving,
      jax.tree.map(
        lambda new, old: jnp.where(is_moving, new, old),
        following,
        (x_T, dual_T),
      ),
    )

  start = 0, True, (start_T, jnp.ones_like(start_T))
  _, _, (x_T, dual_T) = jax.lax.while_loop(goes_on, iterate, start)
  is_free_T = x_T > dual_T
  x_T = jnp.where(is_free_T, x_T, 0)
  is_free_TxT = is_free_T[:, None] & is_free_T[None]
  free_TxT = jnp.where(is_free_TxT, curvature(x_T), jnp.eye(len(x_T)))
  ended_T = x_T - _solve(free_TxT, jnp.where(is_free_T, slope(x_T), 0))
  is_better = jnp.isfinite(ended_T).all() & (ended_T >= 0).all()
  return jnp.where(is_better, ended_T, x_T)


def _solve(matrix_TxT: jax.Array, right_T: jax.Array) -> jax.Array:
  """A⁻¹ b for a positive definite A; NaN where rounding makes it another."""
  # Half as long to compile as `jnp.linalg.solve`, which pivots.
  factor = jax.scipy.linalg.cho_factor(matrix_TxT)
  return jax.scipy.linalg.cho_solve(factor, right_T)


def _room(number_T: jax.Array, step_T: jax.Array) -> jax.Array:
  """The share of a step, at most 1, that leaves positive numbers so."""
  shrinks_T = step_T < 0
  share_T = jnp.where(shrinks_T, -number_T / jnp.where(shrinks_T, step_T, 1), 1)
  return jnp.minimum(share_T.min(), 1)


def fair_point(gramian_TxT: jax.Array, alpha: float) -> jax.Array:
  """x with Gx = x^(−1/α), in each place.

  The minimum of the convex ½ xᵀGx − Σ x^(1−1/α) / (1−1/α), for α = 1 of
  ½ xᵀGx − Σ log x, by damped Newton steps; in y = x × norm, so that only the
  cosines of the gradients decide how hard it is. Where a gradient is 0, x is.
  """
  cosine_TxT, norm_T = cosines(unit_trace(gramian_TxT))
  # Opposite gradients have no such point, but with a little added.
  little = 10 * jnp.finfo(norm_T.dtype).eps
  cosine_TxT = cosine_TxT + little * jnp.eye(len(norm_T))
  factor_T = jnp.where(norm_T > 0, norm_T, 1) ** (1 / alpha - 1)

  def iterate(_, y_T):
    right_T = factor_T * y_T ** (-1 / alpha)
    slope_T = cosine_TxT @ y_T - right_T
    curvature_TxT = cosine_TxT + jnp.diag(right_T / (alpha * y_T))
    step_T = -_solve(curvature_TxT, slope_T)
    decrement = jnp.sqrt(jnp.maximum(-step_T @ slope_T, 0))
    damping = jnp.where(decrement < 0.25, 1, 1 / (1 + decrement))
    return y_T + jnp.minimum(damping, _room(y_T, step_T / 0.9)) * step_T

  # The point of gradients at right angles.
  start_T = factor_T ** (alpha / (1 + alpha))
  y_T = jax.lax.fori_loop(0, 40, iterate, start_T)
  return y_T * reciprocal(norm_T)


def pseudo_solve(cosine_TxT: jax.Array, right_T: jax.Array) -> jax.Array:
  """C⁺ b, for the cosines C of gradients of which some may depend on others."""
  rounding = 10 * len(right_T) * jnp.finfo(right_T.dtype).eps
  inverse_TxT = jnp.linalg.pinv(cosine_TxT, rtol=rounding, hermitian=True)
  return inverse_TxT @ right_T
