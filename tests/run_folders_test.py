"""Runs are recognised; other folders are reported with nearby runs."""

import json
import pathlib

import pytest

from imat_jax import errors, options
from imat_jax.runtime import run_folders
from imat_jax.study.config import Study


@pytest.fixture
def study(tmp_path) -> pathlib.Path:
  """The files of a study of four runs."""
  path = tmp_path / 'study'
  path.mkdir()
  settings = Study(data_dir='built', workdir='study')
  stored = json.dumps(
    {'config': options.to_json(settings), 'tasks': {}, 'data_set': ''}
  )
  (path / 'config.json').write_text(stored)
  (path / 'checkpoints').mkdir()
  for seed in range(4):
    run = path / f'runs/public_3m/apparel+color/seed_{seed}'
    (run / 'checkpoints/7').mkdir(parents=True)
    (run / 'config.json').write_text('{}')
  return path


def complaint(path: pathlib.Path) -> str:
  with pytest.raises(errors.UserError) as caught:
    run_folders.check(path)
  return str(caught.value).removeprefix(f'{path}: not a trained run')


def test_a_run_is_one(study):
  run_folders.check(study / 'runs/public_3m/apparel+color/seed_0')


@pytest.mark.parametrize('below', ['.', 'runs', 'runs/public_3m/..', '..'])
def test_the_runs_of_a_study_are_named(study, below):
  text = complaint(study / below)
  assert text.startswith(', but 4 are below it: ')
  assert 'apparel+color/seed_0, ' in text
  assert 'seed_3' not in text  # no more than three


def test_a_single_run_below_is_named(study):
  text = complaint(study / 'runs/public_3m/apparel+color/seed_0/..')
  assert '4 are' in text
  only = study / 'one/run'
  (only / 'checkpoints').mkdir(parents=True)
  (only / 'config.json').write_text('{}')
  assert complaint(study / 'one') == f', but 1 is below it: {only}'


def test_a_part_of_a_run_leads_to_it(study):
  run = study / 'runs/public_3m/apparel+color/seed_0'
  for part in ('checkpoints', 'checkpoints/7', 'config.json'):
    assert complaint(run / part) == f'; it is part of the run {run}'


def test_what_is_nowhere_near_a_run(tmp_path):
  assert complaint(tmp_path / 'none') == ': no such folder'
  assert complaint(tmp_path).startswith(': no config.json')
  (tmp_path / 'file').write_text('')
  assert complaint(tmp_path / 'file').startswith(': a file')


@pytest.mark.parametrize('content', ['', 'pid 7 on a host'])
def test_a_folder_with_a_lock_of_ours_is_a_runs(tmp_path, content):
  for name in ('lock', 'notes.txt'):
    (tmp_path / name).write_text(content)
  run_folders.refuse_foreign(tmp_path)
  (tmp_path / 'lock').write_text('the key is under the mat')
  with pytest.raises(errors.UserError, match='has files of no run or study'):
    run_folders.refuse_foreign(tmp_path)


def test_a_bucket_is_left_to_its_reader():
  run_folders.check('s3://shop/run')
