"""The evaluation command: intervals, calibration, temperatures."""

import contextlib
import io
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tiny
from PIL import Image

from imat_jax import errors, evaluate, tasks
from imat_jax.data import build, configs
from imat_jax.reporting import assessment, calibration
from imat_jax.training import scoring, trained_model

TASKS = ('color', 'apparel', 'material')


@pytest.fixture(scope='module')
def run(built, tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp('evaluate') / 'run'
  tiny.run(built, path, tasks=TASKS, batch_size=16)
  return path


def _evaluate(run: pathlib.Path, data_dir: str, **options) -> dict:
  """What the command prints."""
  output = io.StringIO()
  command = evaluate.Evaluate(run=str(run), data_dir=data_dir, **options)
  with contextlib.redirect_stdout(output):
    evaluate.main(command)
  return json.loads(output.getvalue())


def _command(*flags: str) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, '-m', 'imat_jax.evaluate', *flags],
    capture_output=True,
    text=True,
  )


def test_the_evaluation_equals_that_of_the_run(run, built):
  evaluation = _evaluate(run, built, batch_size=5)
  expected = json.loads((run / 'evaluation.json').read_text())
  tasks_of = evaluation.pop('tasks'), expected.pop('tasks')
  assert evaluation == expected
  for name in TASKS:
    mine, theirs = (of[name] for of in tasks_of)
    assert mine.pop('loss') == pytest.approx(theirs.pop('loss'), rel=1e-5)
    # All else is counts: the batch size, and so the padding, changes nothing.
    assert mine.items() >= theirs.items()
    assert mine.keys() - theirs.keys() == {
      'accuracy_interval',
      'macro_f1_interval',
      'weighted_f1_interval',
      'commonest_accuracy',
      'calibration',
    }


def test_intervals_and_calibration_fit_the_scores(run, built):
  for name, result in _evaluate(run, built)['tasks'].items():
    calibration = result['calibration']
    for key in ('count', 'accuracy'):
      assert calibration[key] == result[key]
    assert calibration['loss'] == pytest.approx(result['loss'], rel=1e-5)
    bins = calibration['bins']
    assert sum(b['count'] for b in bins) == result['count']
    for key in ('accuracy', 'confidence'):
      mean = sum(b['count'] * b[key] for b in bins) / result['count']
      assert mean == pytest.approx(calibration[key])
    assert calibration['ece'] == pytest.approx(
      sum(b['count'] * abs(b['accuracy'] - b['confidence']) for b in bins)
      / result['count']
    )
    if name == 'material':  # one photo
      assert result['accuracy_interval'] is None
      continue
    for key in ('accuracy', 'macro_f1'):
      low, high = result[f'{key}_interval']
      assert 0 <= low < high <= 1


def test_the_guesses_of_the_run_are_those_of_its_probabilities(run, built):
  """What `predictions.npz` says gives the same calibration."""
  with np.load(run / 'predictions.npz') as arrays:
    kept_N = arrays['label'][:, 0] != tasks.MISSING
    right_N = (arrays['guess'] == arrays['label'])[kept_N, 0]
    stored = calibration.reliability(right_N, arrays['probability'][kept_N, 0])
  of_color = _evaluate(run, built)['tasks']['color']
  assert of_color['calibration']['ece'] == pytest.approx(
    stored['ece'], rel=1e-4
  )


def test_a_temperature_from_another_split(run, built):
  evaluation = _evaluate(run, built, temperature_from='train')
  plain = _evaluate(run, built)
  on_train = _evaluate(run, built, split='train')
  assert evaluation['temperature_from'] == 'train'
  assert (on_train['split'], on_train['num_examples']) == ('train', 50)
  for name, of_task in evaluation['tasks'].items():
    temperature = of_task.pop('temperature')
    assert of_task == plain['tasks'][name]
    # Fitted on all of one split, evaluated on all of the other.
    assert temperature['fitted_count'] == on_train['tasks'][name]['count']
    assert temperature['before'] == of_task['calibration']
    assert temperature['after']['accuracy'] == of_task['accuracy']
    assert temperature['after']['loss'] != of_task['calibration']['loss']


def test_a_temperature_from_the_same_split(run, built):
  evaluation = _evaluate(run, built, temperature_from='validation')
  of_color = evaluation['tasks']['color']
  temperature = of_color['temperature']
  tried = temperature['before']['count']
  assert tried == temperature['after']['count']
  assert temperature['fitted_count'] + tried == of_color['count'] == 17
  assert min(temperature['fitted_count'], tried) > 4
  # One half of one photo has none.
  assert evaluation['tasks']['material']['temperature'] is None
  assert evaluation['tasks']['material']['calibration']['count'] == 1


def _outputs(seed: int, number: int, sureness: float) -> scoring.Outputs:
  """Of tasks with three and two labels, drawn as a network says they are.

  Its logits are then multiplied by `sureness`; a fifth of the labels miss.
  """
  rng = np.random.default_rng(seed)
  logits_NxTxK = rng.normal(0, 2, (number, 2, 3))
  logits_NxTxK[:, 1, 2] = -np.inf
  prob_NxTxK = np.exp(logits_NxTxK)
  prob_NxTxK /= prob_NxTxK.sum(2, keepdims=True)
  label_NxT = (rng.random((number, 2, 1)) > prob_NxTxK.cumsum(2)).sum(2)
  label_NxT[rng.random((number, 2)) < 0.2] = tasks.MISSING
  return scoring.Outputs(sureness * logits_NxTxK, label_NxT)


TASK_SET = tasks.TaskSet(
  (tasks.Task('three', ('a', 'b', 'c')), tasks.Task('two', ('a', 'b')))
)


def test_a_temperature_calibrates_other_photos():
  fitted, tried = _outputs(0, 3000, 3), _outputs(1, 3000, 3)
  for temperature in assessment.rescale(TASK_SET, fitted, tried).values():
    before, after = temperature['before'], temperature['after']
    assert temperature['value'] == pytest.approx(3, rel=0.1)
    assert before['ece'] > 3 * before['ece_by_chance']
    assert after['ece'] < 2 * after['ece_by_chance']
    assert before['confidence'] > before['accuracy'] == after['accuracy']
    for loss in ('loss', 'brier'):
      assert after[loss] < before[loss]


def test_halves_share_no_photo():
  output = _outputs(2, 11, 1)
  first, second = assessment.halves(output)
  again, _ = assessment.halves(output)
  assert (len(first.label_NxT), len(second.label_NxT)) == (6, 5)
  both = np.concatenate([first.logits_NxTxK, second.logits_NxTxK])
  rows = [
    sorted(part[:, 0, 0].tolist()) for part in (both, output.logits_NxTxK)
  ]
  assert rows[0] == rows[1]
  np.testing.assert_array_equal(first.logits_NxTxK, again.logits_NxTxK)


def test_a_task_without_a_label_has_no_calibration(run, kaggle, tmp_path):
  """Only validation photo 20 has a material; it is removed."""
  annotations = tmp_path / 'annotations'
  annotations.mkdir()
  for path in kaggle.annotations.iterdir():
    content = json.loads(path.read_text())
    if 'validation' in path.name:
      content['annotations'] = [
        a for a in content['annotations'] if a['imageId'] != '20'
      ]
    (annotations / path.name).write_text(json.dumps(content))
  data_dir = str(tmp_path / 'built')
  with contextlib.redirect_stdout(io.StringIO()):
    build.main(
      configs.Build(
        annotations=str(annotations),
        images=str(kaggle.images),
        data_dir=data_dir,
      )
    )
  path = tmp_path / 'reliability.png'
  for split in ('validation', 'train'):
    evaluation = _evaluate(
      run, data_dir, temperature_from=split, reliability=str(path)
    )
    of_material = evaluation['tasks']['material']
    assert of_material['count'] == 0
    for name in (
      'loss',
      'accuracy',
      'accuracy_interval',
      'macro_f1_interval',
      'weighted_f1_interval',
      'calibration',
      'temperature',
    ):
      assert of_material[name] is None
    assert evaluation['tasks']['color']['temperature']['value'] > 0
    assert path.stat().st_size


def test_without_any_label_there_is_nothing_to_draw(
  monkeypatch, capsys, tmp_path
):
  evaluation = {'split': 'test', 'tasks': {'color': {'calibration': None}}}
  monkeypatch.setattr(evaluate, 'evaluate', lambda command: evaluation)
  path = tmp_path / 'reliability.png'
  command = evaluate.Evaluate(run='r', data_dir='d', reliability=str(path))
  with pytest.raises(errors.UserError, match='no photo of test has a label'):
    evaluate.main(command)
  assert json.loads(capsys.readouterr().out) == evaluation
  assert not path.exists()


def _shades(path: pathlib.Path) -> tuple[int, int]:
  """How many pixels are grey, and how many blue."""
  red, green, blue = np.array(Image.open(path).convert('RGB'), int).T
  return int((red == 207).sum()), int((blue > red + 60).sum())


def test_the_command_draws(run, built, tmp_path):
  path = tmp_path / 'new' / 'reliability.png'
  done = _command(
    f'--run={run}',
    f'--data_dir={built}',
    '--split=validation',
    '--temperature_from=validation',
    f'--reliability={path}',
  )
  assert done.returncode == 0, done.stderr
  evaluation = json.loads(done.stdout)
  assert evaluation['tasks']['color']['temperature']['value'] > 0
  with Image.open(path) as drawn:
    assert drawn.format == 'PNG'
    two_columns = drawn.size
  grey, blue = _shades(path)
  assert grey > 1000 and blue > 1000
  _evaluate(run, built, reliability=str(path))
  with Image.open(path) as drawn:
    assert drawn.size[0] > two_columns[0] and drawn.size[1] < two_columns[1]


def test_splits_are_checked_before_the_run_is_loaded(run, built, monkeypatch):
  monkeypatch.setattr(trained_model, 'load', lambda _: 1 / 0)
  with pytest.raises(errors.UserError, match="no split 'valid'; available: t"):
    _evaluate(run, built, temperature_from='valid')


@pytest.mark.parametrize(
  ('flags', 'status', 'message'),
  [
    (('--split=test',), 1, "no split 'test'; available: train, validation"),
    (('--reliability=a.jpg',), 2, '--reliability=a.jpg: must end in .png'),
    (
      ('--run=nowhere',),
      1,
      'nowhere: not a trained run: no such folder',
    ),
  ],
)
def test_wrong_flags_are_one_line(run, built, flags, status, message):
  done = _command(f'--run={run}', f'--data_dir={built}', *flags)
  assert done.returncode == status
  assert message in done.stderr
  assert done.stderr.splitlines()[-1].startswith('imat_jax.evaluate: ')
  assert done.stdout == ''


def test_help_names_the_flags():
  done = _command('--help')
  assert done.returncode == 0
  for flag in ('--temperature_from', '--reliability', '--split'):
    assert flag in done.stdout
