"""Training on a share of the labels: which are kept, and that no more are."""

import json
import types

import numpy as np
import pytest
import tiny

from imat_jax import config, tasks
from imat_jax.data import random, source
from imat_jax.models import network, presets
from imat_jax.reporting import results
from imat_jax.study import grid, sweep
from imat_jax.study.config import Study
from imat_jax.training import features, inputs

NAMES = ('apparel', 'color', 'age')


@pytest.fixture(scope='module')
def examples(built) -> source.Source:
  return source.Source(built, 'train', source.read_tasks(built).select(NAMES))


def _slow(examples, name: str, share: float, seed: int) -> set[int]:
  """The photos whose label is kept, one by one: those with the least draws."""
  task = examples.task_set.names.index(name)
  labelled = [n for n in range(len(examples)) if examples[n].label_T[task] >= 0]
  draws = {}
  for n in labelled:
    number = np.array([examples.rows[n]], np.uint32)
    draw = random.uniform(np.uint32(seed), f'labels of {name}', number, 2)
    draws[float(draw[0, 0]), n] = n
  kept = max(round(share * len(labelled)), 1 if share else 0)
  return {draws[key] for key in sorted(draws)[:kept]}


@pytest.mark.parametrize('share', [0, 0.01, 0.3, 0.77, 1])
@pytest.mark.parametrize('seed', [0, 2**32 - 1])
def test_labels_are_those_of_a_slow_draw(examples, share, seed):
  before_NxT = examples.label_NxT()
  kept = examples.keep_labels({'color': share}, seed)
  after_NxT = np.stack([kept[n].label_T for n in range(len(kept))])
  np.testing.assert_array_equal(after_NxT, kept.label_NxT())
  # Of the other tasks and photos nothing changes.
  np.testing.assert_array_equal(after_NxT[:, [0, 2]], before_NxT[:, [0, 2]])
  expected = _slow(examples, 'color', share, seed)
  assert set(np.flatnonzero(after_NxT[:, 1] >= 0)) == expected
  for n in expected:
    assert after_NxT[n, 1] == before_NxT[n, 1]
    assert kept[n].jpeg == examples[n].jpeg


def test_smaller_shares_are_part_of_larger_ones(examples):
  kept = [
    examples.keep_labels({'color': share, 'age': 0.5}, 3).label_NxT()[:, 1] >= 0
    for share in (0, 0.03, 0.1, 0.3, 1)
  ]
  for fewer_N, more_N in zip(kept, kept[1:], strict=False):
    assert (fewer_N <= more_N).all() and fewer_N.sum() < more_N.sum()


def test_seeds_and_tasks_draw_apart(examples):
  label_NxT = examples.label_NxT()
  both_N = (label_NxT[:, 0] >= 0) & (label_NxT[:, 1] >= 0)
  kept = {
    (seed, name): examples.keep_labels({name: 0.5}, seed).label_NxT()[:, t] >= 0
    for t, name in enumerate(NAMES)
    for seed in (0, 1)
  }
  assert (kept[0, 'color'] != kept[1, 'color']).any()
  assert (kept[0, 'color'] != kept[0, 'apparel'])[both_N].any()


def test_fewer_photos_keep_their_labels_or_not_as_before(examples):
  """The draw hangs on the photo, not on its place among those drawn."""
  part = examples.draw(30, 1)
  of_all_NxT = examples.keep_labels({'color': 0.5}, 4).label_NxT()
  of_part_NxT = part.keep_labels({'color': 0.5}, 4).label_NxT()
  same_N = of_all_NxT[part.rows, 1] == of_part_NxT[:, 1]
  assert same_N.mean() > 0.8  # the number that is kept is another


def _data(built, **options) -> inputs.StreamedInputs:
  run = config.Run(
    data_dir=built,
    workdir='',
    tasks=('apparel', 'color'),
    label_share=('Colour=0.5', 'apparel=0.8'),
    seed=5,
    batch_size=8,
    **options,
  )
  task_set = source.read_tasks(built).select(run.tasks)
  return inputs.open_inputs(run, tiny.SMALL.trunk, task_set)


def test_streamed_and_cached_batches_have_the_same_labels(built):
  streamed, cached = _data(built), _data(built, cache_on_device=True)
  steps = streamed.steps_per_epoch
  batches = zip(streamed.train([5], 0), cached.train([5], 0), strict=True)
  counts = np.zeros(2, int)
  for step in range(steps):
    host, device = next(batches)
    (order_B,) = np.asarray(device.order)[:, step]
    stored_NxT = np.asarray(device.shared.label_NxT)
    padding_NxT = np.full((8 * steps - len(stored_NxT), 2), tasks.MISSING)
    label_BxT = np.concatenate([stored_NxT, padding_NxT])[order_B]
    np.testing.assert_array_equal(host.shared.label_BxT, label_BxT)
    counts += (label_BxT >= 0).sum(0)
  assert counts.tolist() == [round(0.8 * 50), round(0.5 * 41)]


def test_validation_keeps_all_labels(built):
  data = _data(built, cache_on_device=True)
  label_NxT = np.concatenate([b.label_BxT for b in data.validation()])
  assert (label_NxT >= 0).sum(0).tolist() == [21, 17]


def test_features_have_the_labels_of_their_photos(
  built, examples, tmp_path, monkeypatch
):
  _compute_numbers(monkeypatch, tmp_path / 'f.npy')
  part = examples.draw(20, 1).keep_labels({'color': 0.5}, 1)
  run = config.Run(data_dir=built, workdir='')
  trunk = types.SimpleNamespace(views=0)
  feature_NxVxD, label_NxT = features.read(run, trunk, part)
  assert feature_NxVxD.ravel().tolist() == part.rows.tolist()
  np.testing.assert_array_equal(label_NxT, part.label_NxT())


def test_features_that_are_damaged_are_computed_again(
  built, examples, tmp_path, monkeypatch
):
  path = tmp_path / 'f.npy'
  computed = _compute_numbers(monkeypatch, path)
  given = config.Run(data_dir=built, workdir=''), types.SimpleNamespace(views=0)
  expected, _ = features.read(*given, examples)
  content = path.read_bytes()
  for number, stored in enumerate((content, b'', content[:-9], b'not one')):
    path.write_bytes(stored)
    np.testing.assert_array_equal(features.read(*given, examples)[0], expected)
    assert len(computed) == 1 + number


def _compute_numbers(monkeypatch, path) -> list[int]:
  """Photo i has the feature i; returns the views that were computed."""
  computed = []

  def compute(training, trunk, examples, view):
    computed.append(view)
    return np.arange(50, dtype=np.float32)[:, None]

  monkeypatch.setattr(features, '_path', lambda *_: path)
  monkeypatch.setattr(features, '_compute', compute)
  monkeypatch.setattr(network, 'trained_input', lambda _: np.zeros((1, 1)))
  return computed


@pytest.mark.parametrize(
  ('shares', 'message'),
  [
    (('color',), 'must look like color=0.1'),
    (('=0.1',), 'must look like'),
    (('color=0.1', 'colour=0.2'), 'each task once'),
    (('color=1.5',), 'between 0 and 1'),
    (('color=nan',), 'between 0 and 1'),
    (('age=0.5',), '--label_share=age=0.5: age is none of --tasks=color'),
  ],
)
def test_bad_shares(shares, message):
  with pytest.raises(ValueError, match=message):
    config.Run(data_dir='', workdir='', tasks=('color',), label_share=shares)


def _study(built, tmp_path, **options) -> Study:
  shared = {'models': ('public_3m',), 'seeds': 2, 'epochs': 2, 'batch_size': 16}
  return Study(
    data_dir=built,
    workdir=str(tmp_path / 'study'),
    task_sets='apparel;apparel,color',
    cache_on_device=True,
    **shared | options,
  )


def test_a_study_of_shares(built, tmp_path, monkeypatch, capsys):
  """Each arm has the labels of its share, its baseline as many of its task."""
  monkeypatch.setattr(presets, 'by_name', lambda name: tiny.SMALL)
  study = _study(
    built,
    tmp_path,
    main_label_shares=(0.5, 1.0),
    other_label_shares=(0.2, 1.0),
  )
  planned = grid.make(study, source.read_tasks(built))
  pairs = {
    cell.label_share: grid.baseline(planned.cells, cell).label_share
    for cell in planned.cells
    if len(cell.tasks) > 1
  }
  assert pairs == {
    ('apparel=0.5', 'color=0.2'): ('apparel=0.5',),
    ('apparel=0.5',): ('apparel=0.5',),
    ('color=0.2',): (),
    (): (),
  }
  assert len(planned.cells) == 4 + 2
  sweep.run_study(study)
  assert 'apparel' in capsys.readouterr().out
  # The page has the difference over the number of labels: 50 and 41 at most.
  folder = tmp_path / 'study'
  findings = json.loads((folder / 'study.json').read_text())
  rows = findings['label_budget']
  assert [(row['main labels'], row['labels']) for row in rows] == [
    *((25, 8), (25, 41), (50, 8), (50, 41)),
  ]
  scores = {
    tuple(c.get('label_share', ())): c['scores']['apparel']['accuracy']['mean']
    for c in findings['cells']
    if len(c['tasks']) == 1
  }
  assert [row['alone'] for row in rows] == [
    *[scores['apparel=0.5',]] * 2,
    *[scores[()]] * 2,
  ]
  for row, share in zip(rows, ['0.2', '1', '0.2', '1'], strict=True):
    (comparison,) = (
      c
      for c in findings['comparisons']
      if c['scores']['accuracy']['mean'] == row['difference']
      and ('color=0.2' in c.get('label_share', ())) == (share == '0.2')
      and ('apparel=0.5' in c.get('label_share', ()))
      == (row['main labels'] == 25)
    )
    assert row['verdict'] == comparison['scores']['accuracy']['verdict']
  assert 'How many labels does it take?' in (folder / 'report.html').read_text()
  assert (folder / 'tables/label_budget.csv').read_text().count('\n') == 5
  # A run of the study is what the same options train alone.
  cell = next(c for c in planned.cells if c.label_share == ('color=0.2',))
  folder = grid.run_folder(study, cell, seed=1)
  tiny.run(
    built,
    tmp_path / 'alone',
    tasks=cell.tasks,
    label_share=cell.label_share,
    seed=1,
    epochs=2,
    batch_size=16,
    cache_on_device=True,
  )
  alone, of_study = (
    [row['total'] for row in results.read(path).rows]
    for path in (tmp_path / 'alone', folder)
  )
  for one, other in zip(alone, of_study, strict=True):
    assert one == pytest.approx(other, rel=1e-4)
  # With all labels it is another run.
  all_labels = cell._replace(label_share=())
  row = results.read(grid.run_folder(study, all_labels, 1)).rows[0]
  assert row['total']['train'] != pytest.approx(alone[0]['train'], rel=1e-4)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'main_label_shares': (0.0, 1.0)}, 'above 0'),
    ({'main_label_shares': (0.5, 0.5)}, 'each once'),
    ({'other_label_shares': (0.5,), 'runs_at_once': 2}, 'which each run draws'),
    (
      {'other_label_shares': (0.5,), 'strategies': ('weighted_sum',)},
      'not with shares of labels',
    ),
  ],
)
def test_bad_studies_of_shares(built, tmp_path, options, message):
  with pytest.raises(ValueError, match=message):
    _study(built, tmp_path, **options)
