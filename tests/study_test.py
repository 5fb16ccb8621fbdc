"""A study: its grid, its training in turn and at once, and what it leaves."""

import collections
import contextlib
import csv
import dataclasses
import io
import json
import pathlib
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import tiny
from sklearn import metrics

from imat_jax import config, errors, evaluate, tasks, train
from imat_jax.data import source
from imat_jax.models import presets
from imat_jax.reporting import analysis, results, study_page, tables
from imat_jax.runtime import distributed
from imat_jax.study import dry_run, grid, sweep
from imat_jax.study.config import Study
from imat_jax.training import compiled, scores, trained_model
from imat_jax.training.ensemble import Ensemble

ROOT = pathlib.Path(__file__).parents[1]
SETS = 'apparel;apparel,color;apparel,age'


@pytest.fixture(autouse=True)
def small_models(monkeypatch):
  private = dataclasses.replace(
    tiny.SMALL, head_widths=(2,), head_widths_per_label=True
  )
  monkeypatch.setattr(
    presets,
    'by_name',
    lambda name: private if name == 'private_1_4m' else tiny.SMALL,
  )


def _config(data_dir, path, **knobs) -> Study:
  given = {
    'models': ('public_3m',),
    'task_sets': SETS,
    'seeds': 2,
    'epochs': 2,
    'batch_size': 16,
    'cache_on_device': True,
    'affinity_steps': 2,
    'saving': config.Saving(save_epochs=False),
  }
  return Study(data_dir=data_dir, workdir=str(path), **given | knobs)


def _run(study: Study) -> str:
  said = io.StringIO()
  with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    sweep.run_study(study)
  return said.getvalue()


@pytest.fixture(scope='module')
def whole(built, tmp_path_factory) -> pathlib.Path:
  """A study that nothing interrupted, its runs in turn."""
  return _of_tiny_networks(built, tmp_path_factory.mktemp('whole') / 'study')


@pytest.fixture(scope='module')
def methods(built, tmp_path_factory) -> pathlib.Path:
  """A study of three weighted sums."""
  return _of_tiny_networks(
    *(built, tmp_path_factory.mktemp('methods') / 'study'),
    task_sets='apparel;apparel,color',
    strategies=(
      *('weighted_sum', 'weighted_sum:others=0'),
      'weighted_sum:others=9',
    ),
  )


def _of_tiny_networks(built, path, **knobs) -> pathlib.Path:
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(presets, 'by_name', lambda name: tiny.SMALL)
    _run(_config(built, path, **knobs))
  return path


def _signal_before(at: int):
  """In place of `distributed.any_preempted`: a process gets a SIGTERM."""
  return lambda step, _: signal.SIGTERM * (step == at)


def _folders(path: pathlib.Path) -> dict[str, pathlib.Path]:
  paths = sorted(path.glob('runs/*/*/*/evaluation.json'))
  return {str(f.parent.relative_to(path)): f.parent for f in paths}


def _rows(folder: pathlib.Path) -> list[dict]:
  rows = map(json.loads, (folder / 'metrics.jsonl').read_text().splitlines())
  times = ('seconds', 'examples_per_second')
  return [{k: v for k, v in row.items() if k not in times} for row in rows]


def _numbers(value) -> list[float]:
  """All numbers of a JSON value, in their order."""
  if isinstance(value, dict):
    value = list(value.values())
  if isinstance(value, list):
    return [number for item in value for number in _numbers(item)]
  return [value] if isinstance(value, int | float) else []


def _assert_close(first: pathlib.Path, second: pathlib.Path) -> None:
  """Equal to float tolerance, which Adam widens; angles of small gradients
  feel it most."""
  rows = _rows(first), _rows(second)
  angles = [[row.pop('cosines') for row in of_run] for of_run in rows]
  np.testing.assert_allclose(*map(_numbers, angles), atol=0.02)
  np.testing.assert_allclose(*map(_numbers, rows), rtol=2e-3, atol=2e-4)


def _assert_same(first: pathlib.Path, second: pathlib.Path) -> None:
  one, other = _folders(first), _folders(second)
  assert one.keys() == other.keys()
  for name, folder in one.items():
    assert _rows(folder) == _rows(other[name])
    evaluation = (folder / 'evaluation.json').read_bytes()
    assert evaluation == (other[name] / 'evaluation.json').read_bytes()
    params = [trained_model.load(f).variables for f in (folder, other[name])]
    jax.tree.map(np.testing.assert_array_equal, *params)


def test_the_reports_grid():
  study = Study(data_dir='d', workdir='w')
  names = ('apparel', 'age', 'color', 'gender', 'material')
  built = tasks.TaskSet(tuple(tasks.Task(n, ('a', 'b')) for n in names))
  planned = grid.make(study, built)
  assert len(planned.cells) == 15 and not planned.left_out
  assert planned.task_names[0] == 'apparel'
  assert len(planned.runs('public_3m')) == 40
  assert {run.seed for run in planned.runs('public_3m')} == set(range(8))
  three = dataclasses.replace(study, models=('public_3m_three_tasks',))
  sizes = [len(cell.tasks) for cell in grid.make(three, built).cells]
  assert sizes == [1] + [3] * 6 + [4] * 4


def test_sets_that_the_data_lacks_are_left_out(built, tmp_path):
  study = _config(built, tmp_path, task_sets='')
  all_tasks = source.read_tasks(built)
  planned = grid.make(study, all_tasks)
  assert [cell.tasks[1:] for cell in planned.cells] == [
    (),
    ('material',),
    ('color',),
    ('age',),
  ]
  assert planned.left_out == (
    'apparel + gender is left out: the data set has no gender',
  )
  only = dataclasses.replace(study, task_sets='apparel,gender')
  with pytest.raises(errors.UserError, match='no gender; it has: apparel'):
    grid.make(only, all_tasks)


def test_spellings_and_repetitions_of_sets(built, tmp_path):
  study = _config(built, tmp_path, task_sets='apparel; apparel,colour')
  planned = grid.make(study, source.read_tasks(built))
  assert planned.cells[1].tasks == ('apparel', 'color')
  folder = grid.run_folder(study, grid.Cell('m', ('a/b', 'pants:length')), 1)
  assert folder.endswith('/m/a%2Fb+pants%3Alength/seed_1')


@pytest.mark.parametrize(
  ('knobs', 'message'),
  [
    ({'models': ('public_4m',)}, 'must be some of private_1_4m'),
    ({'task_sets': 'apparel;color,age'}, 'begin with the same task'),
    ({'task_sets': 'apparel;;apparel,age'}, 'must look like'),
    (
      {'runs_at_once': 2, 'cache_on_device': False},
      'needs the photos on the device',
    ),
    ({'seeds': 0}, 'at least 1'),
    ({'image_width': 32}, 'needs their height'),
  ],
)
def test_wrong_flags(knobs, message):
  with pytest.raises(ValueError, match=message):
    _config('d', 'w', **knobs)


def test_all_networks_see_photos_of_one_size():
  study = _config('built', 'study', image_size=24, image_width=16)
  cell = grid.Cell('public_3m', ('apparel',))
  run = grid.Grid(study, (cell,), ()).run(cell, 0)
  assert run.model.trunk.shape == (24, 16)
  study = dataclasses.replace(study, image_size=20)
  with pytest.raises(errors.UserError, match='public_3m: --image_size=20'):
    grid.Grid(study, (cell,), ()).run(cell, 0)


def test_a_run_of_a_study_is_a_run_alone(built, whole, tmp_path):
  run = config.Run(
    data_dir=built,
    workdir=str(tmp_path / 'run'),
    tasks=('apparel', 'color'),
    seed=1,
    epochs=2,
    batch_size=16,
    cache_on_device=True,
    affinity_steps=2,
    model=tiny.SMALL,
  )
  with contextlib.redirect_stdout(io.StringIO()):
    train.train(run)
  of_study = _folders(whole)['runs/public_3m/apparel+color/seed_1']
  _assert_close(of_study, tmp_path / 'run')
  names = [
    {path.name for path in folder.iterdir()}
    for folder in (of_study, tmp_path / 'run')
  ]
  assert names[1] - names[0] == {'report.html', 'starts.jsonl', 'lock'}
  assert 'README.md' in names[0]
  # And can be used as one.
  evaluation = evaluate.evaluate(
    evaluate.Evaluate(run=str(of_study), data_dir=built)
  )
  wanted = json.loads((of_study / 'evaluation.json').read_text())
  for name, of_task in wanted['tasks'].items():
    same = {key: evaluation['tasks'][name][key] for key in of_task}
    assert _numbers(same) == pytest.approx(_numbers(of_task))


@pytest.mark.parametrize('model', ['public_3m', 'private_1_4m'])
def test_runs_at_once_are_runs_in_turn(built, whole, tmp_path, model):
  if model != 'public_3m':
    whole = tmp_path / 'turn'
    _run(_config(built, whole, models=(model,)))
  _run(_config(built, tmp_path / 'once', models=(model,), runs_at_once=4))
  turn, once = _folders(whole), _folders(tmp_path / 'once')
  assert len(turn) == 6 and turn.keys() == once.keys()
  for name, folder in turn.items():
    _assert_close(folder, once[name])


def test_seeds_share_their_start_across_task_sets(built, tmp_path):
  planned = grid.make(_config(built, tmp_path), source.read_tasks(built))
  group = Ensemble(
    tuple(planned.runs('public_3m')),
    source.read_tasks(built).select(planned.task_names),
  )
  here = compiled.fresh(group)
  trunk = here.state.params['trunk']['conv_0']['kernel']
  assert [run.seed for run in group.runs] == [0, 0, 0, 1, 1, 1]
  np.testing.assert_array_equal(trunk[0], trunk[2])
  assert not np.array_equal(trunk[0], trunk[3])
  np.testing.assert_allclose(
    here.state.weight_T[:3], [[1, 0, 0], [1, 0.95, 0], [1, 0, 0.95]]
  )


def test_a_run_that_stops_early_freezes(built, tmp_path):
  """At once with one that goes on, it ends as it does alone."""
  knobs = {
    'epochs': 4,  # a difference of rounding grows tenfold in each
    'stopping': config.Stopping(patience=1, min_delta=0.0),
    'optimizer': config.Optimizer(learning_rate=0.02),
    'seeds': 3,
    'task_sets': 'apparel;apparel,color',
  }
  for path, number in (('turn', 1), ('once', 6)):
    _run(_config(built, tmp_path / path, runs_at_once=number, **knobs))
  turn, once = _folders(tmp_path / 'turn'), _folders(tmp_path / 'once')
  lengths = {name: len(_rows(folder)) for name, folder in turn.items()}
  assert len(set(lengths.values())) > 1, 'all runs stop at the same epoch'
  assert lengths == {name: len(_rows(folder)) for name, folder in once.items()}
  for name, folder in turn.items():
    _assert_close(folder, once[name])


@pytest.mark.parametrize(('number', 'at'), [(1, 5), (3, 1)])
def test_interrupted_anywhere_it_goes_on_exactly(
  built, whole, tmp_path, monkeypatch, number, at
):
  part = _config(built, tmp_path / 'part', runs_at_once=number)
  if number > 1:  # `whole` has its runs in turn
    whole = tmp_path / 'whole'
    _run(dataclasses.replace(part, workdir=str(whole)))
  asked = []

  def notice(step, _):
    asked.append(step)
    is_late = len(asked) > 8  # not in the first group alone
    return signal.SIGTERM * (step == at and is_late)

  with monkeypatch.context() as patched:
    patched.setattr(distributed, 'any_preempted', notice)
    with pytest.raises(errors.Interrupted, match=f'saved at step {at} in'):
      _run(part)
  assert len(list((tmp_path / 'part' / 'groups').glob('*/group.json'))) == 1
  trained = []
  plain = train.fit
  monkeypatch.setattr(
    train,
    'fit',
    lambda group, *rest, **more: (
      trained.append(len(group)) or plain(group, *rest, **more)
    ),
  )
  finished = len(_folders(tmp_path / 'part'))
  _run(part)
  assert sum(trained) == 6 - finished
  _assert_same(tmp_path / 'part', whole)
  assert not list((tmp_path / 'part' / 'groups').iterdir())


def test_more_seeds_and_sets_train_only_what_is_new(
  built, whole, tmp_path, monkeypatch
):
  path = tmp_path / 'study'
  shutil.copytree(whole, path)
  for folder in [*path.rglob('checkpoints'), path / 'groups']:  # as published
    shutil.rmtree(folder)
  trained = []
  plain = train.fit
  monkeypatch.setattr(
    train,
    'fit',
    lambda group, *rest, **more: (
      trained.extend(group.runs) or plain(group, *rest, **more)
    ),
  )
  _run(_config(built, path))
  assert not trained
  _run(_config(built, path, seeds=3, task_sets=SETS + ';apparel,material'))
  assert len(trained) == 3 + 3  # a seed of three sets, a set of three seeds
  before, after = _folders(whole), _folders(path)
  assert len(after) == 12
  for name, folder in before.items():
    assert _rows(folder) == _rows(after[name])


def test_another_study_in_the_same_folder_is_refused(built, whole):
  with pytest.raises(errors.UserError, match='a study with.*epochs: 2 → 3'):
    _run(_config(built, whole, epochs=3))


def test_what_does_not_fit_is_halved(built, tmp_path, monkeypatch):
  plain, sizes = train.fit, []

  def full(group, *rest, **more):
    sizes.append(len(group))
    if len(group) > 2:
      raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')
    return plain(group, *rest, **more)

  monkeypatch.setattr(train, 'fit', full)
  said = _run(_config(built, tmp_path, runs_at_once=6))
  assert sizes == [6, 3, 2, 2, 2]
  assert '6 runs at once do not fit; now 3' in said
  assert len(_folders(tmp_path)) == 6


def test_memory_decides_how_many_runs_go_at_once(built, tmp_path, monkeypatch):
  study = _config(built, tmp_path)
  all_tasks = source.read_tasks(built)
  sweeping = sweep.Sweep(grid.make(study, all_tasks), all_tasks)
  group = sweeping.whole_ensembles()['public_3m']
  data = sweeping.data(group)
  assert dry_run.runs_that_fit(group, data) == 1  # on a CPU
  needed = {
    n: dry_run.bytes_needed(
      dataclasses.replace(group, runs=group.runs[:n]), data
    )
    for n in (2, 3, 6)
  }
  assert needed[2] < needed[3] < needed[6]

  class Device:
    def memory_stats(self):
      return {'bytes_limit': 1.2 * needed[3]}

  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  monkeypatch.setattr(jax, 'devices', lambda: [Device()])
  monkeypatch.setattr(
    dry_run,
    'bytes_needed',
    lambda group, data: needed[len(group)],
  )
  assert dry_run.runs_that_fit(group, data) == 3


def test_dry_run_trains_nothing(built, tmp_path):
  said = _run(_config(built, tmp_path / 'study', dry_run=True))
  assert 'apparel + color' in said and 'GiB' in said
  assert 'once two seeds of a comparison are trained' in said
  assert not (tmp_path / 'study').exists()


def test_dry_run_tells_how_many_seeds_a_margin_takes(built, whole):
  study = _config(built, whole)
  said = dry_run.seeds_table(grid.make(study, source.read_tasks(built)))
  compared_rows = json.loads((whole / 'study.json').read_text())['comparisons']
  for row, compared in zip(said.splitlines()[2:4], compared_rows, strict=True):
    of_power = compared['power']
    cells = re.split('  +', row)
    assert cells[0] == f'public_3m · {" + ".join(compared["tasks"])}'
    assert cells[2:] == [
      f'{of_power["detectable"]:.3f}' if of_power['detectable'] else 'unknown',
      str(of_power['seeds'] or '> 100'),
    ]
  assert 'in 2 comparisons; seeds needed for a margin of 0.02' in said


def test_files_that_a_study_did_not_write_stay(built, whole, tmp_path):
  path = tmp_path / 'study'
  shutil.copytree(whole, path)
  mine = [path / 'tables' / 'prices.csv', path / 'groups' / 'notes' / 'a.txt']
  mine.append(path / 'runs' / '.DS_Store')
  for file in mine:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('mine')
  (path / 'tables' / 'affinity.csv').write_text('of an earlier grid')
  (path / 'groups' / ('0' * 16)).mkdir()  # what a kill left of a group
  _run(_config(built, path, task_sets='apparel', seeds=1))
  assert [file.read_text() for file in mine] == ['mine'] * 3
  assert not (path / 'tables' / 'affinity.csv').exists()
  assert [p.name for p in (path / 'groups').iterdir()] == ['notes']


def test_a_dry_run_refuses_the_folder_of_anything_else(built, tmp_path):
  (tmp_path / 'notes.txt').write_text('mine')
  with pytest.raises(errors.UserError, match=r'no run or study \(notes.txt\)'):
    _run(_config(built, tmp_path, dry_run=True))


def test_study_json_is_made_of_the_runs(whole):
  content = json.loads((whole / 'study.json').read_text())
  assert content['task'] == 'apparel'
  assert len(content['verdict']) == 3  # of color, of age, and the baseline
  assert content['made_by']['versions'].keys() >= {'jax', 'flax', 'python'}
  (trained_by,) = content['trained_by']  # all by this process
  assert trained_by['runs'] == 6
  assert trained_by['threads'] and trained_by['kernels']
  head = subprocess.run(
    ['git', '-C', ROOT, 'rev-parse', 'HEAD'], capture_output=True, text=True
  )
  if head.returncode == 0:
    assert trained_by['commit'].startswith(head.stdout.strip())
  assert any('2 seeds: too few' in w for w in content['warnings'])
  for cell in content['cells']:
    name = '+'.join(cell['tasks'])
    values = [
      json.loads(
        (
          whole / f'runs/public_3m/{name}/seed_{seed}/evaluation.json'
        ).read_text()
      )['tasks']['apparel']['accuracy']
      for seed in (0, 1)
    ]
    assert cell['scores']['apparel']['accuracy']['values'] == values
    assert cell['scores']['apparel']['accuracy']['mean'] == np.mean(values)
  of_color = content['comparisons'][0]
  with_, alone = (
    content['cells'][n]['scores']['apparel']['loss']['values'] for n in (1, 0)
  )
  assert of_color['tasks'] == ['apparel', 'color']
  assert of_color['scores']['loss']['mean'] == pytest.approx(
    np.mean(np.subtract(with_, alone))
  )
  two_level = of_color['photos']['two_level']['mean']
  assert two_level == pytest.approx(of_color['scores']['accuracy']['mean'])


def test_affinity_is_noted_of_each_pair_that_is_learned(whole):
  content = json.loads((whole / 'study.json').read_text())
  pairs = {tuple(a['tasks']): a['pair'] for a in content['affinity']}
  assert pairs == {
    ('apparel', 'color'): ['apparel', 'color'],
    ('apparel', 'age'): ['apparel', 'age'],
  }
  for of_pair in content['affinity']:
    assert of_pair['epochs'] == [1, 2]
    assert all(-1 <= cosine <= 1 for cosine in of_pair['cosine'])


def test_tables_say_what_study_json_says(whole):
  content = json.loads((whole / 'study.json').read_text())
  names = {path.stem for path in (whole / 'tables').glob('*.csv')}
  assert names == {
    'scores',
    'comparisons',
    'report_loss',
    'report_accuracy',
    'report_precision_recall_f1',
    'sensitivity',
    'labels',
    'label_differences',
    'affinity',
    'runs',
  }

  def read(name):
    with (whole / 'tables' / f'{name}.csv').open(newline='') as file:
      return list(csv.DictReader(file))

  assert len(read('runs')) == 6
  scores = content['cells'][1]['scores']['apparel']
  of_color = read('report_loss')[1]
  assert of_color['tasks'] == 'apparel + color'
  assert float(of_color['public_3m']) == scores['loss']['mean']
  assert float(of_color['report (public_3m, one run)']) == 0.931
  said = [
    r for r in read('report_precision_recall_f1') if 'report' in r['model']
  ]
  assert said[0] | {'mean F1': '0.72'} == said[0]


def test_labels_one_by_one_against_scikit_learn(whole, built):
  """The weights of photos make up for the shares of their labels."""
  shift = json.loads((whole / 'study.json').read_text())['label_shift']
  train, shares = (
    np.array(shift['shares'][s]) for s in ('train', 'validation')
  )
  splits = source.read_statistics(built)['splits']
  counts = splits['validation']['tasks']['apparel']
  assert [round(21 * x) for x in shares] == list(counts['counts'].values())
  moved = np.maximum(shares - train, 0).sum()  # what one has too many of
  assert shift['distance'] == {'validation': pytest.approx(moved)}
  arrays = np.load(whole / 'tables/predictions.npz')
  true_N = arrays['true_N']
  runs = zip(arrays['tasks_R'], arrays['predicted_RxN'], strict=True)
  recall, accuracy = (
    collections.defaultdict(list),
    collections.defaultdict(list),
  )
  for tasks_, predicted_N in runs:
    recall[tasks_].append(
      metrics.recall_score(true_N, predicted_N, average=None, labels=range(4))
    )
    accuracy[tasks_].append(
      metrics.accuracy_score(
        true_N, predicted_N, sample_weight=(train / shares)[true_N]
      )
    )
  for row in shift['comparisons']:
    name = ' + '.join(row['tasks'])
    for scores_, mean, alone in (
      (recall, [label['mean'] for label in row['recall']], row['alone']),
      (accuracy, row['reweighted']['mean'], row['alone_reweighted']),
    ):
      with_mean, alone_mean = (
        np.mean(scores_[n], 0) for n in (name, 'apparel')
      )
      assert with_mean - alone_mean == pytest.approx(mean)
      assert alone_mean == pytest.approx(alone)


def test_a_task_has_one_warning_for_all_that_a_constant_answer_equals():
  def cell(model, **accuracies):
    scores = {
      task: {'count': 9 * (mean >= 0), 'accuracy': {'mean': mean}}
      for task, mean in accuracies.items()
    }
    return {'model': model, 'tasks': list(accuracies), 'scores': scores}

  cells = [
    cell('a', apparel=0.8, age=0.5),
    cell('b', apparel=0.3, age=0.5),
    cell('c', apparel=0.9, age=0.6),
    cell('d', apparel=0.9, age=-1),  # no photo has a label
  ]
  assert study_page.no_better(cells, {'apparel': 0.4, 'age': 0.5}) == [
    'in apparel no better than always saying the commonest label (0.400): '
    'b · apparel + age (0.300)',
    'in age no better than always saying the commonest label (0.500): '
    'a · apparel + age (0.500); b · apparel + age (0.500)',
  ]
  assert not study_page.no_better(cells, {'apparel': 0.2})


@pytest.mark.parametrize('name', ['whole', 'methods'])
def test_docs_recompute_has_the_numbers_of_study_json(request, tmp_path, name):
  study = shutil.copytree(request.getfixturevalue(name), tmp_path / 'study')
  main = runpy.run_path(str(ROOT / 'docs/recompute.py'))['main']
  main(study)
  content = json.loads((study / 'study.json').read_text())
  content['comparisons'][0]['scores']['accuracy']['p_holm'] *= 0.99
  (study / 'study.json').write_text(json.dumps(content))
  with pytest.raises(SystemExit, match=r'apparel \+ color: p \(Holm\)'):
    main(study)


@pytest.mark.parametrize(
  'path',
  sorted(ROOT.glob('docs/studies/*/tables/predictions.npz')),
  ids=lambda path: path.parents[1].name,
)
def test_docs_recompute_has_the_numbers_of_published_studies(path):
  runpy.run_path(str(ROOT / 'docs/recompute.py'))['main'](path.parents[1])


def test_killed_anywhere_it_goes_on_exactly(built, tmp_path):
  """Real processes, which SIGKILL ends wherever they are."""
  flags = {
    'models': 'private_1_4m',
    'task_sets': 'apparel;apparel,color',
    'seeds': 1,
    'epochs': 2,
    'batch_size': 16,
    'image_size': 32,
    'save_steps': 1,
  }

  def start(path):
    given = flags | {'data_dir': built, 'workdir': str(tmp_path / path)}
    command = [sys.executable, '-m', 'experiments.study']
    return subprocess.Popen(
      command + [f'--{name}={value}' for name, value in given.items()],
      cwd=pathlib.Path(__file__).parent.parent,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
      text=True,
    )

  # Once a first checkpoint of a group is there, and once a run is finished.
  for pattern in ('groups/*/checkpoints/2', 'runs/*/*/*/evaluation.json'):
    process = start('killed')
    while not list((tmp_path / 'killed').glob(pattern)):
      assert process.poll() is None, process.communicate()
      time.sleep(0.002)
    process.kill()
    process.communicate()
  for path in ('killed', 'whole'):
    process = start(path)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
  _assert_same(tmp_path / 'killed', tmp_path / 'whole')
  assert not list((tmp_path / 'killed' / 'groups').iterdir())


def test_a_signal_number_is_kept(built, tmp_path, monkeypatch):
  monkeypatch.setattr(distributed, 'any_preempted', _signal_before(3))
  with pytest.raises(errors.Interrupted) as left:
    _run(_config(built, tmp_path))
  assert left.value.status == 128 + signal.SIGTERM


def test_a_group_of_an_earlier_grid_is_no_obstacle(
  built, tmp_path, monkeypatch
):
  """Left by a kill; its runs were finished in another way since."""
  study = _config(built, tmp_path, runs_at_once=3)
  with monkeypatch.context() as patched:
    patched.setattr(distributed, 'any_preempted', _signal_before(3))
    with pytest.raises(errors.Interrupted):
      _run(study)
  (tmp_path / 'groups' / 'note.txt').write_text('not ours')
  (left,) = (tmp_path / 'groups').glob('*/')
  kept = tmp_path.with_name('kept')
  shutil.copytree(left, kept)
  _run(study)
  shutil.copytree(kept, left)
  trained = []
  plain = train.fit
  monkeypatch.setattr(
    train,
    'fit',
    lambda *args, **more: trained.append(1) or plain(*args, **more),
  )
  _run(dataclasses.replace(study, affinity_steps=0))
  assert not trained and not left.exists()


def test_a_folder_of_anything_else_is_refused(built, tmp_path):
  (tmp_path / 'notes.txt').write_text('mine')
  (tmp_path / 'README.md').write_text('mine')
  with pytest.raises(errors.UserError, match='has files of no run or study'):
    _run(_config(built, tmp_path))
  assert len(list(tmp_path.iterdir())) == 2


def test_a_config_of_another_program_stays(built, tmp_path):
  (tmp_path / 'config.json').write_text('{"model_type": "vit"}')
  with pytest.raises(errors.UserError, match='config.json'):
    _run(_config(built, tmp_path))
  assert (tmp_path / 'config.json').read_text() == '{"model_type": "vit"}'


def test_tasks_that_differ_in_case_alone_do_not_share_a_folder(tmp_path):
  both = tasks.TaskSet(
    tuple(tasks.Task(name, ('a', 'b')) for name in ('Color', 'color', 'x'))
  )
  for task_sets in ('x,Color;x,color', 'x,Color,color;x,color,Color'):
    study = _config('built', tmp_path, task_sets=task_sets)
    with pytest.raises(errors.UserError, match='differ in case alone'):
      grid.make(study, both)
  study = _config('built', tmp_path, task_sets='Color;color,x')
  with pytest.raises(errors.UserError, match='begin with one task'):
    grid.make(study, both)


def test_many_long_names_of_tasks_fit_into_a_folder():
  cell = grid.Cell('public_3m', tuple(f'признак {i}' * 5 for i in range(9)))
  study = Study(data_dir='d', workdir='w')
  folder = pathlib.Path(grid.run_folder(study, cell, 0))
  assert max(len(part.encode()) for part in folder.parts) <= 200


def test_a_damaged_group_is_named(built, whole, tmp_path):
  folder = tmp_path / 'groups' / '0123'
  folder.mkdir(parents=True)
  (folder / 'group.json').write_text('{}')
  shutil.copy(whole / 'config.json', tmp_path)
  with pytest.raises(errors.UserError, match='damaged; move .*0123'):
    _run(_config(built, tmp_path))


@pytest.mark.parametrize('name', ['predictions.npz', 'evaluation.json'])
@pytest.mark.parametrize('content', [b'', b'{}', b'PK\x03\x04'])
def test_a_damaged_result_is_named(built, whole, tmp_path, name, content):
  path = tmp_path / 'study'
  shutil.copytree(whole, path)
  (path / 'runs/public_3m/apparel/seed_1' / name).write_bytes(content)
  with pytest.raises(errors.UserError, match='seed_1: damaged: .*; move'):
    _run(_config(built, path))


def test_a_study_and_a_run_do_not_share_a_folder(built, whole, tmp_path):
  run = config.Run(data_dir=built, workdir=str(whole), model=tiny.SMALL)
  with pytest.raises(errors.UserError, match='has a study'):
    train.train(run)


def test_without_its_config_a_study_does_not_go_on(built, whole, tmp_path):
  path = tmp_path / 'study'
  shutil.copytree(whole, path)
  (path / 'config.json').unlink()
  with pytest.raises(errors.UserError, match='config.json is gone'):
    _run(_config(built, path))


def test_what_is_on_its_way_is_not_halved(built, tmp_path, monkeypatch):
  study = _config(built, tmp_path, runs_at_once=3)
  monkeypatch.setattr(distributed, 'any_preempted', _signal_before(3))
  with pytest.raises(errors.Interrupted):
    _run(study)

  def full(*args, **more):
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')

  monkeypatch.setattr(train, 'fit', full)
  with pytest.raises(errors.UserError, match='do not fit into the memory now'):
    _run(study)
  assert list(tmp_path.glob('groups/*/checkpoints/3'))


def test_models_with_other_sets_have_a_column_each():
  def cell(model, names, loss):
    summary = dict.fromkeys(('mean', 'low', 'high'), loss)
    scores = {'count': 9, 'loss': summary, 'labels': ['a'], 'support': [9]}
    return {'model': model, 'tasks': names, 'scores': {'apparel': scores}}

  content = {
    'task': 'apparel',
    'cells': [
      cell('public_3m', ['apparel', 'age'], 0.5),
      cell('public_3m_three_tasks', ['apparel', 'age', 'color'], 0.6),
    ],
  }
  rows = tables._as_reported(content, 'loss')
  assert [list(row) for row in rows] == [list(rows[0])] * 2
  assert [row['public_3m'] for row in rows] == [0.5, None]
  assert [row['public_3m_three_tasks'] for row in rows] == [None, 0.6]


def test_without_a_labelled_photo_nothing_is_compared(whole):
  runs_by_cell = {
    grid.Cell('m', names): [
      results.read(whole / f'runs/public_3m/{"+".join(names)}/seed_{seed}')
      for seed in (0, 1)
    ]
    for names in (('apparel',), ('apparel', 'age'))
  }
  for of_cell in runs_by_cell.values():
    for result in of_cell:
      result.evaluation['tasks']['apparel'].update(
        count=0, loss=None, accuracy=None, macro_f1=None, weighted_f1=None
      )
  counts = source.read_statistics(
    runs_by_cell[grid.Cell('m', ('apparel',))][0].run.data_dir
  )
  facts = analysis.collect(runs_by_cell, counts, 0.02)
  assert not facts['comparisons']
  assert 'no validation photo has a label for apparel' in facts['warnings']


def test_a_metric_that_the_runs_are_older_than(
  built, whole, tmp_path, monkeypatch
):
  """It is left out of the study, whose runs are not trained again."""
  path = tmp_path / 'study'
  shutil.copytree(whole, path)
  later = scores.Metric('later', lambda sums: sums, lambda *batch: batch)
  monkeypatch.setitem(scores.METRICS, 'later', later)
  _run(_config(built, path))
  assert 'later' not in (path / 'tables/scores.csv').read_text()


def test_what_strategies_are_compared_with(methods):
  """Each task alone once; all others with the better weighted sum."""
  folders = {path.parent.parent for path in methods.glob('runs/*/*/seed_0')}
  assert {path.name for path in folders} == {
    'public_3m',
    'public_3m+weighted_sum',
    'public_3m+weighted_sum%3Aothers%3D0',
    'public_3m+weighted_sum%3Aothers%3D9',
  }
  alone = {path.name for path in (methods / 'runs/public_3m').iterdir()}
  assert alone == {'apparel', 'color'}

  def accuracy(method: str, names: str, task: str) -> np.ndarray:
    runs = [methods / f'runs/{method}/{names}/seed_{s}' for s in (0, 1)]
    read = [json.loads((r / 'evaluation.json').read_text()) for r in runs]
    return np.array([e['tasks'][task]['accuracy'] for e in read])

  rows = json.loads((methods / 'study.json').read_text())['strategies']
  means, changes = {}, {}
  for row in rows:
    folder = 'public_3m+' + row['strategy'].replace(':', '%3A').replace(
      '=', '%3D'
    )
    of_task = {
      task: accuracy(folder, 'apparel+color', task)
      for task in ('apparel', 'color')
    }
    means[row['strategy']] = of_task['apparel'].mean()
    changes[row['strategy']] = np.mean(
      [of / accuracy('public_3m', t, t) - 1 for t, of in of_task.items()]
    )
    assert row['change']['mean'] == pytest.approx(changes[row['strategy']])
  (reference,) = {row['against'] for row in rows}
  assert means[reference] == max(means.values())
  for row in rows:
    assert ('scores' in row) == (row['strategy'] != reference)
    if 'scores' in row:
      assert row['scores']['accuracy']['mean'] == pytest.approx(
        means[row['strategy']] - means[reference]
      )
  assert 'id="strategy-table"' in (methods / 'report.html').read_text()


def test_a_weight_of_nothing_is_the_task_alone(methods):
  """The other head is not trained, so the class is learned as without it."""
  of_class = [
    json.loads((methods / f'runs/{path}/seed_1/metrics.jsonl').read_text()
      .splitlines()[-1])['validation']['apparel']['loss']
    for path in (
      'public_3m/apparel',
      'public_3m+weighted_sum%3Aothers%3D0/apparel+color',
      'public_3m+weighted_sum%3Aothers%3D9/apparel+color',
    )
  ]  # fmt: skip
  assert of_class[0] == pytest.approx(of_class[1], rel=1e-5)
  assert of_class[0] != pytest.approx(of_class[2], rel=1e-5)


@pytest.mark.parametrize(
  ('strategies', 'message'),
  [
    (('nothing',), "'nothing' is none of"),
    (('weighted_sum:other=1',), "no option 'other'; it has: others"),
    (('weighted_sum:others=much',), 'could not convert'),
    (('weighted_sum', 'weighted_sum'), 'each once'),
  ],
)
def test_strategies_that_are_none(strategies, message):
  with pytest.raises(ValueError, match=f'--strategies=.*{message}'):
    _config('d', 'w', strategies=strategies)
