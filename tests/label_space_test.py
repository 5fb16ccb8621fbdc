"""Labels as points and their groups, beside slow references."""

import dataclasses
import itertools
import json

import jax
import numpy as np
import pytest
import tiny
from scipy import stats
from sklearn import metrics

from imat_jax import config, errors
from imat_jax.data import build, configs, source
from imat_jax.label_space import (
  clusters,
  embedders,
  lab,
  vae,
  vae_training,
  vectors,
)
from imat_jax.models import network
from imat_jax.reporting import label_space_page
from imat_jax.study import label_space, preflight
from imat_jax.study.label_space_config import LabelSpace, Vae
from imat_jax.training import scoring, trained_model

SMALL = Vae(vae_side=16, vae_width=4, latent_dims=3, vae_epochs=2, batch_size=8)


@pytest.fixture
def rng() -> np.random.Generator:
  return np.random.default_rng(0)


# Of the corners of sRGB and of its middle grey, as published to two digits.
@pytest.mark.parametrize(
  'srgb, expected',
  [
    ((255, 255, 255), (100, 0, 0)),
    ((0, 0, 0), (0, 0, 0)),
    ((255, 0, 0), (53.24, 80.09, 67.20)),
    ((0, 255, 0), (87.73, -86.18, 83.18)),
    ((0, 0, 255), (32.30, 79.19, -107.86)),
    ((255, 255, 0), (97.14, -21.55, 94.48)),
    ((119, 119, 119), (50.03, 0, 0)),
    ((2, 2, 2), (0.55, 0, 0)),  # where both curves are lines
  ],
)
def test_lab_of_published_colors(srgb, expected):
  color = lab.from_srgb(np.array(srgb, np.uint8))
  np.testing.assert_allclose(color, expected, atol=0.02)


def test_the_centre_is_the_middle_third():
  image_NxHxWxC = np.zeros((1, 9, 9, 3), np.uint8)
  image_NxHxWxC[:, 3:6, 3:6] = 255, 0, 0
  found_NxD = embedders.centre_lab(image_NxHxWxC)
  np.testing.assert_allclose(found_NxD, [(53.24, 80.09, 67.20)], atol=0.02)


def test_the_bound_is_that_of_a_slow_reference(rng):
  """Reconstruction beside scipy; the KL divergence beside Monte Carlo."""
  image_BxHxWxC = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
  model, key = vae.Autoencoder(SMALL), jax.random.key(1)
  apply = tiny.jit(model.apply, static_argnames='method')
  params = vae_training._init(SMALL, 0).params
  params['params']['to_latent']['kernel'] *= 5  # away from the prior
  terms = apply(params, image_BxHxWxC, key)
  mean_BxZ, log_variance_BxZ = apply(params, image_BxHxWxC, method='encode')
  deviation_BxZ = np.exp(np.array(log_variance_BxZ)) ** 0.5
  noise_BxZ = np.array(jax.random.normal(key, mean_BxZ.shape))
  decoded_BxHxWxC = apply(
    params, mean_BxZ + deviation_BxZ * noise_BxZ, method='decode'
  )
  assert decoded_BxHxWxC.shape == image_BxHxWxC.shape
  deviation = ((image_BxHxWxC / 255 - decoded_BxHxWxC) ** 2).mean() ** 0.5
  expected_BxHxWxC = stats.norm.logpdf(
    image_BxHxWxC / 255, decoded_BxHxWxC, deviation
  )
  np.testing.assert_allclose(
    terms.log_likelihood_B, expected_BxHxWxC.sum((1, 2, 3)), rtol=1e-5
  )
  drawn_AxBxZ = rng.normal(mean_BxZ, deviation_BxZ, (100_000, 2, 3))
  difference_AxBxZ = stats.norm.logpdf(
    drawn_AxBxZ, mean_BxZ, deviation_BxZ
  ) - stats.norm.logpdf(drawn_AxBxZ)
  np.testing.assert_allclose(
    terms.kl_B, difference_AxBxZ.sum(2).mean(0), rtol=0.02
  )


def test_pixels_of_a_block_are_neighbours():
  x_BxHxWxC = np.arange(2 * 3 * 8).reshape(1, 2, 3, 8)
  found_BxHxWxC = np.asarray(vae._depth_to_space(jax.numpy.array(x_BxHxWxC)))
  assert found_BxHxWxC.shape == (1, 4, 6, 2)
  for row, column, down, right in itertools.product(
    range(2), range(3), range(2), range(2)
  ):
    pixel_C = found_BxHxWxC[0, 2 * row + down, 2 * column + right]
    start = 2 * (2 * down + right)
    assert (pixel_C == x_BxHxWxC[0, row, column, start : start + 2]).all()


@pytest.fixture
def photos(rng) -> np.ndarray:
  """Of one brightness each, uint8."""
  grey_N = rng.integers(0, 256, 20)
  return np.broadcast_to(grey_N[:, None, None, None], (20, 16, 16, 3)).astype(
    np.uint8
  )


def test_a_killed_autoencoder_resumes_exactly(photos, tmp_path, monkeypatch):
  long = dataclasses.replace(SMALL, vae_epochs=4)
  whole = vae_training.train(long, photos, 0, tmp_path / 'whole', 'data')
  save = vae_training._save

  def killed(path, state, term_Ex2):
    if len(term_Ex2) == 3:
      raise KeyboardInterrupt
    save(path, state, term_Ex2)

  monkeypatch.setattr(vae_training, '_save', killed)
  with pytest.raises(KeyboardInterrupt):
    vae_training.train(long, photos, 0, tmp_path / 'killed', 'data')
  monkeypatch.setattr(vae_training, '_save', save)
  resumed = vae_training.train(long, photos, 0, tmp_path / 'killed', 'data')
  assert len(resumed.term_Ex2) == 4
  jax.tree.map(np.testing.assert_array_equal, resumed[1:], whole[1:])
  bound_E = whole.term_Ex2[:, 0] - whole.term_Ex2[:, 1]
  assert bound_E[-1] > bound_E[0]
  (path,) = (tmp_path / 'killed').iterdir()
  path.write_bytes(path.read_bytes()[:1000])
  with pytest.raises(errors.UserError, match='delete it to train'):
    vae_training.train(long, photos, 0, tmp_path / 'killed', 'data')


def test_seeds_options_and_data_sets_have_an_autoencoder_each():
  wide = dataclasses.replace(SMALL, latent_dims=4)
  longer = dataclasses.replace(SMALL, vae_epochs=9)
  cases = (SMALL, 0, 'a'), (SMALL, 1, 'a'), (SMALL, 0, 'b'), (wide, 0, 'a')
  assert len({vae_training._name(*case) for case in cases}) == 4
  assert vae_training._name(longer, 0, 'a') == vae_training._name(*cases[0])


def test_a_label_is_mean_and_spread_of_its_photos(rng):
  label_N = np.repeat([0, 1, 2], [5, 400, 30])
  feature_NxD = rng.normal(label_N[:, None], [[1, 3]], (435, 2))
  measured = vectors.of_labels(feature_NxD, label_N)
  for label in range(3):
    own_MxD = feature_NxD[label_N == label]
    mean_D, spread_D = own_MxD.mean(0), own_MxD.std(0)
    np.testing.assert_allclose(measured.mean_AxKxD[label], mean_D)
    np.testing.assert_allclose(measured.spread_AxKxD[label], spread_D)
  # The means of draws vary as the standard error of a mean.
  draws = vectors.drawn(feature_NxD, label_N, 2000, 0)
  error_D = measured.spread_AxKxD[1] / 400**0.5
  np.testing.assert_allclose(draws.mean_AxKxD[:, 1].std(0), error_D, rtol=0.1)


def test_neither_units_nor_constants_count(rng):
  label_N = np.repeat([0, 1, 2], 20)
  feature_NxD = rng.normal(label_N[:, None], 1, (60, 2))
  scaled_NxD = np.concatenate([1000 * feature_NxD, np.ones((60, 1))], 1)
  point_KxD = vectors.of_labels(feature_NxD, label_N).point_AxKxD()
  scaled_KxD = vectors.of_labels(scaled_NxD, label_N).point_AxKxD()
  np.testing.assert_allclose(scaled_KxD[:, :2], point_KxD)
  assert not scaled_KxD[:, 2].any()


def test_rand_index_and_purity_are_scikit_learns(rng):
  group_AxK = rng.integers(0, 4, (6, 12))
  found_AxA = clusters.adjusted_rand(group_AxK, group_AxK)
  for a, b in itertools.product(range(6), repeat=2):
    one_K, two_K = group_AxK[a], group_AxK[b]
    expected = metrics.adjusted_rand_score(one_K, two_K)
    np.testing.assert_allclose(found_AxA[a, b], expected)
    counts = metrics.cluster.contingency_matrix(two_K, one_K)
    assert clusters.purity(one_K, two_K) == counts.max(0).sum() / 12


def test_the_number_of_blobs_is_the_most_stable(rng):
  centre_KxD = np.repeat(10 * rng.normal(size=(4, 2)), 3, 0)
  drawn_AxKxD = centre_KxD + rng.normal(size=(20, 12, 2))
  by_number = clusters.stability(drawn_AxKxD)
  assert [*by_number] == [*range(2, 12)]
  assert max(by_number, key=by_number.get) == 4
  group_K = clusters.cut(clusters.tree(drawn_AxKxD[0]), 4)
  np.testing.assert_array_equal(
    clusters.adjusted_rand(group_K[None], np.repeat(range(4), 3)[None]), 1
  )


def test_p_is_the_share_of_all_permutations():
  group_K, reference_K = (
    np.array([0, 0, 1, 1, 2, 2]),
    np.array([0, 0, 1, 2, 1, 1]),
  )
  every_AxK = np.array([*itertools.permutations(group_K)])
  score_A = [metrics.adjusted_rand_score(a, reference_K) for a in every_AxK]
  own = metrics.adjusted_rand_score(group_K, reference_K)
  agreement = clusters.agreement(group_K, reference_K)
  np.testing.assert_allclose(agreement.rand, own)
  expected = np.mean(np.array(score_A) >= own - 1e-9)
  np.testing.assert_allclose(agreement.p_value, expected, atol=0.02)
  assert np.mean(np.array(score_A) > agreement.random_rand + 1e-9) <= 0.05


@pytest.fixture(scope='module')
def run(trained) -> trained_model.TrainedModel:
  return trained_model.load(trained)


def test_features_of_a_run_are_those_that_its_heads_see(run, built):
  """Heads and features together are the network."""
  examples = source.Source(built, 'train', run.task_set, np.arange(3, 40))
  feature_NxD = embedders.trunk(examples, run)
  module = network.Network(run.run.model, run.task_set)
  found_NxTxK = module.apply(run.variables, feature_NxD, method='classify')
  expected = scoring.outputs(
    run, built, 'train', batch_size=16, loader=config.Loader()
  )
  np.testing.assert_allclose(
    found_NxTxK, expected.logits_NxTxK[3:40], rtol=1e-4, atol=1e-5
  )


def test_a_label_is_a_column_of_its_head(run):
  kernel = run.variables['params']['heads']['logits']['kernel']
  labels = run.task_set['apparel'].labels
  found_KxD = embedders.head(run, 'apparel', labels[::-1])
  np.testing.assert_array_equal(found_KxD, np.asarray(kernel[:, 1]).T[::-1])
  with pytest.raises(errors.UserError, match='no head for color with mauve'):
    embedders.head(run, 'color', ['red', 'mauve'])


CURATED = 'color: {cold: [blue, green]}'


@pytest.fixture
def curated(tmp_path) -> str:
  path = tmp_path / 'curated.yaml'
  path.write_text(CURATED)
  return str(path)


def _settings(built, workdir, **changes) -> LabelSpace:
  given = {'min_photos': 5, 'draws': 4, 'vae_seeds': 2, 'vae': SMALL}
  return LabelSpace(data_dir=built, workdir=str(workdir), **given | changes)


def test_a_build_takes_the_groups_of_every_embedder(
  built, trained, kaggle, curated, tmp_path, capsys
):
  names = 'lab', 'trunk', 'head', 'vae'
  settings = _settings(
    *(built, tmp_path / 'space'), run=trained, curated=curated, embedders=names
  )
  preflight.check_label_space(settings)
  label_space.run_label_space(settings)
  assert 'in 2 groups, as many as' in capsys.readouterr().out
  content = json.loads((tmp_path / 'space/groups.json').read_text())
  assert (*content,) == names
  for of_embedder in content.values():
    labels = sorted(itertools.chain(*of_embedder['groups'].values()))
    assert labels == ['blue', 'green', 'red']
    is_curated = ['red'] in of_embedder['groups'].values()
    assert (of_embedder['equal']['Rand index'] == 1) == is_curated
  files = [str(tmp_path / f'space/groups_{name}.yaml') for name in names]
  build.main(
    configs.Build(
      annotations=str(kaggle.annotations),
      images=str(kaggle.images),
      data_dir=str(tmp_path / 'built'),
      groups=tuple(files),
    )
  )
  groups = source.read_metadata(tmp_path / 'built')['groups']
  for name in names:
    of_build = groups[f'color_groups_{name}']['groups']
    expected = content[name]['groups']
    assert {n: {*labels} for n, labels in of_build.items()} == {
      n: {*labels} for n, labels in expected.items()
    }
  page = (tmp_path / 'space/report.html').read_text()
  assert page.count('<svg') == 3 * len(names)
  assert page.count('data:image/png') == 3
  assert '<script' not in page
  preflight.check_label_space(settings)  # it may be started again
  with pytest.raises(errors.UserError, match='groups of the labels of color'):
    preflight.check_label_space(dataclasses.replace(settings, task='age'))
  (tmp_path / 'space/groups_lab.yaml').write_text('color: {}')
  with pytest.raises(errors.UserError, match='groups_lab.yaml: .* changed'):
    label_space.run_label_space(settings)


@pytest.mark.parametrize(
  'rand, p_value, expected',
  [
    ({'lab': 0.1, 'vae': 0.2}, 0.3, ['No groups agree']),
    ({'lab': 0.1, 'vae': 0.9}, 0.01, ['The autoencoder agrees best']),
    (
      {'lab': 0.9, 'vae': 0.1},
      *(0.01, ['The color of the centre agrees best', 'has not earned']),
    ),
  ],
)
def test_the_verdict_says_who_agrees_best(rand, p_value, expected):
  groupings = [
    clusters.Grouping(
      *(name, None, None, None, {}, None, None),
      clusters.Agreement(one, 0.5, 0.2, p_value),
    )
    for name, one in rand.items()
  ]
  labels = vectors.Labels(('red', 'blue', 'navy'), None, None, ('a', 'b', 'b'))
  settings = LabelSpace(data_dir='data', workdir='space')
  lines = label_space_page.verdict(settings, labels, groupings)
  assert len(lines) == len(expected)
  for line, text in zip(lines, expected, strict=True):
    assert text in line


def test_labels_need_no_groups_by_hand(built, tmp_path):
  settings = _settings(built, tmp_path, curated='', embedders=('lab',))
  label_space.run_label_space(settings)
  content = json.loads((tmp_path / 'groups.json').read_text())
  assert content['lab']['equal'] is None


def test_what_does_not_fit_is_refused(built, curated, tmp_path):
  with pytest.raises(ValueError, match='head of which --run'):
    _settings(built, tmp_path, embedders=('lab', 'head'))
  with pytest.raises(ValueError, match='--vae_side=20'):
    dataclasses.replace(SMALL, vae_side=20)
  with pytest.raises(errors.UserError, match='files of no label space'):
    preflight.check_label_space(_settings(built, tmp_path))
  space = tmp_path / 'space'
  few = _settings(built, space, curated=curated, min_photos=14)
  with pytest.raises(errors.UserError, match='groups need three'):
    label_space.run_label_space(few)
  other = _settings(built, space, curated=curated, task='apparel')
  with pytest.raises(errors.UserError, match='has no groups of apparel'):
    label_space.run_label_space(other)
