"""Weights & Biases: one run for all starts of a run."""

import os
import pathlib
import secrets
import shutil
from collections.abc import Sequence
from typing import Any

from imat_jax import config, errors, options
from imat_jax.runtime import files, progress
from imat_jax.runtime.workdir import Workdir
from imat_jax.writers.base import Summary

_FINISH_TIMEOUT_S = 60.0


class WandbWriter:
  """A Weights & Biases run that is resumed by all starts of a run.

  Offline (WANDB_MODE=offline) each start has a folder. That of a killed start
  lacks what wandb had not written yet, so it is deleted and written again.
  """

  name = '--wandb'

  def __init__(self, workdir: Workdir, run: config.Run, config_hash: str):
    self._path, self._workdir = workdir.wandb, workdir.path
    self._config, self._config_hash = options.to_json(run), config_hash
    self._run, self._written = None, -1

  def start(
    self, step: int, finished: Sequence[Summary], resumes: bool
  ) -> None:
    self._state = state = self._read_state()
    self._written = state['told']
    if not resumes and all(
      summary.step <= self._written for summary in finished
    ):
      return
    root = pathlib.Path(os.environ.get('WANDB_DIR') or self._workdir)
    # Compared, not used as a path: the state file is untrusted.
    for folder in (root / 'wandb').glob('offline-run-*'):
      if folder.name == state['open']:
        shutil.rmtree(folder)
    self._run = self._init(root, state['id'])
    if not self._run.offline:
      self._written = self._run.starting_step - 1
    opened = pathlib.Path(self._run.dir).parent
    files.write_json(self._path, state | {'open': opened.name})
    progress.say(
      f'wandb: offline; upload with `wandb sync {opened.parent}`'
      if self._run.offline
      else f'wandb: {self._run.url}'
    )
    for summary in finished:
      self.write(summary)

  def write(self, summary: Summary) -> None:
    if summary.step <= self._written:
      return
    import wandb

    images = {tag: wandb.Image(x) for tag, x in summary.draw().items()}
    # Without `commit` a summary waits for the next one.
    self._run.log(summary.scalars() | images, step=summary.step, commit=True)
    self._written = summary.step

  def close(self, done: bool) -> None:
    if self._run is None:
      return
    import wandb

    self._run.finish(exit_code=int(not done))
    wandb.teardown()  # `finish` returns before its file is complete
    closed = {'told': self._written, 'open': ''}
    files.write_json(self._path, self._state | closed)

  def _init(self, root: pathlib.Path, run_id: str) -> Any:
    import wandb

    silent = wandb.Settings(
      silent=True,
      console='off',
      finish_timeout=_FINISH_TIMEOUT_S,
      finish_timeout_raises=True,
    )
    wandb.setup(silent)
    try:
      return wandb.init(
        project=os.environ.get('WANDB_PROJECT') or 'imat_jax',
        name=self._workdir.resolve().name,
        id=run_id,
        resume='allow',
        reinit='create_new',
        dir=root,
        config=self._config,
        allow_val_change=True,
        settings=silent,
      )
    except (wandb.errors.UsageError, wandb.errors.AuthenticationError) as error:
      raise errors.UserError(
        f'--wandb: {error} Or set WANDB_MODE=offline.'
      ) from error

  def _read_state(self) -> dict[str, Any]:
    fresh = {
      'identity': self._config_hash,
      'id': secrets.token_hex(4),
      'told': -1,  # the last step written by starts that were closed
      'open': '',  # the folder of a start that was not closed
    }
    if not self._path.exists():
      return fresh
    state = files.read_json(self._path)
    try:
      stored = {name: type(x)(state[name]) for name, x in fresh.items()}
    except (KeyError, TypeError, ValueError):
      raise errors.UserError(f'{self._path}: damaged; remove it') from None
    return stored if stored['identity'] == self._config_hash else fresh
