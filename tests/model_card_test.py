"""The model card: hubs can read it, whatever the tasks and labels are named."""

import dataclasses
import json
import pathlib
import re
import shutil

import markdown_it
import numpy as np
import pytest
import tiny
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imat_jax import config, errors, evaluate, export, predict, tasks
from imat_jax.data import statistics as data_statistics
from imat_jax.reporting import intervals, model_card, results
from imat_jax.runtime import workdir
from imat_jax.training import scores, scoring
from imat_jax.training.evaluation import Predictions

MODEL = dataclasses.replace(
  tiny.model(filters=(1, 1, 1), shared_widths=(2,)), head_widths=()
)
RUN = config.Run(data_dir='/data', workdir='/home/me/run', model=MODEL)


def _head(text: str) -> dict:
  return yaml.safe_load(text.split('\n---\n')[0].removeprefix('---\n'))


def _tokens(text: str) -> list:
  """What a reader sees of the rest."""
  _, body = text.split('\n---\n', 1)
  return markdown_it.MarkdownIt().enable('table').parse(body)


def _tables(tokens: list) -> list[list[list]]:
  """The inline tokens of each cell, row by row."""
  tables = []
  for number, token in enumerate(tokens):
    if token.type == 'table_open':
      tables.append([])
    elif token.type == 'tr_open':
      tables[-1].append([])
    elif token.type in ('th_open', 'td_open'):
      tables[-1][-1].append(tokens[number + 1].children)
  return tables


def _words(cell: list) -> str:
  return ''.join(token.content for token in cell)


def _shown(name: str) -> str:
  return errors.printable(name) or ' '


# The card of a real run.


def test_the_head_has_the_scores_of_the_run(trained, built):
  text = (pathlib.Path(trained) / 'README.md').read_text()
  head = _head(text)
  assert head['library_name'] == 'imat_jax'
  assert head['pipeline_tag'] == 'image-classification'
  assert head['datasets'] == ['imaterialist']
  assert 'license' not in head
  evaluation = evaluate.evaluate(evaluate.Evaluate(run=trained, data_dir=built))
  (index,) = head['model-index']
  assert index['name'] == 'run'
  assert [r['task']['name'] for r in index['results']] == ['color', 'apparel']
  for result in index['results']:
    of_task = evaluation['tasks'][result['task']['name']]
    assert result['dataset']['split'] == 'validation'
    accuracy, macro_f1 = result['metrics']
    assert (accuracy['type'], macro_f1['type']) == ('accuracy', 'f1')
    assert accuracy['value'] == of_task['accuracy']
    assert macro_f1['value'] == of_task['macro_f1']
    assert macro_f1['args'] == {'average': 'macro'}
    for metric, name in ((accuracy, 'accuracy'), (macro_f1, 'macro_f1')):
      low, high = of_task[f'{name}_interval']
      assert metric['name'].endswith(f'95% interval {low:.3f} to {high:.3f}')


def test_the_tables_have_the_numbers_of_the_run(trained, built):
  text = (pathlib.Path(trained) / 'README.md').read_text()
  evaluation = evaluate.evaluate(evaluate.Evaluate(run=trained, data_dir=built))
  tables = [
    [list(map(_words, row)) for row in rows] for rows in _tables(_tokens(text))
  ]
  scored, data, of_color, of_apparel, calibration = tables
  color = evaluation['tasks']['color']
  low, high = color['accuracy_interval']
  said = f'{color["accuracy"]:.3f} ({low:.3f} to {high:.3f})'
  assert scored[1][:3] == ['color', '3', '17']
  assert scored[1][4] == said
  # Of 50 and 21 photos every sixth lacks a color.
  assert data[1:] == [
    ['listed', '50', '21'],
    ['used', '50', '21'],
    ['with color', '41', '17'],
    ['with apparel', '50', '21'],
  ]
  assert [row[0] for row in of_color[1:]] == ['blue', 'green', 'red']
  apparel = evaluation['tasks']['apparel']
  for row, label, number, precision, recall, f1 in zip(
    of_apparel[1:],
    *(apparel[n] for n in ('labels', 'support', 'precision', 'recall', 'f1')),
    strict=True,
  ):
    assert (row[0], row[2]) == (label, str(number))
    assert row[3:] == [f'{x:.3f}' for x in (precision, recall, f1)]
  assert calibration[2][0] == 'apparel'
  for name, value in zip(
    ('accuracy', 'confidence', 'ece', 'ece_by_chance', 'loss'),
    map(float, calibration[2][1:]),
    strict=True,
  ):
    assert value == pytest.approx(apparel['calibration'][name], abs=1.1e-3)


def test_a_card_names_no_path_of_this_machine(trained, built):
  text = (pathlib.Path(trained) / 'README.md').read_text()
  for path in (trained, built, str(pathlib.Path.home())):
    assert path not in text


def test_what_it_says_of_loading_is_so(trained, kaggle, capsys):
  text = (pathlib.Path(trained) / 'README.md').read_text()
  (code,) = re.findall('```python\n(.*?)```', text, re.DOTALL)
  photo = str(kaggle.images / 'validation' / '0.jpg')
  exec(code.replace("'RUN'", repr(trained)).replace("'photo.jpg'", repr(photo)))
  lines = capsys.readouterr().out.splitlines()
  assert [line.split()[0] for line in lines] == ['color', 'apparel']


def test_its_commands_have_these_flags(trained):
  text = (pathlib.Path(trained) / 'README.md').read_text()
  commands = re.findall(r'python -m imat_jax\.(\w+) (.*)', text)
  kinds = {
    'predict': predict.Predict,
    'evaluate': evaluate.Evaluate,
    'export': export.Export,
  }
  assert [name for name, _ in commands] == list(kinds)
  for name, arguments in commands:
    given = dict(re.findall(r'--(\w+)=(\S+)', arguments))
    photos = {'paths': ('photo.jpg',)} if name == 'predict' else {}
    assert kinds[name](**given, **photos).run == 'RUN'


def test_config_and_checkpoints_are_all_that_is_needed(
  trained, built, tmp_path
):
  for name in ('config.json', 'checkpoints'):
    path = pathlib.Path(trained) / name
    copy = shutil.copytree if path.is_dir() else shutil.copy
    copy(path, tmp_path / name)
  evaluation = evaluate.evaluate(
    evaluate.Evaluate(run=str(tmp_path), data_dir=built)
  )
  assert evaluation['num_examples'] == 21


def _again(trained: str, built: str, path: pathlib.Path) -> str:
  """Starts a copy of a finished run again."""
  run, _ = workdir.read_run(workdir.Workdir(trained))
  return tiny.run(
    built,
    path,
    tasks=run.tasks,
    model=run.model,
    epochs=run.epochs,
    batch_size=run.batch_size,
  )


def test_a_new_start_writes_it_anew(trained, built, tmp_path):
  path = tmp_path / 'run'
  shutil.copytree(trained, path)
  (path / 'README.md').unlink()
  assert f'{path}/README.md' in _again(trained, built, path)
  before = (pathlib.Path(trained) / 'README.md').read_text()
  assert (path / 'README.md').read_text() == before
  (path / 'README.md').write_text(before + 'more')
  _again(trained, built, path)
  assert (path / 'README.md').read_text() == before


@pytest.mark.parametrize('content', [b'# My project\n', b'', b'\xff\x00'])
def test_another_file_of_that_name_is_left_alone(
  trained, built, tmp_path, content
):
  path = tmp_path / 'run'
  shutil.copytree(trained, path)
  (path / 'README.md').write_bytes(content)
  said = _again(trained, built, path)
  assert 'README.md: left as it is' in said
  assert (path / 'README.md').read_bytes() == content


def test_a_run_without_its_card_is_not_finished(trained, tmp_path, monkeypatch):
  def fail(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(model_card, 'write', fail)
  result = results.read(trained)
  scored = scoring.Scored(result.evaluation, result.guesses)
  with pytest.raises(OSError, match='No space left'):
    results.write(workdir.Workdir(tmp_path), scored)
  assert not results.is_finished(tmp_path)


# Cards of data sets whose names want to be markup.


def _render(
  task_set: tasks.TaskSet,
  name: str = 'run',
  number: int = 40,
  train: list[dict] | None = None,
) -> str:
  """A card of drawn numbers: of each photo half of the labels are missing.

  Args:
    task_set, name: what stands in it.
    number: of validation photos.
    train: the labels of each train photo; without them the same photos.
  """
  rng = np.random.default_rng(0)
  sizes = [len(task.labels) for task in task_set]
  label_NxT, guess_NxT = rng.integers(0, sizes, (2, number, len(sizes)))
  label_NxT[rng.random(label_NxT.shape) < 0.5] = tasks.MISSING
  evaluation = {'epoch': 1, 'split': 'validation', 'num_examples': number}
  evaluation['tasks'] = {
    task.name: _form(task, label_NxT[:, t], guess_NxT[:, t])
    for t, task in enumerate(task_set)
  }
  guesses = Predictions(label_NxT, guess_NxT, rng.random(label_NxT.shape))
  rows = [
    {
      task.name: task.labels[k]
      for task, k in zip(task_set, label_T, strict=True)
      if k != tasks.MISSING
    }
    for label_T in label_NxT
  ]
  facts = {
    'splits': {
      'train': _split(task_set, rows if train is None else train),
      'validation': _split(task_set, rows),
    },
    'metadata': {
      'fingerprint': 64 * 'f',
      'min_label_share': 0.01,
      'drop_duplicates': False,
    },
  }
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(intervals, '_RESAMPLES', 500)
    scored = scoring.Scored(evaluation, guesses)
    return model_card.render(name, RUN, task_set, scored, facts)


def _split(task_set: tasks.TaskSet, rows: list[dict]) -> dict:
  return {
    'listed': len(rows),
    'kept': len(rows),
    'near_duplicates': {'of_train': 0},
    'tasks': data_statistics.describe(task_set, rows),
  }


def _form(task, label_N, guess_N) -> dict:
  confusion_KxK = scores.confusion_matrix(label_N, guess_N, len(task.labels))
  per_label = scores.per_label(confusion_KxK)
  return {
    'labels': list(task.labels),
    'count': int(confusion_KxK.sum()),
    'loss': 0.7 if confusion_KxK.any() else None,
    **{
      name: float(metric.value(confusion_KxK)) if confusion_KxK.any() else None
      for name, metric in scores.METRICS.items()
    },
    'confusion_matrix': confusion_KxK.tolist(),
    **{name: value_K.tolist() for name, value_K in per_label.items()},
  }


NASTY = [
  '|',
  'a\\|b',
  '\\',
  '`',
  '``a` `b',
  '` ',
  ' ',
  '',
  ' a ',
  '\n---\n',
  '---',
  '...',
  'a\n\n# b',
  '<b>&amp;</b>',
  '<!-- -->',
  '**a** _b_ ~~c~~',
  '[a](https://b.example)',
  'https://b.example www.b.example me@b.example',
  '{{ name }}{% raw %}',
  '%(a)s {0}',
  '"\'',
  'a: b',
  '- a',
  '# a',
  '&a *a !a',
  'null',
  'true',
  '1.0',
  '2026-01-01',
  'سماء\u202e🧥\u200d\u00a0\u2028',
  '\x00\x1b[2J\x85',
  '\x85',
]
NAMES = st.one_of(
  st.sampled_from(NASTY), st.text(st.characters(codec='utf-8'), max_size=30)
)
LABELS = st.lists(NAMES, min_size=1, max_size=3, unique=True)


@settings(max_examples=60)
@given(st.dictionaries(NAMES, LABELS, min_size=1, max_size=3), NAMES)
@example({name: NASTY[:3] for name in NASTY[:8]}, '---')
@example({'a': NASTY}, '"')
def test_names_stay_text(named, name):
  task_set = tasks.TaskSet.from_json(named)
  text = _render(task_set, name)
  (index,) = _head(text)['model-index']
  assert index['name'] == name
  assert {r['task']['name'] for r in index['results']} <= named.keys()
  assert all(
    r['task']['name'] == r['dataset']['config'] for r in index['results']
  )
  tokens = _tokens(text)
  html = [token for token in tokens if token.type == 'html_block']
  assert [token.content.strip() for token in html] == [model_card._MARK]
  inside = [child for token in tokens for child in token.children or ()]
  assert {token.type for token in inside} <= {
    'text',
    'code_inline',
    'softbreak',
    'em_open',
    'em_close',
  }
  scored, data, *of_labels = _tables(tokens)
  for row, shown in zip(scored[1:], map(_shown, task_set.names), strict=True):
    assert [token.content for token in row[0]] == [shown]
  assert len(data) == 3 + len(named)
  assert of_labels.pop()[0][0][0].content == 'task'  # the calibration
  for rows, labels in zip(of_labels, named.values(), strict=True):
    assert {len(row) for row in rows} == {6}
    assert [_words(row[0]) for row in rows[1:]] == list(map(_shown, labels))


@settings(max_examples=40)
@given(st.dictionaries(NAMES, LABELS, min_size=1, max_size=3), NAMES)
def test_a_hub_reads_it(named, name):
  hub = pytest.importorskip('huggingface_hub')
  task_set = tasks.TaskSet.from_json(named)
  text = _render(task_set, name or 'run')
  # Not of `read.content`, which the hub's tool has written anew: it loses \x85.
  read, (index,) = hub.ModelCard(text), _head(text)['model-index']
  head = read.data.to_dict()
  assert head['library_name'] == 'imat_jax'
  assert read.data.model_name == index['name']
  rows = [
    (r.task_name, r.dataset_config, r.metric_type, r.metric_value)
    for r in read.data.eval_results
  ]
  assert rows == [
    (r['task']['name'], r['task']['name'], m['type'], m['value'])
    for r in index['results']
    for m in r['metrics']
  ]
  # Written by the hub's own tool, the tasks are still told apart.
  again = read.data.to_dict()['model-index'][0]['results']
  assert again == index['results']


def test_without_a_labelled_photo_there_are_no_scores():
  task_set = tasks.TaskSet((tasks.Task('color', ('red', 'blue')),))
  text = _render(task_set, number=0)
  assert _head(text)['model-index'][0]['results'] == []
  assert 'was chosen by the loss' not in text
  assert 'is the last one: no validation photo has a label' in text
  scored, _, of_color = _tables(_tokens(text))
  assert list(map(_words, scored[1])) == ['color', '2', '0', *4 * ['–']]
  assert [_words(cell) for cell in of_color[1]] == [
    'red',
    '0',
    '0',
    *3 * ['–'],
  ]


@pytest.mark.parametrize('commonest', ['red', 'blue'])
def test_the_commonest_label_is_that_of_train(commonest):
  task_set = tasks.TaskSet((tasks.Task('color', ('red', 'blue')),))
  text = _render(task_set, train=[{'color': commonest}])
  scored, data, of_color, _ = _tables(_tokens(text))
  photos = {_words(row[0]): int(_words(row[2])) for row in of_color[1:]}
  share = photos[commonest] / sum(photos.values())
  assert photos['red'] != photos['blue']
  assert _words(scored[1][3]) == f'{share:.3f}'
  assert _words(data[1][1]) == '1'


def test_settings_are_those_of_the_run():
  task_set = tasks.TaskSet((tasks.Task('color', ('red', 'blue')),))
  (shown,) = re.findall('```json\n(.*?)```', _render(task_set), re.DOTALL)
  content = json.loads(shown)
  assert content['seed'] == RUN.seed
  assert content['model']['trunk']['filters'] == [1, 1, 1]
  assert not {'data_dir', 'workdir'} & content.keys()
