"""Each multi-task method: its formula, missing labels, states, batches of runs.

tests/golden/strategies.npz holds gradients and what TorchJD 0.18.0 makes of
them (torch 2.13.0, numpy 2.4.6, quadprog 0.1.14, clarabel 0.11.1, scipy 1.17.1,
float64): `input/NAME`, a row per task, and `aggregate/METHOD/NAME`, the update.
`sequence/METHOD/i` are calls in turn that carry a state. Its random
permutations were the identity. (pref) is with the weights 0.4, 0.3, 0.2, 0.1.
Its MGDA and Nash-MTL stop before their optimum: the conditions of an optimum
are tested instead, and Nash-MTL against its FairGrad with α = 1.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from imat_jax import options
from imat_jax.strategies import Evidence, _solvers, gradvac, pcgrad

NAMES = options.part_names('imat_jax.strategies')
GOLDEN = np.load(pathlib.Path(__file__).parent / 'golden/strategies.npz')
INPUTS = (
  *('random', 'zero_row', 'conflict', 'scales', 'dependent', 'opposite'),
  *('all_zero', 'two_tasks', 'one_task'),
)
SEQUENCE = ('random', 'zero_row', 'conflict', 'scales', 'random')
LOSSES = GOLDEN['input/losses']
PREFERENCE = np.array([0.4, 0.3, 0.2, 0.1])
# Their weights add up to something of their own.
OWN_SUM = (
  *('geometric', 'pcgrad', 'gradvac', 'cagrad', 'upgrad', 'dualproj'),
  *('aligned', 'conflict_free', 'pcd'),
)
RANDOM = 'random', 'pcgrad', 'gradvac'


def _strategy(name: str, **options_of_it):
  return options.part('imat_jax.strategies', name)(**options_of_it)


def _evidence(
  loss_T=None, gradient_TxP=None, weight_T=None, count_T=None, seed=0
) -> Evidence:
  if gradient_TxP is None:
    gradient_TxP = np.eye(len(loss_T))
  ones_T = np.ones(len(gradient_TxP))
  dtype = jnp.zeros(()).dtype
  parts = (
    ones_T if loss_T is None else loss_T,
    ones_T if count_T is None else count_T,
    ones_T / len(ones_T) if weight_T is None else weight_T,
    np.asarray(gradient_TxP) @ np.transpose(gradient_TxP),
  )
  return Evidence(*(jnp.asarray(x, dtype) for x in parts), jax.random.key(seed))


@functools.partial(tiny.jit, static_argnums=0)
def _update(strategy, evidence, state):
  return strategy.update(evidence, state)


def _play(strategy, evidences):
  """The weights in each step, and the states after it."""
  state = strategy.init(len(evidences[0].weight_T))
  weights, states = [], []
  for evidence in evidences:
    weight_T, state = _update(strategy, evidence, state)
    weights.append(np.asarray(weight_T))
    states.append(state)
  return np.array(weights), states


def _steps(weight_T, *, seed=0, steps=4, without=()) -> list[Evidence]:
  """Random ones; `without` has the tasks that lack a label."""
  rng = np.random.default_rng(seed)
  here_T = np.array([t not in without for t in range(len(weight_T))])
  return [
    _evidence(
      rng.uniform(0.2, 3, len(weight_T)) * here_T,
      (rng.normal(size=(len(weight_T), 8)) - 0.3) * here_T[:, None],
      weight_T,
      rng.uniform(1, 9, len(weight_T)) * here_T,
      seed=step,
    )
    for step in range(steps)
  ]


def _assert_near(value, expected, tolerance):
  size = np.linalg.norm(expected) or 1
  assert np.linalg.norm(value - expected) <= tolerance * size


# The method, its options, its name in the file, what of the update is equal.
GOLDENS = [
  ('upgrad', {}, 'UPGrad', 'update'),
  ('upgrad', {}, 'UPGrad(pref)', 'update'),
  ('dualproj', {}, 'DualProj', 'update'),
  # Ours is divided by 1.5.
  ('cagrad', {'nearness': 0.5}, 'CAGrad(0.5)', 'direction'),
  # Of dependent gradients their sum of the weights is that of others.
  ('impartial_gradient', {}, 'IMTLG', 'direction'),
  ('aligned', {}, 'AlignedMTL', 'update'),
  ('aligned', {}, 'AlignedMTL(pref)', 'update'),
  # As long as the average projection, where theirs is as long as the sum.
  ('conflict_free', {}, 'ConFIG', 'direction'),
  # Ours add up to the run's weights.
  ('fair', {}, 'FairGrad(2)', 'direction'),
  ('nash', {}, 'FairGrad(1)', 'direction'),
  ('pcd', {}, 'PCD', 'update'),
]
# Theirs is 0 where the shortest combination is shorter than 1e-4; there is no
# fair point of opposite gradients.
UNDEFINED = {
  'cagrad': ('zero_row', 'scales', 'opposite'),
  'fair': ('opposite',),
  'nash': ('opposite',),
}


def _golden_input(case: str) -> tuple[np.ndarray, np.ndarray]:
  """The gradients and weights, those of tasks that there are not being 0.

  So all cases have four, which is one program to compile.
  """
  gradient_TxP = GOLDEN[f'input/{case}']
  number, missing = len(gradient_TxP), 4 - len(gradient_TxP)
  return (
    np.pad(gradient_TxP, ((0, missing), (0, 0))),
    np.repeat([1 / number, 0], [number, missing]),
  )


def _golden_cases(bits: int):
  cases = []
  for name, kwargs, golden, compared in GOLDENS:
    inputs = [x for x in INPUTS if x not in UNDEFINED.get(name, ())]
    if '(pref)' in golden:
      inputs = [x for x in inputs if len(GOLDEN[f'input/{x}']) == 4]
    if bits == 32 and name == 'aligned':
      inputs.remove('scales')  # all digits are lost
    cases.append((name, kwargs, golden, compared, inputs))
  return cases


def _assert_golden(name, kwargs, golden, compared, inputs, tolerance):
  strategy = _strategy(name, **kwargs)
  for case in inputs:
    gradient_TxP, weight_T = _golden_input(case)
    if '(pref)' in golden:
      weight_T = PREFERENCE
    (weight_T,), _ = _play(strategy, [_evidence(None, gradient_TxP, weight_T)])
    update = gradient_TxP.T @ weight_T
    expected = GOLDEN[f'aggregate/{golden}/{case}']
    if compared == 'direction':
      update = update / (np.linalg.norm(update) or 1)
      expected = expected / (np.linalg.norm(expected) or 1)
    _assert_near(update, expected, tolerance)


@pytest.mark.parametrize(
  'name, kwargs, golden, compared, inputs', _golden_cases(64)
)
def test_golden(name, kwargs, golden, compared, inputs):
  with jax.enable_x64(True):
    _assert_golden(name, kwargs, golden, compared, inputs, 1e-5)


@pytest.mark.parametrize(
  'name, kwargs, golden, compared, inputs', _golden_cases(32)
)
def test_golden_in_float32(name, kwargs, golden, compared, inputs):
  _assert_golden(name, kwargs, golden, compared, inputs, 2e-5)


@pytest.mark.parametrize('bits', [64, 32])
def test_golden_in_order(bits):
  """PCGrad and GradVac in the order of the tasks, GradVac and PCD in turn."""
  project, vaccinate = tiny.jit(pcgrad.projected), tiny.jit(gradvac.vaccinated)
  with jax.enable_x64(bits == 64):
    usual_TxT, order_TxT = jnp.zeros((4, 4)), jnp.tile(jnp.arange(4), (4, 1))
    for case in INPUTS:
      gradient_TxP, _ = _golden_input(case)
      gramian_TxT = _evidence(None, gradient_TxP).gramian_TxT
      of_task_TxT = project(gramian_TxT, order_TxT)
      expected = GOLDEN[f'aggregate/PCGrad/{case}']
      _assert_near(gradient_TxP.T @ of_task_TxT.sum(0), expected, 1e-5)
      of_task_TxT, _ = vaccinate(gramian_TxT, order_TxT, usual_TxT, 0.5)
      expected = GOLDEN[f'aggregate/GradVac/{case}']
      _assert_near(gradient_TxP.T @ of_task_TxT.sum(0), expected, 1e-5)

    cases = [GOLDEN[f'input/{case}'] for case in SEQUENCE]
    evidences = [_evidence(None, gradient_TxP) for gradient_TxP in cases]
    weights, _ = _play(_strategy('pcd'), evidences)
    for i, (gradient_TxP, evidence) in enumerate(
      zip(cases, evidences, strict=True)
    ):
      expected = GOLDEN[f'sequence/PCD/{i}']
      _assert_near(gradient_TxP.T @ weights[i], expected, 1e-5)
      of_task_TxT, usual_TxT = vaccinate(
        evidence.gramian_TxT, order_TxT, usual_TxT, 0.5
      )
      expected = GOLDEN[f'sequence/GradVac/{i}']
      _assert_near(gradient_TxP.T @ of_task_TxT.sum(0), expected, 1e-5)


@pytest.mark.parametrize('bits', [64, 32])
@pytest.mark.parametrize('case', INPUTS[:-2])
def test_mgda_is_the_shortest(case, bits):
  """g_t · Jᵀw is ‖Jᵀw‖² where w > 0, and not less elsewhere."""
  gradient_TxP = GOLDEN[f'input/{case}']
  with jax.enable_x64(bits == 64):
    (weight_T,), _ = _play(_strategy('mgda'), [_evidence(None, gradient_TxP)])
  assert weight_T.min() >= 0 and weight_T.sum() == pytest.approx(1)
  inner_T = gradient_TxP @ (gradient_TxP.T @ weight_T)
  norm_T = np.linalg.norm(gradient_TxP, axis=1)
  shortest = np.sqrt(weight_T @ inner_T)
  slack_T = inner_T - shortest**2
  tolerance_T = 2e-5 * norm_T * (shortest + 1e-2 * norm_T) + 1e-12
  assert (slack_T >= -tolerance_T).all()
  assert (
    np.abs(slack_T[weight_T > 1e-3]) <= tolerance_T[weight_T > 1e-3]
  ).all()


FAIR_POINT = tiny.jit(_solvers.fair_point)


@pytest.mark.parametrize('alpha', [0.5, 1, 2])
def test_the_fair_point(alpha):
  rng = np.random.default_rng(0)
  for number in (5, 45):
    gradient_TxP = rng.normal(size=(number, 100)) + 0.1
    gradient_TxP *= 10 ** rng.uniform(-1, 1, (number, 1))
    gramian_TxT = gradient_TxP @ gradient_TxP.T
    gramian_TxT /= np.trace(gramian_TxT)
    x_T = np.asarray(
      FAIR_POINT(jnp.float32(gramian_TxT), jnp.float32(alpha)), np.float64
    )
    np.testing.assert_allclose(gramian_TxT @ x_T, x_T ** (-1 / alpha), 1e-3)


@pytest.mark.parametrize('number', [1, 5, 45])
def test_the_quadratic_program(number):
  """x ≥ 0, Ax − b ≥ 0, and one of them 0; in float32."""
  rng = np.random.default_rng(number)
  solve = tiny.jit(_solvers.nonnegative_qp)
  for scale in (0, 2):
    factor = rng.normal(size=(number, 2 * number))
    factor *= 10 ** rng.uniform(-scale, scale, (number, 1))
    matrix_TxT, linear_T = factor @ factor.T, rng.normal(size=number)
    x_T = np.asarray(solve(jnp.float32(matrix_TxT), jnp.float32(linear_T)))
    norm_T = np.sqrt(np.diagonal(matrix_TxT))
    slope_T = (matrix_TxT @ x_T - linear_T) / norm_T
    small = 1e-4 * np.abs(linear_T / norm_T).max()
    assert x_T.min() >= 0 and slope_T.min() >= -small
    np.testing.assert_array_less(np.abs(slope_T[x_T > 0]), small)


@pytest.mark.parametrize('number', [2, 5, 45])
def test_cagrad_is_the_best_for_the_task_worst_off(number):
  """The two sides of its duality meet."""
  rng = np.random.default_rng(number)
  gradient_TxP = rng.normal(size=(number, 2 * number))
  (weight_T,), _ = _play(_strategy('cagrad'), [_evidence(None, gradient_TxP)])
  mean_P, update_P = gradient_TxP.mean(0), gradient_TxP.T @ weight_T
  weight_T, update_P = 1.4 * weight_T, 1.4 * update_P
  radius = 0.4 * np.linalg.norm(mean_P)
  assert np.linalg.norm(update_P - mean_P) == pytest.approx(radius, rel=1e-4)
  share_T = (weight_T - 1 / number) / (weight_T - 1 / number).sum()
  combined_P = gradient_TxP.T @ share_T
  bound = mean_P @ combined_P + radius * np.linalg.norm(combined_P)
  assert (gradient_TxP @ update_P).min() == pytest.approx(bound, abs=1e-3)


def _cancelling(length: float, seed: int = 0) -> np.ndarray:
  """Three gradients of length 1 or so, whose average is as long as that."""
  rng = np.random.default_rng(seed)
  gradient_TxP, mean_P = rng.normal(size=(3, 40)), rng.normal(size=40)
  gradient_TxP -= gradient_TxP.mean(0)
  return gradient_TxP + length * mean_P


@pytest.mark.parametrize('name', NAMES)
def test_gradients_that_almost_cancel(name):
  """In float32 what is left of them is rounding; no weight is infinite."""
  evidences = [
    _evidence(None, _cancelling(length, seed))
    for length in (1e-3, 1e-4, 1e-6)
    for seed in range(10)
  ]
  weights, _ = _play(_strategy(name), evidences)
  assert np.isfinite(weights).all()


@pytest.mark.parametrize(
  'length, tolerance', [(0.1, 1e-5), (1e-2, 2e-4), (1e-3, 1e-2)]
)
def test_cagrad_in_float32(length, tolerance):
  """What docs/strategies.md promises where gradients almost cancel."""
  strategy = _strategy('cagrad', nearness=0.5)
  for seed in range(10):
    gradient_TxP = np.pad(_cancelling(length, seed), ((0, 1), (0, 0)))
    updates = []
    for bits in (32, 64):
      with jax.enable_x64(bits == 64):
        evidence = _evidence(None, gradient_TxP, [1 / 3, 1 / 3, 1 / 3, 0])
        (weight_T,), _ = _play(strategy, [evidence])
      updates.append(gradient_TxP.T @ np.asarray(weight_T, np.float64))
    _assert_near(*updates, tolerance)


# Scalarizers.


def _slopes(function, loss_T, width=1e-6) -> np.ndarray:
  steps = width * np.eye(len(loss_T))
  return np.array(
    [(function(loss_T + s) - function(loss_T - s)) / 2 / width for s in steps]
  )


def test_equal():
  (weight_T,), _ = _play(
    _strategy('equal'), [_evidence(LOSSES[0], weight_T=[1, 0, 0.5, 0.3])]
  )
  np.testing.assert_allclose(weight_T, [0.6, 0, 0.6, 0.6], 1e-6)


def test_random():
  evidence = _evidence(LOSSES[0])
  (weight_T,), _ = _play(_strategy('random'), [evidence])
  logit_T = np.exp(jax.random.normal(evidence.key, (4,)))
  np.testing.assert_allclose(weight_T, logit_T / logit_T.sum(), 1e-5)


def test_geometric():
  for i, loss_T in enumerate(LOSSES):
    (weight_T,), _ = _play(_strategy('geometric'), [_evidence(loss_T)])
    expected = GOLDEN[f'scalar_gradient/GeometricMean/{i}']
    np.testing.assert_allclose(weight_T, expected, 1e-5)
  (weight_T,), _ = _play(
    _strategy('geometric'), [_evidence(LOSSES[0], weight_T=PREFERENCE)]
  )
  slope_T = _slopes(lambda loss_T: np.prod(loss_T**PREFERENCE), LOSSES[0])
  np.testing.assert_allclose(weight_T, slope_T, 1e-5)


def test_tchebycheff():
  def smooth(loss_T):
    return 0.3 * np.log(np.exp(PREFERENCE * loss_T / 0.3).sum())

  (weight_T,), _ = _play(
    _strategy('tchebycheff', smoothness=0.3),
    [_evidence(LOSSES[0], weight_T=PREFERENCE)],
  )
  slope_T = _slopes(smooth, LOSSES[0])
  np.testing.assert_allclose(weight_T, slope_T / slope_T.sum(), 1e-5)


def _adam(slopes_of, start_T, rate, steps):
  """The paper's, written out; all values in turn."""
  value_T, first_T, second_T = np.array(start_T), 0, 0
  for step in range(1, steps + 1):
    yield value_T
    slope_T = slopes_of(value_T, step - 1)
    first_T = 0.9 * first_T + 0.1 * slope_T
    second_T = 0.999 * second_T + 0.001 * slope_T**2
    mean_T, square_T = first_T / (1 - 0.9**step), second_T / (1 - 0.999**step)
    value_T = value_T - rate * mean_T / (np.sqrt(square_T) + 1e-8)


def test_uncertainty():
  def slopes(log_T, step):
    return _slopes(
      lambda s_T: (np.exp(-s_T) * LOSSES[step] + s_T / 2).sum(), log_T
    )

  weights, _ = _play(
    _strategy('uncertainty', scalar_rate=0.1), [*map(_evidence, LOSSES)]
  )
  for weight_T, log_T in zip(
    weights, _adam(slopes, np.zeros(4), 0.1, 5), strict=True
  ):
    expected_T = np.exp(-log_T)
    np.testing.assert_allclose(weight_T, expected_T / expected_T.sum(), 1e-4)


def test_impartial_loss():
  weights, states = _play(
    _strategy('impartial_loss'), [*map(_evidence, LOSSES)]
  )
  for i in range(4):
    expected_T = GOLDEN[f'scalar_state/IMTLL/{i + 1}']
    np.testing.assert_allclose(states[i].value_T, expected_T, 1e-4)
    expected_T = np.exp(expected_T)
    np.testing.assert_allclose(
      weights[i + 1], expected_T / expected_T.sum(), 1e-4
    )


def test_dynamic_average():
  """A window of one step, as an epoch; and one of two, by labelled photos."""
  evidences = [*map(_evidence, LOSSES)]
  weights, _ = _play(_strategy('dynamic_average', window=1), evidences)
  for i, weight_T in enumerate(weights):
    expected_T = GOLDEN[f'scalar_gradient/DWA/{i}']
    np.testing.assert_allclose(weight_T, expected_T / expected_T.sum(), 1e-5)
  counts = (
    [1, 1, 1, 1],
    [3, 1, 1, 2],
    [1, 1, 1, 1],
    [2, 1, 1, 5],
    [1, 1, 1, 1],
  )
  weights, _ = _play(
    _strategy('dynamic_average', window=2),
    [
      _evidence(loss_T, count_T=count_T)
      for loss_T, count_T in zip(LOSSES, counts, strict=True)
    ],
  )
  first_T, last_T = (
    np.average(LOSSES[a:b], axis=0, weights=counts[a:b])
    for a, b in ((0, 2), (2, 4))
  )
  expected_T = np.exp(last_T / first_T / 2)
  np.testing.assert_allclose(weights[:4], 0.25, 1e-6)
  np.testing.assert_allclose(weights[4], expected_T / expected_T.sum(), 1e-5)


def test_famo():
  """Its loss after an update is that of the next step, as in the file."""
  weights, states = _play(_strategy('famo'), [*map(_evidence, LOSSES)])
  for i, weight_T in enumerate(weights):
    logit_T = GOLDEN[f'scalar_state/FAMO/{i}']
    np.testing.assert_allclose(states[i].logits.value_T, logit_T, 1e-3, 1e-6)
    expected_T = GOLDEN[f'scalar_gradient/FAMO/{i}']
    np.testing.assert_allclose(weight_T, expected_T, 1e-4)


def test_gradnorm():
  norm_T = np.array([1, 3, 0.5, 2])

  def weights_of(logit_T):
    return np.exp(logit_T) / np.exp(logit_T).sum()

  def slopes(logit_T, step):
    left_T = LOSSES[step] / LOSSES[0]
    mean = (weights_of(logit_T) * norm_T).mean()
    target_T = mean * (left_T / left_T.mean()) ** 1.5
    return _slopes(
      lambda s_T: np.abs(weights_of(s_T) * norm_T - target_T).sum(), logit_T
    )

  weights, _ = _play(
    _strategy('gradnorm'),
    [_evidence(loss_T, np.diag(norm_T)) for loss_T in LOSSES],
  )
  for weight_T, logit_T in zip(
    weights, _adam(slopes, np.zeros(4), 0.025, 5), strict=True
  ):
    np.testing.assert_allclose(weight_T, weights_of(logit_T), 1e-4)


# Of each method.


def _among_many(evidence: Evidence, place_T, weight: float) -> Evidence:
  """The tasks at their places of 45; the others have that weight, no label."""

  def spread(x, fill):
    whole = np.full(np.ndim(x) * [45], fill, np.float32)
    whole[np.ix_(*np.ndim(x) * [place_T])] = x
    return whole

  weight_T = spread(evidence.weight_T, weight)
  return Evidence(
    *(spread(evidence.loss_T, 0), spread(evidence.count_T, 0), weight_T),
    spread(evidence.gramian_TxT, 1),
    evidence.key,
  )


@pytest.mark.parametrize('name', NAMES)
def test_a_task_without_a_label_changes_nothing(name):
  """Be it the run's, or that of another run of an ensemble.

  All runs are updated at once, as in a study, and each is as alone; and one has
  all of the 45 tasks.
  """
  strategy = _strategy(name)
  first = _steps(np.array([1, 0.5, 0.7]), steps=3)
  runs = (
    # The places of a run's tasks, and the weight of the others.
    (first, [42, 43, 44], 0.0),
    (first, [0, 1, 2], 0.8),
    (_steps(np.array([0.4, 0, 1]), seed=1, steps=3), [3, 20, 21], 0.0),
  )
  many = _steps(0.95 ** np.arange(45), steps=3)
  together = [
    jax.tree.map(
      lambda *leaves: jnp.stack(leaves),
      last,
      *(
        _among_many(evidences[step], place_T, weight)
        for evidences, place_T, weight in runs
      ),
    )
    for step, last in enumerate(many)
  ]
  update = tiny.jit(jax.vmap(strategy.update))
  state = jax.tree.map(lambda leaf: jnp.stack(4 * [leaf]), strategy.init(45))
  steps = []
  for evidence in together:
    weight_RxT, state = update(evidence, state)
    steps.append(np.asarray(weight_RxT))
  weight_SxRxT = np.array(steps)
  assert np.isfinite(weight_SxRxT).all()
  assert np.abs(weight_SxRxT).max() < 1e3
  for r, (evidences, place_T, _) in enumerate(runs, 1):
    weights, states = _play(strategy, evidences)
    more_weights = weight_SxRxT[:, r]
    np.testing.assert_allclose(more_weights[:, place_T], weights, 1e-4, 1e-5)
    if name != 'weighted_sum':
      assert (np.delete(more_weights, place_T, 1) == 0).all()
    jax.tree.map(
      lambda leaf, expected, r=r, place_T=place_T: np.testing.assert_allclose(
        leaf[r][np.ix_(*np.ndim(expected) * [place_T])], expected, 1e-4, 1e-5
      ),
      state,
      states[-1],
    )


@pytest.mark.parametrize('name', NAMES)
def test_the_state_of_a_task_without_a_label_stands_still(name):
  weight_T = [1, 0.5, 0.7]
  evidences = [
    *_steps(weight_T, steps=3),
    *_steps(weight_T, steps=1, seed=1, without=(1,)),
  ]
  _, states = _play(_strategy(name), evidences)

  def same(after, before):
    after, before = np.asarray(after), np.asarray(before)
    np.testing.assert_array_equal(after[1], before[1])
    np.testing.assert_array_equal(after.T[1], before.T[1])

  jax.tree.map(same, states[-1], states[-2])


@pytest.mark.parametrize('name', NAMES)
def test_the_order_of_the_tasks(name):
  """On average over random draws; pcd's first task stays."""
  order = [0, 2, 1] if name == 'pcd' else [2, 0, 1]
  evidences = _steps([1, 0.5, 0.7])
  permuted = [
    Evidence(
      *(np.asarray(x)[order] for x in evidence[:3]),
      np.asarray(evidence.gramian_TxT)[np.ix_(order, order)],
      evidence.key,
    )
    for evidence in evidences
  ]
  if name in RANDOM:
    strategy, keys = _strategy(name), jax.random.split(jax.random.key(0), 4000)

    @tiny.jit
    def mean(evidence):
      update = jax.vmap(
        lambda key: strategy.update(
          evidence._replace(key=key), strategy.init(3)
        )[0]
      )
      return update(keys).mean(0)

    weights, expected = mean(permuted[0]), mean(evidences[0])[jnp.array(order)]
    np.testing.assert_allclose(weights, expected, atol=0.03)
    return
  weights, states = _play(_strategy(name), permuted)
  expected, expected_states = _play(_strategy(name), evidences)
  np.testing.assert_allclose(weights, expected[:, order], 1e-4, 1e-5)
  jax.tree.map(
    lambda leaf, of: np.testing.assert_allclose(
      leaf, of[np.ix_(*np.ndim(of) * [order])], 1e-4, 1e-5
    ),
    states[-1],
    expected_states[-1],
  )


@pytest.mark.parametrize('name', NAMES)
def test_one_task_alone_is_plain_training(name):
  weights, _ = _play(_strategy(name), _steps([0.7]))
  np.testing.assert_allclose(weights, 0.7, 1e-5)


@pytest.mark.parametrize('name', NAMES)
def test_the_sum_of_the_weights(name):
  """It is that of the run's, of the tasks that are here; as of gradients at
  right angles and equally long it is of those that have a sum of their own.
  """
  evidences = _steps([1, 0.5, 0.7], without=(1,))
  if name in OWN_SUM:
    evidences = [
      evidence._replace(loss_T=jnp.ones(3), gramian_TxT=jnp.eye(3))
      for evidence in evidences
    ]
  weights, _ = _play(_strategy(name), evidences)
  total = 2.2 if name == 'weighted_sum' else 1.7
  if name not in ('cagrad', 'pcd'):
    np.testing.assert_allclose(weights.sum(1), total, 1e-5)


@pytest.mark.parametrize('name', NAMES)
def test_no_gradients_no_losses_no_labels(name):
  zeros_T = np.zeros(3)
  weights, states = _play(
    _strategy(name),
    [
      *[_evidence(zeros_T, np.zeros((3, 3)))] * 2,
      _evidence(zeros_T, np.zeros((3, 3)), count_T=zeros_T),
    ],
  )
  assert np.isfinite(weights).all()
  for leaf in jax.tree.leaves(states):
    assert np.isfinite(leaf).all()
