"""Searches: the space, and trials that survive their processes."""

import dataclasses
import json
import pathlib
import threading

import numpy as np
import pytest
import tiny
from optuna.trial import TrialState
from scipy import stats

from imat_jax import config, errors, flags
from imat_jax.reporting import search_page
from imat_jax.study import preflight, search, search_config, search_space
from imat_jax.writers.base import Summary

RUN = config.Run(data_dir='data', workdir='runs', model=tiny.SMALL)
SPACE = 'learning_rate=1e-4..1e-2:log; dropout=0..0.6; batch_size=8,16'


@pytest.mark.parametrize(
  'text, message',
  [
    ('', 'must have some options'),
    ('dropout=0..0.5; dropout=0,1', 'each once'),
    ('dropout=0..1.5', '--dropout=1.5'),
    ('dropout=0.5..0.1', 'must be LOW..HIGH'),
    ('dropout=0..0.5:log', 'must be LOW..HIGH'),
    ('epochs=a..b', "invalid literal for int() with base 10: 'a'"),
    ('speed=1,2', 'no option of a run that can be searched'),
    ('tasks=color', 'no option of a run that can be searched'),
    ('save_steps=1,2', 'no option of a run that can be searched'),
    ('head_widths=1,2', 'is a list, which cannot be searched'),
    ('average_mirrored=yes', "'yes' is neither true nor false"),
    ('schedule=linear', "'linear' is none of"),
    ('trunk=paper,lenet', "'lenet' is none of"),
    ('depth=1..3; trunk=paper,resnet', 'no option of a run'),
  ],
)
def test_a_bad_space_is_refused_before_the_first_run(text, message):
  with pytest.raises(ValueError) as raised:
    search_space.parse(text, RUN)
  assert message in str(raised.value)


def test_options_are_replaced_wherever_they_are():
  values = {'learning_rate': 0.5, 'dropout': 0.1, 'epochs': 3, 'crop': 0.5}
  changed = search_space.changed(RUN, values)
  assert changed.optimizer.learning_rate == 0.5
  assert changed.model.trunk.dropout == 0.1
  assert (changed.epochs, changed.augmentation.crop) == (3, 0.5)
  undone = {
    'learning_rate': 0.001,
    'dropout': 0.5,
    'epochs': 20,
    'crop': RUN.augmentation.crop,
  }
  assert search_space.changed(changed, undone) == RUN


def test_the_options_of_a_trunk_come_with_it():
  text = 'trunk=paper,resnet; width=8..32; shared_activation=relu,tanh'
  space = search_space.parse(text, RUN)
  names = [dimension.name for dimension in space]
  assert names == ['trunk', 'width', 'shared_activation']
  resnet = search_space.changed(RUN, {'width': 8, 'trunk': 'resnet'})
  assert resnet.model.trunk.width == 8
  assert search_space.applies(resnet, 'width')
  assert not search_space.applies(resnet, 'shared_activation')


# Seconds, not minutes: the trials are trained by a formula.
class Formula:
  """`train.train` without a network: a curve that follows from the config.

  A process that is killed after some epochs goes on from there, as a run does.
  """

  def __init__(self):
    self.trained, self.dies_after = 0, None

  def __call__(self, run, writers=()):
    folder = pathlib.Path(run.workdir)
    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / 'rows.json'
    losses = json.loads(rows.read_text()) if rows.exists() else []
    while len(losses) < run.epochs:
      if self.dies_after == self.trained:
        raise KeyboardInterrupt
      self.trained += 1
      losses.append(self.loss(run, len(losses) + 1))
      row = {
        'epoch': len(losses),
        'validation': {'color': {'loss': losses[-1], 'accuracy': -losses[-1]}},
      }
      rows.write_text(json.dumps(losses))
      for writer in writers:
        writer.write(Summary(len(losses), row))

  @staticmethod
  def loss(run, epoch):
    rate = np.log10(run.optimizer.learning_rate) + 3
    seeds = run.seed, int(1e9 * run.optimizer.learning_rate)
    noise = np.random.default_rng(seeds).normal(0, 0.01)
    return rate**2 + run.model.trunk.dropout + 1 / epoch + noise

  @staticmethod
  def outcome(search, folder):
    losses = json.loads((folder / 'rows.json').read_text())
    epoch = int(np.argmin(losses)) + 1
    reported = {'split': 'test', 'loss': losses[epoch - 1], 'accuracy': 0.5}
    return losses[epoch - 1], epoch, reported


@pytest.fixture
def formula(monkeypatch):
  fake = Formula()
  monkeypatch.setattr(search.train, 'train', fake)
  monkeypatch.setattr(search, '_outcome', fake.outcome)
  monkeypatch.setattr(
    search.results,
    'is_finished',
    lambda folder: (pathlib.Path(folder) / 'rows.json').exists(),
  )
  return fake


def _search(built, path, **options) -> search_config.Search:
  given = {
    'data_dir': built,
    'workdir': str(path),
    'tasks': ('color',),
    'space': SPACE,
    'trials': 14,
    'epochs': 4,
    'finalists': 2,
    'seeds': 3,
    'model': tiny.SMALL,
  }
  return search_config.Search(**given | options)


def _trials(one: search_config.Search) -> list:
  root = pathlib.Path(one.workdir)
  study = search._study(one, root)
  return [
    (
      trial.user_attrs['values'],
      trial.values if trial.state == TrialState.COMPLETE else None,
      trial.intermediate_values,
    )
    for trial in search._ended(study)
  ]


@pytest.mark.parametrize('halving', [0, 2])
def test_a_search_killed_three_times_equals_an_uninterrupted_one(
  built, tmp_path, formula, halving
):
  whole = _search(built, tmp_path / 'whole', halving=halving)
  search.run_search(whole)
  epochs = formula.trained
  killed = _search(built, tmp_path / 'killed', halving=halving)
  formula.trained = 0
  for formula.dies_after in (3, 11, 17):
    with pytest.raises(KeyboardInterrupt):
      search.run_search(killed)
  formula.dies_after = None
  with (tmp_path / 'killed' / search.JOURNAL).open('a') as file:
    file.write('{"op_code": 6, "worker')  # as a full disk leaves it
  search.run_search(killed)
  assert formula.trained == epochs
  assert _trials(killed) == _trials(whole)
  assert len(_trials(whole)) == whole.trials
  if halving:
    assert any(values is None for _, values, _ in _trials(whole))
  for name in (search.BEST, 'finalists.json'):
    paths = (pathlib.Path(one.workdir) / name for one in (whole, killed))
    first, second = (path.read_text() for path in paths)
    assert first == second


def test_the_best_options_are_flags(built, tmp_path, formula):
  one = _search(built, tmp_path / 'search')
  search.run_search(one)
  finals = json.loads((tmp_path / 'search/finalists.json').read_text())
  best = min(finals, key=lambda final: np.mean(final['scores']))
  assert best['trial'] is not None
  file = f'--flagfile={tmp_path}/search/{search.BEST}'
  argv = ['public_3m', file, '--data_dir=data', '--workdir=runs', *tiny.FLAGS]
  run = flags.parse(config.Run, argv)
  assert run.optimizer.learning_rate == best['values']['learning_rate']
  assert run.batch_size == best['values']['batch_size']
  page = (tmp_path / 'search/report.html').read_text()
  assert f'trial {best["trial"]}' in page


@pytest.mark.parametrize('split', ['test', 'validation'])
def test_the_verdict_names_what_seeds_do_not_tell_apart(split):
  scores = {
    None: (1.00, 1.02, 0.98),
    3: (0.70, 0.71, 0.74),
    5: (0.75, 0.70, 0.72),
    8: (0.90, 0.91, 0.93),
  }
  reported = {trial: np.array(loss) + 0.1 for trial, loss in scores.items()}
  reported[3][1] += 0.02
  finalists = [
    search_config.Finalist(
      *(trial, {}, loss),
      tuple({'split': split, 'loss': x} for x in reported[trial]),
    )
    for trial, loss in scores.items()
  ]
  one = _search('data', 'search')
  rows = search_page.compare(finalists, 'loss')
  expected = stats.ttest_rel(reported[3], reported[None])
  np.testing.assert_allclose(
    rows[1]['reported_difference'][1:], expected.confidence_interval()
  )
  best, rivals, told = search_page.verdict(rows, one)
  assert best.startswith('Of the finalists trial 3 ')
  assert rivals.endswith('not told apart from trial 5')
  if split == 'validation':
    assert 'so they flatter' in told
  else:
    assert 'difference -0.277 (' in told


def test_tpe_finds_better_options_than_chance(built, tmp_path, formula):
  """Of the same number of trials; the optimum is at 1e-3 and 0."""
  medians = []
  for sampler in ('tpe', 'random'):
    one = _search(
      *(built, tmp_path / sampler), sampler=sampler, trials=40, epochs=1
    )
    search.run_search(one)
    medians.append(np.median([values[0] for _, values, _ in _trials(one)[20:]]))
  assert medians[0] < medians[1]


def test_processes_share_the_trials(built, tmp_path, formula, monkeypatch):
  """Threads stand for processes: a lock of a file is its descriptor's."""
  one = _search(built, tmp_path / 'search', trials=12)
  meet = threading.Barrier(2)
  loss = Formula.loss

  def slow(run, epoch):  # both are within a trial at once
    if 'trials' in run.workdir and epoch == 1:
      meet.wait(timeout=60)
    return loss(run, epoch)

  monkeypatch.setattr(formula, 'loss', slow)
  threads = [
    threading.Thread(target=search.run_search, args=(one,)) for _ in range(2)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert len(_trials(one)) == 12
  folders = [
    path for path in (tmp_path / 'search/trials').iterdir() if path.is_dir()
  ]
  assert len(folders) == 12


def test_another_space_is_refused_in_the_same_folder(built, tmp_path, formula):
  one = _search(built, tmp_path / 'search', trials=2, finalists=1)
  search.run_search(one)
  other = dataclasses.replace(one, space='dropout=0..0.5')
  with pytest.raises(errors.UserError, match='another config .space'):
    search.run_search(other)


def test_a_run_keeps_its_page(built, trained):
  with pytest.raises(errors.UserError, match='has files of no search'):
    preflight.check_search(_search(built, trained))


def test_photos_that_are_too_small_are_refused_before_the_first_run(
  built, tmp_path
):
  one = _search(built, tmp_path, space='image_size=32,256')
  with pytest.raises(errors.UserError, match='are for 128 pixels, not 256'):
    preflight.check_search(one)


def test_more_trials_go_on(built, tmp_path, formula):
  one = _search(built, tmp_path / 'search', trials=3, finalists=1)
  search.run_search(one)
  before = _trials(one)
  search.run_search(dataclasses.replace(one, trials=5))
  assert _trials(one)[:3] == before
  assert len(_trials(one)) == 5


def test_a_diverged_trial_is_one_that_failed(
  built, tmp_path, formula, monkeypatch
):
  def diverges(run, epoch):
    if run.optimizer.learning_rate > 1e-3 and 'trials' in run.workdir:
      raise errors.Diverged('non-finite loss')
    return Formula.loss(run, epoch)

  monkeypatch.setattr(formula, 'loss', diverges)
  one = _search(built, tmp_path / 'search', trials=8)
  search.run_search(one)
  problems = [
    (values['learning_rate'] > 1e-3) == (scores is None)
    for values, scores, _ in _trials(one)
  ]
  assert len(problems) == 8
  assert all(problems)


def test_two_objectives_have_a_front(built, tmp_path, formula):
  one = _search(
    built, tmp_path / 'search', objective=('loss', 'epochs'), trials=6
  )
  search.run_search(one)
  assert all(len(values) == 2 for _, values, _ in _trials(one))
  assert 'chart-front' in (tmp_path / 'search/report.html').read_text()


def test_a_real_search_trains_runs(built, tmp_path):
  one = _search(
    *(built, tmp_path / 'search'),
    space='batch_size=16,32',
    trials=2,
    epochs=1,
    finalists=1,
    seeds=2,
  )
  preflight.check_search(one)
  search.run_search(one)
  preflight.check_search(one)  # it may be started again
  study = search._study(one, tmp_path / 'search')
  assert {t.state for t in study.trials} == {TrialState.COMPLETE}
  assert (tmp_path / 'search/trials/0000/evaluation.json').exists()
  assert (tmp_path / 'search/finalists/given/seed_2/report.html').exists()
