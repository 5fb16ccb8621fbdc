"""The launch scripts: their dry runs, and what they do after a failure."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).parent.parent
LAUNCH = ROOT / 'launch'
SCRIPTS = sorted([*LAUNCH.glob('*.sh'), LAUNCH / 'slurm.sbatch'])
JOBS = sorted(LAUNCH.glob('sky/*.yaml'))
FLAGS = ['--data_dir=docs/studies', '--workdir=runs/a b', '--epochs=2']
# What stands before the module, and what has to be run, in this order.
DRY = {
  'gpu_vm.sh': (
    ['me@host'],
    ['rsync', 'ssh .*imat_jax.doctor', 'ssh .*public_3m', 'rsync .*me@host:'],
  ),
  'azure_vm.sh': (
    [],
    [
      'az group create',
      'az vm create .*--priority Spot',
      'ssh .*launch/eviction.sh',
      'ssh .*imat_jax.doctor',
      'ssh .*experiments.public_3m',
      'rsync .*ADDRESS:',
      'az group delete .*--yes',
    ],
  ),
  'tpu_vm.sh': (
    [],
    [
      'gcloud compute tpus queued-resources create',
      'tpu-vm scp .*--worker=all',
      'tpu-vm ssh .*--worker=all.*imat_jax.doctor',
      'tpu-vm ssh .*--worker=all.*experiments.public_3m',
      'tpu-vm scp .*--worker=0',
      'queued-resources delete',
    ],
  ),
  'slurm.sbatch': ([], ['srun .*imat_jax.doctor', 'srun .*public_3m']),
  'run_module.sh': ([], ['imat_jax.doctor', 'exec python -m experiments']),
}


def _run(
  script: str, *arguments: str, **env: str
) -> subprocess.CompletedProcess:
  return subprocess.run(
    ['bash', str(LAUNCH / script), *arguments],
    env=os.environ | env,
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=60,
  )


def _stub(folder: pathlib.Path, name: str, script: str) -> None:
  (folder / name).write_text(f'#!/bin/bash\n{script}\n')
  (folder / name).chmod(0o755)


@pytest.mark.skipif(not shutil.which('shellcheck'), reason='no shellcheck here')
@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script):
  done = subprocess.run(
    ['shellcheck', '--external-sources', str(script)],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert not done.stdout


@pytest.mark.parametrize('script', DRY)
def test_a_dry_run_prints_each_command_and_runs_none(script, tmp_path):
  for name in ('ssh', 'rsync', 'az', 'gcloud', 'srun', 'scontrol', 'python'):
    _stub(tmp_path, name, f'touch {shlex.quote(str(tmp_path))}/was_run')
  before, expected = DRY[script]
  path = f'{tmp_path}:{os.environ["PATH"]}'
  module = 'experiments.public_3m'
  done = _run(script, '--dry_run', *before, module, *FLAGS, PATH=path)
  assert done.returncode == 0, done.stderr
  output = done.stdout + done.stderr
  assert re.search('.*\n(.*\n)*.*'.join(expected), output), output
  assert all(line.startswith('+ ') for line in output.splitlines())
  assert not (tmp_path / 'was_run').exists()
  assert not (ROOT / 'runs' / 'a b').exists()


@pytest.mark.parametrize('script', ['gpu_vm.sh', 'azure_vm.sh', 'tpu_vm.sh'])
@pytest.mark.parametrize(
  'flags, message',
  [
    (['--data_dir=docs'], '--workdir='),
    (['--data_dir=nothing', '--workdir=x'], 'no such folder'),
    (['--data_dir=/tmp', '--workdir=x'], '--data_dir=/tmp'),
    (['--data_dir=docs', '--workdir=../x'], '--workdir=../x'),
  ],
)
def test_folders_from_elsewhere_are_refused(script, flags, message):
  before, _ = DRY[script]
  done = _run(script, '--dry_run', *before, 'experiments.public_3m', *flags)
  assert done.returncode == 1
  assert message in done.stderr


@pytest.mark.parametrize('script', sorted(set(DRY) - {'run_module.sh'}))
def test_without_arguments_it_prints_its_usage(script):
  done = _run(script)
  assert done.returncode == 2
  assert 'MODULE' in done.stderr


def test_a_failed_run_is_copied_back_and_its_status_kept(tmp_path):
  log = shlex.quote(str(tmp_path / 'log'))
  _stub(tmp_path, 'rsync', f'echo rsync "$@" >> {log}')
  _stub(
    tmp_path,
    'ssh',
    f'echo ssh "$@" >> {log}; [[ $* != *public_3m* ]] || exit 7',
  )
  workdir = ROOT / 'docs' / 'studies'  # is there: it goes on from it
  done = _run(
    'gpu_vm.sh',
    *('me@host', 'experiments.public_3m', '--data_dir=docs'),
    f'--workdir={workdir.relative_to(ROOT)}',
    PATH=f'{tmp_path}:{os.environ["PATH"]}',
  )
  assert done.returncode == 7, done.stderr
  lines = (tmp_path / 'log').read_text().splitlines()
  assert [line.split()[0] for line in lines] == [
    *('rsync', 'rsync', 'rsync', 'ssh', 'ssh', 'rsync')
  ]
  assert lines[-1].endswith('me@host:imat_jax/docs/studies/ docs/studies/')


def test_a_rented_machine_is_given_back_when_the_run_fails(tmp_path):
  log = shlex.quote(str(tmp_path / 'log'))
  for name in ('az', 'rsync'):
    _stub(tmp_path, name, f'echo {name} "$@" >> {log}')
  _stub(tmp_path, 'ssh', f'echo ssh "$@" >> {log}; exit 255')
  done = _run(
    'azure_vm.sh',
    *('experiments.public_3m', '--data_dir=docs', '--workdir=runs/never'),
    PATH=f'{tmp_path}:{os.environ["PATH"]}',
  )
  assert done.returncode == 255
  last = (tmp_path / 'log').read_text().splitlines()[-1]
  assert last.startswith('az group delete --name imat-jax-')


@pytest.mark.parametrize('taken', [True, False])
def test_slurm_queues_again_only_what_was_interrupted(tmp_path, taken):
  log = shlex.quote(str(tmp_path / 'log'))
  status = 143 if taken else 1
  _stub(
    tmp_path,
    'srun',
    f'echo "$JAX_LOCAL_DEVICE_IDS" "$@" >> {log}\n'
    f'[[ $* != *public_3m* ]] || exit {status}',
  )
  _stub(tmp_path, 'scontrol', f'echo scontrol "$@" >> {log}')
  done = _run(
    'slurm.sbatch',
    *('experiments.public_3m', *FLAGS),
    PATH=f'{tmp_path}:{os.environ["PATH"]}',
    SLURM_JOB_ID='17',
    SLURM_GPUS_ON_NODE='4',
    SLURM_SUBMIT_DIR=str(ROOT),
  )
  assert done.returncode == status
  lines = (tmp_path / 'log').read_text().splitlines()
  assert lines[0].startswith('0,1,2,3 ')
  assert (lines[-1] == 'scontrol requeue 17') == taken


@pytest.mark.parametrize('job', JOBS, ids=lambda path: path.name)
def test_a_sky_job_looks_first_and_has_sound_commands(job):
  content = yaml.safe_load(job.read_text())
  assert content['resources']['use_spot'] is True
  assert 'imat_jax.doctor' in content['setup']
  run = content['run']
  assert run.index('imat_jax.doctor') < run.index('--workdir="/runs/', 200)
  assert subprocess.run(['bash', '-n', '-c', run]).returncode == 0
  if shutil.which('shellcheck'):
    names = [*content['envs'], 'SKYPILOT_NUM_NODES', 'SKYPILOT_NODE_IPS']
    options = ''.join(f'export {n}=x\n' for n in [*names, 'SKYPILOT_NODE_RANK'])
    done = subprocess.run(
      ['shellcheck', '--shell=bash', '-'],
      input=options + run,
      capture_output=True,
      text=True,
    )
    assert not done.stdout


def test_the_image_has_a_target_for_each_kind_of_machine():
  text = (LAUNCH / 'Dockerfile').read_text()
  assert re.findall(r'^FROM base AS (\w+)$', text, re.M) == [
    'cpu',
    'gpu',
    'tpu',
  ]
  for source in re.findall(r'^COPY (.*) \S+$', text, re.M):
    assert all((ROOT / name).exists() for name in source.split())
