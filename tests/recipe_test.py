"""The options of a modern recipe, each against a slow reference."""

import contextlib
import dataclasses
import functools
import io
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from PIL import Image, ImageEnhance

from imat_jax import config, errors, tasks
from imat_jax.data import pixels, random, source
from imat_jax.data.types import Batch
from imat_jax.models.network import Network
from imat_jax.models.trunks.resnet import ResNet
from imat_jax.training import (
  gradients,
  inputs,
  losses,
  optimizer,
  step,
)
from imat_jax.training.state import TrainState

RNG = np.random.default_rng(0)
PARAMS = {
  'conv': {'kernel': jnp.array([[1.0, -2.0]]), 'bias': jnp.array([0.5])},
  'norm': {'scale': jnp.array([3.0])},
}
TASKS = tasks.TaskSet(
  (tasks.Task('color', ('a', 'b', 'c')), tasks.Task('age', ('a', 'b')))
)
MODEL = config.Model(
  trunk=ResNet(image_size=16, width=8, blocks=(1,), dropout=0.0), head_widths=()
)
LABEL_BxT = np.array([[0, 1], [2, -1], [-1, -1], [1, 0]], np.int32)
CLASS_WEIGHT_TxK = np.float32([[1.0, 0.5, 3.0], [2.0, 0.25, 0.0]])


def _steps(options: config.Optimizer, num_steps: int) -> list[dict]:
  """The parameters after each step with the same gradient."""
  rule = optimizer.make(options, MODEL.trunk, num_steps)
  params, opt_state, after = PARAMS, rule.init(PARAMS), []
  for _ in range(num_steps):
    gradient = jax.tree.map(lambda x: 0.1 * jnp.ones_like(x), PARAMS)
    update, opt_state = rule.update(gradient, opt_state, params)
    params = optax.apply_updates(params, update)
    after.append(params)
  return after


def test_the_step_size_rises_and_falls():
  """SGD without momentum moves by the step size times the gradient."""
  options = config.Optimizer(
    *(), update_rule='sgd', adam_b1=0, learning_rate=2.0,
    schedule='cosine', warmup=0.2,
  )  # fmt: skip
  bias = [float(p['conv']['bias'][0]) for p in _steps(options, 10)]
  sizes = -np.diff([0.5, *bias]) / 0.1
  expected = [0, 1] + [1 + math.cos(math.pi * t / 8) for t in range(8)]
  np.testing.assert_allclose(sizes, expected, atol=1e-5)


@pytest.mark.parametrize('rule', ['adam', 'sgd'])
def test_only_kernels_decay(rule):
  options = config.Optimizer(update_rule=rule, learning_rate=0.1)
  (plain,) = _steps(options, 1)
  decays = dataclasses.replace(options, weight_decay=0.5)
  (decayed,) = _steps(decays, 1)
  expected = plain['conv']['kernel'] - 0.1 * 0.5 * PARAMS['conv']['kernel']
  np.testing.assert_allclose(decayed['conv']['kernel'], expected, rtol=1e-5)
  assert decayed['conv']['bias'] == plain['conv']['bias']
  assert decayed['norm']['scale'] == plain['norm']['scale']


def test_steps_that_never_add_up_are_refused(built):
  run = config.Run(
    data_dir=built,
    workdir='run',
    batch_size=16,
    epochs=2,
    model=tiny.SMALL,
    optimizer=config.Optimizer(accumulation=9),
  )
  task_set = source.read_tasks(built).select(run.tasks)
  with pytest.raises(errors.UserError, match='the run has 8 steps'):
    inputs.open_inputs(run, run.model.trunk, task_set)


def test_a_long_gradient_is_scaled():
  options = config.Optimizer(
    update_rule='sgd', adam_b1=0, learning_rate=1, clip_norm=0.05
  )
  (after,) = _steps(options, 1)
  moved = jax.tree.map(lambda a, b: a - b, after, PARAMS)
  assert optax.global_norm(moved) == pytest.approx(0.05, rel=1e-5)


@functools.cache
def _start(averages: bool = False) -> TrainState:
  network = Network(MODEL, TASKS)
  return tiny.fresh(network, optax.sgd(0.1), [1, 0.95], averages=averages)


def _batch() -> Batch:
  shape = len(LABEL_BxT), 16, 16, 3
  return Batch(RNG.integers(0, 256, shape, np.uint8), LABEL_BxT)


def _recipe(**options) -> config.Recipe:
  return config.Run(data_dir='', workdir='', **options).recipe


def test_the_average_of_the_parameters_is_evaluated():
  decay = 0.7
  recipe = _recipe(optimizer=config.Optimizer(average=decay))
  one_step = tiny.jit(
    functools.partial(
      step.train_step, Network(MODEL, TASKS), optax.sgd(0.1), recipe
    )
  )
  now, batch = _start(averages=True), _batch()
  kernel = lambda params: np.asarray(params['trunk']['stem']['conv']['kernel'])  # noqa: E731
  expected = kernel(now.params)
  for number in range(5):
    now, _ = one_step(now, batch)
    share = max(1 - decay, 1 / (number + 2))
    expected = (1 - share) * expected + share * kernel(now.params)
  np.testing.assert_allclose(
    kernel(now.variables['params']), expected, rtol=1e-5
  )
  assert np.abs(expected - kernel(now.params)).max() > 1e-4


def test_a_mean_of_gradients_is_one_update():
  """And the averaged parameters have it once."""
  options = config.Optimizer(accumulation=2, average=0.9, learning_rate=0.1)
  recipe = _recipe(optimizer=options)
  rule = optimizer.make(options, MODEL.trunk, num_steps=4)
  network = Network(MODEL, TASKS)
  now = tiny.fresh(network, rule, [1, 1], averages=True)
  one_step = tiny.jit(functools.partial(step.train_step, network, rule, recipe))
  first, second = _batch(), _batch()
  after, _ = one_step(now, first)
  jax.tree.map(np.testing.assert_array_equal, after.params, now.params)
  jax.tree.map(np.testing.assert_array_equal, after.average, now.params)
  after, _ = one_step(after, second)

  @tiny.jit
  def gradient_of(batch):
    _, loss_of = losses.objective(recipe, now, batch)
    return gradients.of_sum(
      network, recipe.strategy, loss_of, now, batch.image_BxHxWxC
    ).gradient

  mean = jax.tree.map(
    lambda a, b: (a + b) / 2, gradient_of(first), gradient_of(second)
  )
  adam = optax.adam(0.1, eps=1e-7)
  update, _ = adam.update(mean, adam.init(now.params))
  expected = optax.apply_updates(now.params, update)
  close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3)
  jax.tree.map(close, after.params, expected)
  middle = jax.tree.map(lambda a, b: (a + b) / 2, now.params, after.params)
  close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
  jax.tree.map(close, after.average, middle)


def test_class_weights_are_those_of_scikit_learn():
  class_weight = pytest.importorskip('sklearn.utils.class_weight')
  label_N = np.repeat([0, 1, 2], [1, 30, 6])
  expected = class_weight.compute_class_weight(
    'balanced', classes=np.arange(3), y=label_N
  )
  # The last label of the second task has no photo.
  count_TxK = np.array([np.bincount(label_N), [5, 5, 0]])
  weight_TxK = losses.class_weights(count_TxK, 1.0)
  np.testing.assert_allclose(weight_TxK, [expected, [1, 1, 0]], rtol=1e-6)
  np.testing.assert_allclose(
    losses.class_weights(count_TxK, 0.5), np.sqrt(weight_TxK), rtol=1e-6
  )


def test_an_epoch_has_all_labels_equally_often():
  """Each photo as often as its share, rounded up or down."""
  label_N = np.repeat([0, 1, 2, -1], [3, 60, 17, 20])
  end_N = random.balanced_ends(label_N)
  assert end_N[-1] == pytest.approx(100)
  share_N = np.diff(end_N, prepend=0)
  seen_NxE = np.empty((100, 50))
  for epoch in range(50):
    place_L = random.permutation(7, epoch, 112)
    order_L = random.resampled(7, epoch, place_L, end_N)
    assert (np.sort(order_L)[100:] == np.arange(100, 112)).all()
    seen_NxE[:, epoch] = np.bincount(order_L[order_L < 100], minlength=100)
    counts = [seen_NxE[label_N == label, epoch].sum() for label in range(4 - 1)]
    np.testing.assert_allclose(counts, 80 / 3, atol=1)
  assert (np.abs(seen_NxE - share_N[:, None]) < 1).all()
  np.testing.assert_allclose(seen_NxE.mean(1), share_N, atol=0.3)
  assert (seen_NxE[label_N == -1] == 1).all()


def test_half_precision_is_in_training_alone():
  batch, now = _batch(), _start()
  half = dataclasses.replace(MODEL, precision='bfloat16')

  @functools.partial(tiny.jit, static_argnums=0)
  def gradient(network, now, batch):
    recipe = _recipe()
    _, loss_of = losses.objective(recipe, now, batch)
    return gradients.of_sum(
      network, recipe.strategy, loss_of, now, batch.image_BxHxWxC
    ).gradient

  @functools.partial(tiny.jit, static_argnums=0)
  def logits(network, variables, image_BxHxWxC):
    return network.apply(variables, image_BxHxWxC, deterministic=True)

  gradient_of, logits_of = {}, {}
  for model in MODEL, half:
    network = Network(model, TASKS)
    gradient_of[model] = gradient(network, now, batch)
    logits_of[model] = logits(network, now.variables, batch.image_BxHxWxC)
  np.testing.assert_array_equal(logits_of[half], logits_of[MODEL])
  kernel, exact = (
    np.asarray(gradient_of[model]['trunk']['stem']['conv']['kernel'])
    for model in (half, MODEL)
  )
  assert kernel.dtype == np.float32
  error = np.linalg.norm(kernel - exact) / np.linalg.norm(exact)
  assert 1e-4 < error < 0.05


def _log_probability(logits: np.ndarray) -> np.ndarray:
  return logits - np.log(np.exp(logits).sum())


def _slow_loss(
  logits_BxTxK, label_BxT, partner_B, share, loss, class_weight_TxK
):
  """Photo by photo, task by task: sums of losses and weights."""
  sums = np.zeros((2, label_BxT.shape[1]))
  for b, t in np.ndindex(*label_BxT.shape):
    own = logits_BxTxK[b, t][np.isfinite(logits_BxTxK[b, t])]
    log = _log_probability(own)
    log = log * (1 - np.exp(log)) ** loss.focal_gamma
    smoothing = loss.label_smoothing
    for label, weight in (
      (label_BxT[b, t], share),
      (label_BxT[partner_B[b], t], 1 - share),
    ):
      if label >= 0:
        weight *= class_weight_TxK[t, label]
        term = (1 - smoothing) * log[label] + smoothing * log.mean()
        sums[:, t] += -weight * term, weight
  return sums


@pytest.mark.parametrize('mixing', [{}, {'mixup': 0.4}, {'cutmix': 1.0}])
@pytest.mark.parametrize(
  'settings',
  [
    *({}, {'label_smoothing': 0.2}),
    *({'focal_gamma': 2.0}, {'focal_gamma': 1.0, 'label_smoothing': 0.2}),
  ],
)
@pytest.mark.parametrize('class_weight_TxK', [None, CLASS_WEIGHT_TxK])
def test_smoothed_mixed_and_weighted_labels(mixing, settings, class_weight_TxK):
  """A missing label counts nowhere, in a pair neither."""
  recipe = _recipe(
    augmentation=config.Augmentation(**mixing),
    loss=config.Loss(**settings),
  )
  logits_BxTxK = RNG.normal(size=(4, 2, 3)).astype(np.float32)
  logits_BxTxK[:, 1, 2] = -np.inf
  partner_B, share = np.arange(4), 1.0
  if mixing:
    mixed = losses.mix(recipe.augmentation, _start(), _batch().image_BxHxWxC)
    partner_B, share = np.asarray(mixed.partner_B), float(mixed.share)
  _, loss_of = losses.objective(recipe, _start(), _batch(), class_weight_TxK)
  loss, gradient = jax.value_and_grad(lambda x: loss_of(x).sum_T.sum())(
    logits_BxTxK
  )
  sum_T, weight_T = _slow_loss(
    *(logits_BxTxK, LABEL_BxT, partner_B, share, recipe.loss),
    np.ones((2, 3)) if class_weight_TxK is None else class_weight_TxK,
  )
  np.testing.assert_allclose(loss, sum_T.sum(), rtol=1e-5)
  np.testing.assert_allclose(
    loss_of(logits_BxTxK).weight_T, weight_T, rtol=1e-5
  )
  assert np.isfinite(gradient).all()
  if not mixing:
    assert not gradient[2].any()


def test_a_lost_number_is_seen():
  """The loss is NaN, by which a run ends."""
  recipe = _recipe(loss=config.Loss(label_smoothing=0.1))
  _, loss_of = losses.objective(recipe, _start(), _batch())
  logits_BxTxK = np.zeros((4, 2, 3), np.float32)
  logits_BxTxK[:, 1, 2] = -np.inf
  assert np.isfinite(loss_of(logits_BxTxK).sum_T).all()
  logits_BxTxK[1, 0, 1] = np.nan
  np.testing.assert_array_equal(
    np.isnan(loss_of(logits_BxTxK).sum_T), [True, False]
  )


def test_mixed_photos_have_their_shares():
  image_BxHxWxC = np.zeros((4, 16, 16, 3), np.float32)
  image_BxHxWxC[:] = (np.arange(4) / 4)[:, None, None, None]
  for augmentation in (
    config.Augmentation(mixup=1.0), config.Augmentation(cutmix=1.0),
    config.Augmentation(mixup=1.0, cutmix=1.0),
  ):  # fmt: skip
    mix = tiny.jit(functools.partial(losses.mix, augmentation))
    kinds = set()
    for number in range(8):
      at = _start().replace(step=jnp.int32(number))
      mixed = mix(at, image_BxHxWxC)
      other = image_BxHxWxC[mixed.partner_B]
      expected = mixed.share * image_BxHxWxC + (1 - mixed.share) * other
      np.testing.assert_allclose(
        np.mean(mixed.image_BxHxWxC, (1, 2, 3)),
        expected.mean((1, 2, 3)),
        atol=1e-5,
      )
      whole = np.ptp(mixed.image_BxHxWxC, (1, 2, 3)).max() < 1e-6
      kinds.add('mixup' if whole else 'cutmix')
    assert ('cutmix' in kinds) == (augmentation.cutmix > 0)
    assert augmentation.cutmix or kinds == {'mixup'}


def test_jitter_is_that_of_pillow():
  """Within three grey levels: Pillow rounds to bytes after each factor."""
  image = RNG.integers(60, 160, (1, 8, 8, 3), np.uint8)
  factors = 1.2, 0.8, 1.3
  expected = Image.fromarray(image[0])
  for kind, factor in zip(
    (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color),
    factors,
    strict=True,
  ):
    expected = kind(expected).enhance(factor)
  jittered = pixels.jitter(image / np.float32(255), jnp.array([factors]))
  assert np.abs(255 * jittered[0] - np.asarray(expected, float)).max() <= 3


def test_colors_are_kept_where_a_protected_task_has_a_label():
  augmentation = config.Augmentation(color_jitter=0.5, protect=('color',))
  batch = _batch()
  seen = inputs.StepInput(batch, None).batch(
    _start(), (16, 16), augmentation, TASKS
  )
  moved = np.abs(255 * seen.image_BxHxWxC - batch.image_BxHxWxC).max((1, 2, 3))
  np.testing.assert_array_equal(moved > 1, LABEL_BxT[:, 0] < 0)
  other = _start().replace(weight_T=jnp.array([0.0, 1.0]))  # only age
  seen = inputs.StepInput(batch, None).batch(
    other, (16, 16), augmentation, TASKS
  )
  moved = np.abs(255 * seen.image_BxHxWxC - batch.image_BxHxWxC).max((1, 2, 3))
  assert (moved > 1).all()


def test_a_part_is_erased():
  image_BxHxWxC = np.full((2000, 20, 20, 3), 0.9, np.float32)
  drawn_Bx6 = RNG.uniform(size=(2000, 6)).astype(np.float32)
  erased = np.asarray(pixels.erase(image_BxHxWxC, drawn_Bx6, 0.25))
  is_grey = (erased == 0.5).all(3)
  assert is_grey.any((1, 2)).mean() == pytest.approx(0.25, abs=0.03)
  for one in is_grey[is_grey.any((1, 2))]:
    rows, columns = np.nonzero(one)  # a rectangle, of 2% to a third
    assert one.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert one.mean() <= 0.45
  assert is_grey.any(0).mean() > 0.95  # it may be anywhere


MODERN = {
  'model': MODEL,
  'optimizer': config.Optimizer(
    weight_decay=0.05,
    schedule='cosine',
    warmup=0.1,
    clip_norm=1.0,
    average=0.9,
    accumulation=2,
  ),
  'balanced_task': 'apparel',
  'augmentation': config.Augmentation(
    crop=0.5, color_jitter=0.3, erasing=0.2, mixup=0.2, cutmix=1.0
  ),
  'loss': config.Loss(
    label_smoothing=0.1, class_weighting=0.5, focal_gamma=1.0
  ),
}


def _interrupted_after(epochs: int, monkeypatch) -> None:
  """The next run ends after so many epochs, as by SIGTERM."""
  from imat_jax import train

  end_epoch, ended = train._end_epoch, []

  def stop(*arguments):
    result = end_epoch(*arguments)
    ended.append(1)
    if len(ended) == epochs:
      raise errors.Interrupted(15, 'stopped')
    return result

  monkeypatch.setattr(train, '_end_epoch', stop)


@pytest.mark.parametrize('cached', [False, True])
def test_a_run_with_all_of_it_is_resumed(built, tmp_path, cached, monkeypatch):
  """Interrupted, as more epochs are another schedule: that is refused."""
  changes = {**MODERN, 'cache_on_device': cached, 'saving': config.Saving()}
  tiny.run(built, tmp_path / 'straight', **changes)
  with monkeypatch.context() as patched:
    _interrupted_after(2, patched)
    with pytest.raises(errors.Interrupted):
      tiny.run(built, tmp_path / 'resumed', **changes)
  tiny.run(built, tmp_path / 'resumed', **changes)
  assert tiny.results(tmp_path / 'straight') == tiny.results(
    tmp_path / 'resumed'
  )
  with (
    pytest.raises(errors.UserError, match='epochs: 3 → 4'),
    contextlib.redirect_stdout(io.StringIO()),
  ):
    tiny.run(built, tmp_path / 'resumed', **changes, epochs=4)


def test_the_mean_of_a_photo_and_its_mirror_image():
  """In evaluation only."""
  model = dataclasses.replace(MODEL, average_mirrored=True)
  image_BxHxWxC, variables = _batch().image_BxHxWxC, _start().variables

  def logits(model, image_BxHxWxC, deterministic=True):
    return Network(model, TASKS).apply(
      variables, image_BxHxWxC, deterministic=deterministic
    )

  plain = logits(MODEL, image_BxHxWxC)
  mirrored = logits(MODEL, np.flip(image_BxHxWxC, 2))
  assert np.abs(plain - mirrored)[:, 0].max() > 1e-4
  np.testing.assert_allclose(
    logits(model, image_BxHxWxC), (plain + mirrored) / 2, rtol=1e-5
  )
  np.testing.assert_array_equal(logits(model, image_BxHxWxC, False), plain)


def test_features_do_not_depend_on_the_other_photos():
  module = MODEL.trunk.make()
  image_BxHxWxC = _batch().image_BxHxWxC
  variables = module.init(jax.random.key(0), image_BxHxWxC, deterministic=True)
  variables = jax.tree.map(
    lambda x: x + RNG.normal(size=x.shape).astype(np.float32), variables
  )
  apply = functools.partial(module.apply, variables, deterministic=True)
  np.testing.assert_allclose(
    apply(image_BxHxWxC)[:1], apply(image_BxHxWxC[:1]), rtol=1e-4, atol=1e-4
  )
