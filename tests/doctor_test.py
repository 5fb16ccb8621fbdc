import os
import pathlib
import shutil
import subprocess
import sys
from collections import namedtuple

import pytest

from imat_jax import doctor, errors
from imat_jax.data import source, tfds_builder


def findings(**options) -> dict[str, doctor.Finding]:
  return {f.what: f for f in doctor.examine(doctor.Doctor(**options))}


def test_a_machine_that_is_well(built, tmp_path):
  finding_by_name = findings(
    data_dir=built, workdir=str(tmp_path / 'runs' / 'new')
  )
  assert not any(f.wrong for f in finding_by_name.values())
  assert {'versions', 'machine', 'devices', 'speed'} <= finding_by_name.keys()
  assert '4 × cpu' in finding_by_name['devices'].seen
  assert 'TFLOP/s' in finding_by_name['speed'].seen
  assert 'GiB free' in finding_by_name['workdir'].seen
  fingerprint = source.read_metadata(built)['fingerprint']
  assert fingerprint[:12] in finding_by_name['data set'].seen
  assert '50 train, 21 validation' in finding_by_name['data set'].seen
  assert not list((tmp_path / 'runs' / 'new').iterdir())


def test_no_data_set(tmp_path):
  finding = findings(data_dir=str(tmp_path))['data set']
  assert 'no data set in this folder; build one with' in finding.wrong


def test_a_damaged_data_set(built, tmp_path):
  copy = tmp_path / 'copy'
  shutil.copytree(built, copy)
  (record,) = tfds_builder.directory(copy).glob('*train.array_record*')
  record.write_bytes(b'')
  assert 'damaged' in findings(data_dir=str(copy))['data set'].wrong


def test_a_workdir_that_is_a_file(tmp_path):
  (tmp_path / 'file').touch()
  finding = findings(workdir=str(tmp_path / 'file'))['workdir']
  assert str(tmp_path / 'file') in finding.wrong


def test_a_disk_that_is_full(tmp_path, monkeypatch):
  usage = namedtuple('usage', 'total used free')(2**40, 2**40 - 10, 10)
  monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
  assert 'free some space' in findings(workdir=str(tmp_path))['workdir'].wrong


def test_an_accelerator_that_jax_does_not_use(monkeypatch):
  exists = pathlib.Path.exists
  monkeypatch.setattr(
    pathlib.Path,
    'exists',
    lambda path: str(path) == '/dev/nvidiactl' or exists(path),
  )
  assert not findings()['devices'].wrong, 'someone asked for the CPU'
  monkeypatch.delenv('JAX_PLATFORMS')
  assert '[gpu]' in findings()['devices'].wrong


def test_the_command(built, tmp_path):
  def run(*flags):
    command = [sys.executable, '-m', 'imat_jax.doctor', *flags]
    return subprocess.run(command, capture_output=True, text=True)

  well = run(f'--data_dir={built}', f'--workdir={tmp_path}')
  assert (well.returncode, well.stderr) == (0, '')
  assert all(line.startswith('ok:') for line in well.stdout.splitlines())
  ill = run(f'--data_dir={tmp_path}')
  assert ill.returncode == 1
  assert ill.stdout.splitlines()[-1].startswith('wrong: data set:')
  assert '1 problem would prevent a run' in ill.stderr


def test_a_finding_is_one_line():
  assert '\n' not in str(doctor.Finding('a', 'b\nc', 'd\n'))
  with pytest.raises(errors.UserError):
    doctor.main(doctor.Doctor(data_dir='nowhere'))


@pytest.mark.parametrize('platforms', ['cuda', 'tpu', 'CPU'])
def test_devices_that_jax_does_not_find_are_one_finding(platforms, tmp_path):
  """The other findings follow; a new process, as jax initializes once."""
  command = [sys.executable, '-m', 'imat_jax.doctor', f'--workdir={tmp_path}']
  done = subprocess.run(
    command,
    capture_output=True,
    text=True,
    env=os.environ | {'JAX_PLATFORMS': platforms},
  )
  assert done.returncode == 1
  assert f'JAX_PLATFORMS={platforms}: jax finds no such' in done.stdout
  assert 'workdir' in done.stdout and 'Traceback' not in done.stderr
