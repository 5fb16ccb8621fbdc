"""The prediction command: every format, and files that are not photos."""

import csv
import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tiny
from PIL import Image

from imat_jax import errors, inference, predict


@pytest.fixture
def folder(kaggle, tmp_path) -> pathlib.Path:
  """Three photos at two depths, and what is none."""
  root = tmp_path / 'photos'
  (root / 'more' / '.hidden').mkdir(parents=True)
  for i, name in enumerate(['b.jpg', 'a.JPG', 'more/c.jpeg']):
    body = (kaggle.images / f'validation/{i}.jpg').read_bytes()
    (root / name).write_bytes(body)
    (root / 'more' / '.hidden' / f'{i}.jpg').write_bytes(body)
  (root / 'notes.txt').write_text('no photo')
  (root / 'broken.png').write_bytes(b'\x89PNG\r\n\x1a\n')
  return root


def run(trained, *paths, capsys, **flags) -> str:
  predict.main(
    predict.Predict(run=trained, paths=tuple(map(str, paths)), **flags)
  )
  return capsys.readouterr().out


def expected(trained, path) -> inference.Prediction:
  (prediction,) = inference.Predictor(trained).label([str(path)])
  return prediction


def test_json_has_a_line_per_photo_and_task(trained, folder, capsys):
  out = run(trained, folder, capsys=capsys, format='json', top=2)
  lines = [json.loads(line) for line in out.splitlines()]
  names = ['a.JPG', 'b.jpg', 'broken.png', 'more/c.jpeg']
  assert [(line['path'], line.get('task')) for line in lines] == [
    (str(folder / name), task)
    for name in names
    for task in ((None,) if name == 'broken.png' else ('color', 'apparel'))
  ]
  assert lines[4]['error'] == 'does not decode'
  first = expected(trained, folder / 'a.JPG')
  probability_K = first.probability_TxK[1]
  assert list(lines[1]['probabilities'].values()) == pytest.approx(
    sorted(probability_K, reverse=True)[:2]
  )
  assert lines[1]['probabilities'][lines[1]['label']] == pytest.approx(
    probability_K.max()
  )


def test_csv_has_a_row_per_photo_and_task(trained, folder, capsys):
  out = run(trained, folder, capsys=capsys, format='csv', top=9)
  rows = list(csv.DictReader(io.StringIO(out)))
  assert len(rows) == 3 * 2 + 1
  assert [r['error'] for r in rows if r['error']] == ['does not decode']
  assert rows[4]['task'] == rows[4]['label'] == ''
  color, apparel = rows[:2]
  assert (color['task'], apparel['task']) == ('color', 'apparel')
  # Three colors and four classes: what is not there is empty.
  assert color['label_4'] == '' != apparel['label_4']
  shares = [float(apparel[f'probability{k}']) for k in ('', '_2', '_3', '_4')]
  assert sum(shares) == pytest.approx(1, abs=1e-5)
  assert shares == sorted(shares, reverse=True)


def test_a_table_is_read_by_people(trained, folder, capsys):
  out = run(trained, folder, capsys=capsys, format='table', top=1)
  lines = out.splitlines()
  assert lines[0] == str(folder / 'a.JPG')
  ((label, share),) = expected(trained, folder / 'a.JPG').best(
    inference.Predictor(trained).task_set, 'color'
  )
  assert lines[1].split() == ['color', label, f'{share:.2f}']
  assert f'{folder / "broken.png"}: does not decode' in lines


def test_standard_input_lists_photos(trained, folder, capsys, monkeypatch):
  listed = f'{folder / "b.jpg"}\n\n{folder / "none.jpg"}\n'
  monkeypatch.setattr(
    sys, 'stdin', io.TextIOWrapper(io.BytesIO(listed.encode()))
  )
  out = run(trained, '-', capsys=capsys, format='json')
  lines = [json.loads(line) for line in out.splitlines()]
  assert [line.get('task') for line in lines] == ['color', 'apparel', None]
  assert lines[2] == {'path': str(folder / 'none.jpg'), 'error': 'no file'}


def test_the_last_line_counts(trained, folder, capsys):
  predict.main(predict.Predict(run=trained, paths=(str(folder),)))
  assert capsys.readouterr().err.splitlines()[-1] == (
    f'3 photos labelled, 1 unreadable, the first: {folder / "broken.png"}: '
    'does not decode; skipped 1 files that are not photos, the first: '
    f'{folder / "notes.txt"}'
  )


def test_a_folder_without_photos_is_refused(trained, tmp_path):
  with pytest.raises(errors.UserError, match='no photos to label$'):
    predict.main(predict.Predict(run=trained, paths=(str(tmp_path),)))
  (tmp_path / 'notes.txt').write_text('no photo')
  with pytest.raises(errors.UserError, match='skipped 1 .*notes.txt'):
    predict.main(predict.Predict(run=trained, paths=(str(tmp_path),)))


@pytest.mark.parametrize(
  ('name', 'content', 'reason'),
  [
    (
      'labels.csv',
      'photo,style\n',
      'text.*- < .*labels.csv.*imat_jax.data.own',
    ),
    ('labels.json', '[]', 'JSON.*imat_jax.data.own'),
    ('page.jpg', '<!doctype html>', 'HTML page'),
    ('empty.jpg', '', 'empty file'),
  ],
)
def test_what_is_no_photo_is_named(trained, tmp_path, name, content, reason):
  path = tmp_path / name
  path.write_text(content)
  with pytest.raises(
    errors.UserError,
    match=f'no photo labelled, 1 .*: does not decode: {reason}',
  ):
    predict.main(predict.Predict(run=trained, paths=(str(path),)))


def test_an_empty_list_is_reported(trained, monkeypatch):
  stdin = io.TextIOWrapper(io.BytesIO(b'\r\n'))
  monkeypatch.setattr(sys, 'stdin', stdin)
  with pytest.raises(errors.UserError, match='the list is empty'):
    predict.main(predict.Predict(run=trained, paths=('-',)))


def test_a_link_is_reported(trained):
  link = 'https://shop.example/1.jpg'
  with pytest.raises(errors.UserError, match='no file: a link; download'):
    predict.main(predict.Predict(run=trained, paths=(link,)))


def test_photos_of_any_name_are_labelled(trained, kaggle, tmp_path, capsys):
  """As browsers, scanners and links name them; `own` takes the same."""
  names = ['1.jfif', '2.JPE', '3.tif', '4.jpg_large', '5.jpg?w=640', '6']
  body = (kaggle.images / 'validation/0.jpg').read_bytes()
  for name in (*names, '.hidden.jpg', 'Thumbs.db'):
    (tmp_path / name).write_bytes(body)
  (tmp_path / '__MACOSX').mkdir()
  (tmp_path / '__MACOSX/1.jpg').write_bytes(body)
  out = run(trained, tmp_path, capsys=capsys, format='csv')
  rows = list(csv.DictReader(io.StringIO(out)))
  assert [os.path.basename(row['path']) for row in rows[::2]] == names
  assert not any(row['error'] for row in rows)


def test_the_grid_shows_photos_with_their_labels(trained, folder, capsys):
  target = folder / 'grid.png'
  run(trained, folder, capsys=capsys, save_grid=str(target))
  with Image.open(target) as sheet:
    pixels = np.asarray(sheet.convert('RGB')).astype(int)
  # Three photos beside each other, each with words below, none of them in a
  # color that would say right or wrong.
  assert pixels.shape[1] > 3 * 100
  below = pixels[190:].reshape(-1, 3)
  assert (below < 128).all(1).sum() > 100
  assert not np.ptp(below, 1).any()


def test_a_second_grid_does_not_show_the_first(trained, folder, capsys):
  """An earlier grid among the photos is replaced, and not labelled."""
  target = folder / 'grid.png'
  run(trained, folder, capsys=capsys, save_grid=str(target))
  first = target.read_bytes()
  out = run(trained, folder, capsys=capsys, save_grid=str(target), format='csv')
  assert 'grid.png' not in out
  assert target.read_bytes() == first


def test_a_grid_overwrites_no_photo(trained, folder, monkeypatch):
  """Known before the run is read."""
  monkeypatch.setattr(inference, 'Predictor', None)
  (folder / 'b.png').symlink_to('b.jpg')
  for name in ('broken.png', 'b.png'):
    target = folder / name
    before = target.read_bytes()
    with pytest.raises(errors.UserError, match=f'{name}.*did not write'):
      predict.main(
        predict.Predict(
          run=trained, paths=(str(folder),), save_grid=str(target)
        )
      )
    assert target.read_bytes() == before


def test_names_may_be_any_bytes(trained, kaggle, tmp_path):
  odd = os.path.join(os.fsencode(tmp_path), b'\xff,"\n\x1b[2J.jpg')
  with open(odd, 'wb') as file:
    file.write((kaggle.images / 'validation/0.jpg').read_bytes())
  command = [sys.executable, '-m', 'imat_jax.predict', f'--run={trained}']
  outputs = {}
  for form in ('csv', 'json', 'table'):
    done = subprocess.run(
      [*command, str(tmp_path), f'--format={form}'],
      capture_output=True,
      check=True,
    )
    outputs[form] = done.stdout
  decoded = outputs['csv'].decode(errors='surrogateescape')
  rows = list(csv.DictReader(io.StringIO(decoded)))
  assert {os.fsencode(row['path']) for row in rows} == {odd}
  lines = map(json.loads, outputs['json'].splitlines())
  assert {os.fsencode(line['path']) for line in lines} == {odd}
  assert b'\x1b' not in outputs['table']


def test_wrong_use_has_its_status(trained, kaggle, tmp_path):
  photo = kaggle.images / 'validation/0.jpg'
  command = [sys.executable, '-m', 'imat_jax.predict']
  for arguments, status in (
    ([f'--run={trained}'], 2),
    (['a.jpg'], 2),
    (['a.jpg', '--run=none'], 1),
    ([str(tmp_path), f'--run={trained}'], 1),
    (['a.jpg', f'--run={trained}'], 1),
    ([str(photo), f'--run={trained}'], 0),
  ):
    done = subprocess.run(
      [*command, *arguments], capture_output=True, text=True
    )
    assert done.returncode == status, arguments
    assert len(tiny.without_progress(done.stderr)) == 1
