"""The export command, and the programs of docs/export.md for its files."""

import io
import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from imat_jax import artefact, config, errors, export, inference
from imat_jax.data.garments import render, sample
from imat_jax.models.trunks.paper import Paper
from imat_jax.runtime import outputs
from imat_jax.training import trained_model

ROOT = pathlib.Path(__file__).resolve().parents[1]
REAL = ROOT.parent / 'shared/data/clothing/images/validation'
BLOCK = re.compile(r'```python\n# (\w+\.py)\n(.*?)```', re.DOTALL)
ORIENTATION = 0x0112  # of EXIF


def run(trained, **flags) -> None:
  export.main(export.Export(run=str(trained), **flags))


def metadata(path: pathlib.Path) -> dict:
  with zipfile.ZipFile(path) as archive:
    return json.loads(archive.read(artefact.ABOUT))


@pytest.fixture(scope='module')
def written(trained, tmp_path_factory) -> pathlib.Path:
  """A folder with the files of both formats."""
  pytest.importorskip('jax2onnx')
  folder = tmp_path_factory.mktemp('written')
  for kind in ('stablehlo', 'onnx'):
    run(trained, format=kind, output=str(folder / f'model.{kind}'))
  return folder


def test_it_goes_into_the_folder_of_the_run(trained, capsys):
  run(trained)
  path = pathlib.Path(trained, 'model.stablehlo')
  said = capsys.readouterr().out
  assert said.startswith(f'{path}: ')
  assert 'color: 3 labels' in said
  about = metadata(path)
  assert about == artefact.about(trained_model.load(trained))
  assert list(about['tasks']) == ['color', 'apparel']
  evaluation = json.loads(pathlib.Path(trained, 'evaluation.json').read_text())
  assert {k: about['training'][k] for k in ('epoch', 'step')} == {
    k: evaluation[k] for k in ('epoch', 'step')
  }
  assert trained_model.load(trained)  # a run as before


def test_what_was_there_stays_until_all_is_written(
  trained, tmp_path, monkeypatch
):
  path = tmp_path / 'here'
  outputs.write_text(path, 'old')

  def fail(*_):
    raise OSError(28, 'No space left on device')

  with monkeypatch.context() as patch:
    patch.setattr(os, 'replace', fail)
    with pytest.raises(OSError):
      run(trained, output=str(path))
  assert path.read_text() == 'old'
  assert {p.name for p in tmp_path.iterdir()} == {'here', outputs.RECORD}
  run(trained, output=str(path))
  assert metadata(path)['tasks']


@pytest.mark.parametrize(
  ('flags', 'complaint'),
  [
    (
      {'trained': 'nowhere'},
      r'nowhere: not a trained run: no such folder',
    ),
    ({'output': 'no/folder/model'}, 'no/folder: no such folder'),
    ({'output': '.'}, r'\.: is a folder'),
    ({'output': 'run/config.json/model'}, 'config.json: no such folder'),
    ({'trained': 's3://shop/run'}, r's3://shop/run: is in a bucket.*--output'),
  ],
)
def test_what_cannot_be_done_is_one_line(
  flags, complaint, trained, tmp_path, monkeypatch
):
  (tmp_path / 'run').symlink_to(trained)
  monkeypatch.chdir(tmp_path)
  with pytest.raises(errors.UserError, match=complaint) as caught:
    run(**{'trained': 'run'} | flags)
  assert '\n' not in str(caught.value)


def test_a_file_of_the_users_stays(trained, tmp_path, monkeypatch):
  monkeypatch.setattr(artefact, 'stablehlo', None)  # known before the work
  path = tmp_path / 'model'
  path.write_text('mine')
  with pytest.raises(errors.UserError, match='model: .* did not write'):
    run(trained, output=str(path))
  with pytest.raises(errors.UserError, match='config.json: .* did not write'):
    run(trained, output=str(pathlib.Path(trained, 'config.json')))
  assert path.read_text() == 'mine'


def test_a_file_in_a_bucket_is_refused():
  with pytest.raises(ValueError, match='--output=s3://.*local file'):
    export.Export(run='run', output='s3://shop/model.onnx')


def test_onnx_without_the_package(trained, monkeypatch):
  monkeypatch.setitem(sys.modules, 'jax2onnx', None)
  with pytest.raises(errors.UserError, match=r"install 'imat_jax\[onnx\]'"):
    run(trained, format='onnx')
  assert not pathlib.Path(trained, 'model.onnx').exists()


@pytest.mark.parametrize(
  ('flag', 'status', 'said'),
  [
    ('--format=pickle', 2, 'stablehlo'),
    ('--output=no/where', 1, 'no: no such'),
  ],
)
def test_the_command_ends_with_one_line(flag, status, said, trained, tmp_path):
  command = [sys.executable, '-m', 'imat_jax.export', f'--run={trained}', flag]
  done = subprocess.run(
    command,
    cwd=tmp_path,
    env=os.environ | {'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == status
  assert said in done.stderr
  assert done.stderr.count('\n') == 1


def _blocks() -> dict[str, str]:
  return dict(BLOCK.findall((ROOT / 'docs/export.md').read_text()))


def _jpeg(path: pathlib.Path, image: Image.Image, **flags) -> pathlib.Path:
  image.save(path, 'JPEG', **flags)
  return path


@pytest.fixture(scope='module')
def photos(tmp_path_factory) -> list[pathlib.Path]:
  """JPEGs of all kinds."""
  folder = tmp_path_factory.mktemp('photos')
  drawn = [
    Image.open(io.BytesIO(render.jpeg(photo)))
    for photo in sample.photos(0, 'train', 4)
  ]
  turned = Image.Exif()
  turned[ORIENTATION] = 6
  large = drawn[1].resize((1500, 1100), Image.Resampling.BICUBIC)
  huge = drawn[1].resize((5600, 4200), Image.Resampling.BICUBIC)
  paths = [
    _jpeg(folder / 'plain.jpg', drawn[0], quality=90),
    _jpeg(folder / 'large, turned.jpg', large, exif=turned),
    _jpeg(folder / 'huge.jpg', huge),
    _jpeg(folder / 'gray.jpg', drawn[2].convert('L')),
    _jpeg(folder / 'cmyk.jpg', drawn[3].convert('CMYK')),
    _jpeg(folder / 'tiny.jpg', drawn[0].resize((9, 5))),
  ]
  return paths + sorted(REAL.glob('*.jpg'))[:20]


def test_the_programs_of_the_docs_are_short():
  blocks = _blocks()
  assert set(blocks) == {'prepare.py', 'label_stablehlo.py', 'label_onnx.py'}
  assert max(len(text.splitlines()) for text in blocks.values()) <= 15


@pytest.mark.parametrize('trunk', [Paper(), Paper(image_width=96)])
def test_the_docs_prepare_a_photo_as_the_evaluation_does(
  trunk, photos, trained, monkeypatch
):
  of_run = trained_model.load(trained)
  model = config.Model(trunk=trunk)
  other = config.Run(data_dir='', workdir='', model=model)
  about = artefact.about(of_run._replace(run=other))
  names = {}
  exec(_blocks()['prepare.py'], names)
  for path in photos:
    image = names['prepare'](path, **about['preprocessing'])
    expected = inference.prepare(path, trunk.shape, of_run.resize)
    # Of other places than these of a square, OpenCV rounds to 1/32 of a pixel.
    atol = 1 if trunk.image_width else 0
    np.testing.assert_allclose(image.astype(int), expected, rtol=0, atol=atol)
    assert image.dtype == np.uint8


@pytest.mark.parametrize('kind', ['stablehlo', 'onnx'])
def test_the_programs_of_the_docs_label_without_this_package(
  kind, written, trained, photos, tmp_path
):
  for name, text in _blocks().items():
    (tmp_path / name).write_text(text)
  alone = (
    "import runpy, sys; sys.modules['imat_jax'] = None; del sys.argv[0]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
  )
  arguments = [f'label_{kind}.py', written / f'model.{kind}', *photos]
  done = subprocess.run(
    [sys.executable, '-c', alone, *map(str, arguments)],
    cwd=tmp_path,
    env={k: v for k, v in os.environ.items() if k != 'PYTHONPATH'},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert len(lines) == 2 * len(photos)
  predictor = inference.Predictor(trained, batch_size=8)
  expected = [
    (result.path, task, *result.best(predictor.task_set, task)[0])
    for result in predictor.label(map(str, photos))
    for task in predictor.task_set.names
  ]
  for line, (path, task, label, probability) in zip(
    lines, expected, strict=True
  ):
    rest = line.removeprefix(f'{path} {task} {label} ')
    assert float(rest) == pytest.approx(probability, abs=1e-4)
