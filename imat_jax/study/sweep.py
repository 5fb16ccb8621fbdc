"""Runs a study: trains what its grid still lacks, group by group.

A group in progress has a folder of its own, `groups/…`, with its checkpoints;
when it ends each of its runs gets one under `runs/`, as if it had been trained
alone, and the group's goes.
"""

import functools
import hashlib
import json
import pathlib
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from imat_jax import config, errors, tasks, train
from imat_jax.data import source
from imat_jax.models import network
from imat_jax.reporting import page, results
from imat_jax.runtime import distributed, files, progress, run_folders
from imat_jax.runtime import workdir as workdir_lib
from imat_jax.study import dry_run, grid
from imat_jax.training import checkpoint, inputs, scoring
from imat_jax.training.ensemble import Ensemble
from imat_jax.writers.multi import MultiWriter

# What XLA says when the device's memory is full.
_FULL = 'RESOURCE_EXHAUSTED'
# How the folder of a group is named, see `Sweep._folder`.
_OWN_FOLDER = re.compile('[0-9a-f]{16}')


def run_study(study: config.Study) -> None:
  """Trains, compares and reports; goes on where it was stopped."""
  with (
    distributed.initialize(study.cluster),
    train.prepared(study.batch_size),
  ):
    _run_study(study)


def _run_study(study: config.Study) -> None:
  built = source.read_tasks(study.data_dir)
  planned = grid.make(study, built)
  if distributed.is_primary():
    for line in planned.left_out:
      print(errors.printable(line), file=sys.stderr)
  sweep = Sweep(planned, built)
  workdir = workdir_lib.Workdir(study.workdir)
  if study.dry_run:
    run_folders.refuse_foreign(workdir.path)
    found = dry_run.table(planned, sweep.whole_groups(), sweep.size, sweep.data)
    distributed.broadcast_from_primary(lambda: print(found))
    return
  with workdir_lib.lock(workdir), workdir_lib.synced(workdir):
    task_set = built.select(planned.task_names)
    distributed.broadcast_from_primary(
      lambda: _claim(workdir, study, task_set, sweep.fingerprint)
    )
    sweep.train_all()
    distributed.broadcast_from_primary(
      lambda: print(page.write_study(workdir, planned))
    )


def _claim(
  workdir: workdir_lib.Workdir,
  study: config.Study,
  task_set: tasks.TaskSet,
  fingerprint: str,
) -> None:
  begun = any((workdir.path / n).exists() for n in ('runs', 'groups'))
  if begun and not workdir.config.exists():
    raise errors.UserError(
      f'{workdir.path}: runs are here, but {workdir.config.name} is gone; '
      'put it back or give another --workdir'
    )
  workdir_lib.init_or_check(workdir, study, task_set, fingerprint, begun)


class Sweep:
  """The training of a grid."""

  def __init__(self, planned: grid.Grid, built: tasks.TaskSet):
    self._planned, self._built = planned, built
    self._study = planned.study
    self._root = workdir_lib.Workdir(self._study.workdir).path
    self.fingerprint = train.check_fingerprint(self._study.data_dir)

  def whole_groups(self) -> dict[str, Ensemble]:
    """All runs of each model."""
    names = self._planned.task_names
    return {
      model: self._group(self._planned.runs(model), names)
      for model in self._study.models
    }

  @functools.lru_cache(maxsize=1)  # noqa: B019 — a process has one sweep
  def data(self, task_set: tasks.TaskSet) -> inputs.StreamedInputs:
    """The photos, with labels of these tasks; those of the last ones stay."""
    return inputs.open_inputs(self._study, self._study.geometry, task_set)

  def train_all(self) -> None:
    """Trains the runs that are not finished, as many at once as fit."""
    whole = self.whole_groups()
    runs = [run for group in whole.values() for run in group.runs]
    done = len(runs) - len(_unfinished(runs))
    with progress.Progress(len(runs), 'study', 'run', done) as bar:
      for group in self._in_progress():
        self._train(group, bar)
      for group in whole.values():
        size = None
        while todo := _unfinished(group.runs):
          size = size or self.size(Ensemble(todo, group.task_set))
          part = Ensemble(todo[:size], group.task_set)
          if not self._train(part, bar):
            size = (len(part) + 1) // 2
            bar.say(f'{len(part)} runs at once do not fit; now {size}')

  def size(self, group: Ensemble) -> int:
    """How many runs of a group go at once."""
    if self._study.runs_at_once or not self._study.cache_on_device:
      return self._study.runs_at_once or 1
    return dry_run.runs_that_fit(group, self.data(group.task_set))

  def _group(
    self, runs: Sequence[config.Run], names: Sequence[str]
  ) -> Ensemble:
    return Ensemble(tuple(runs), self._built.select(names))

  def _in_progress(self) -> Iterator[Ensemble]:
    """Groups that an earlier start left, if the grid still has their runs."""
    models = self._study.models
    runs = [run for model in models for run in self._planned.runs(model)]
    known = {self._name(run): run for run in runs}
    for folder, names, of_tasks in distributed.broadcast_from_primary(
      lambda: _left(self._root)
    ):
      if not set(names) <= known.keys() or not set(of_tasks) <= {
        *self._built.names
      }:
        continue
      group = self._group([known[name] for name in names], of_tasks)
      if _unfinished(group.runs) and self._folder(group).name == folder:
        yield group
      else:
        path = self._root / 'groups' / folder
        distributed.broadcast_from_primary(lambda path=path: _discard(path))

  def _name(self, run: config.Run) -> str:
    path = workdir_lib.Workdir(run.workdir).path
    return str(path.relative_to(self._root))

  def _described(self, group: Ensemble) -> list[dict[str, Any]]:
    """What the `config.json` of each run will hold."""
    return [
      workdir_lib.describe(run, group.own_tasks(r), self.fingerprint)
      for r, run in enumerate(group.runs)
    ]

  def _identity(self, group: Ensemble) -> str:
    """A digest of all that must not change while a group is trained."""
    runs = [
      workdir_lib.config_hash(config.Run, described)
      for described in self._described(group)
    ]
    text = json.dumps([runs, group.task_set.to_json()])
    return hashlib.sha256(text.encode()).hexdigest()

  def _folder(self, group: Ensemble) -> pathlib.Path:
    return self._root / 'groups' / self._identity(group)[:16]

  def _train(self, group: Ensemble, bar: progress.Progress) -> bool:
    """Trains a group and leaves its runs' results; False if it does not fit."""
    folder = self._folder(group)
    content = {
      'tasks': group.task_set.names,
      'runs': [self._name(run) for run in group.runs],
    }
    distributed.broadcast_from_primary(
      lambda: files.write_json(folder / 'group.json', content)
    )
    end = self._train_if_it_fits(group, folder / 'checkpoints')
    if end is not None:
      new = _unfinished(group.runs)
      scored = train.evaluate_best(group, self.data(group.task_set), end)
      described = self._described(group)

      def leave() -> None:
        for r, run in enumerate(group.runs):
          if run in new:
            _leave(group, r, end, scored[r], described[r])

      distributed.broadcast_from_primary(leave)
      bar.advance(len(new))
    distributed.broadcast_from_primary(lambda: _discard(folder))
    return end is not None

  def _train_if_it_fits(
    self, group: Ensemble, checkpoints: pathlib.Path
  ) -> checkpoint.Checkpoint | None:
    try:
      config_hash = self._identity(group)
      return train.fit(
        group,
        self.data(group.task_set),
        train.restore_or_init(group, checkpoints, config_hash),
        checkpoints,
        config_hash,
        MultiWriter(),
      )
    except jax.errors.JaxRuntimeError as error:
      if _FULL not in str(error) or len(group) == 1:
        raise
      if distributed.broadcast_from_primary(
        lambda: any(checkpoint.steps(checkpoints))
      ):
        raise errors.UserError(
          f'{checkpoints.parent}: {len(group)} runs that are on their way do '
          'not fit into the memory now; free some and start again'
        ) from None
    return None


def _leave(
  group: Ensemble,
  number: int,
  end: checkpoint.Checkpoint,
  scored: scoring.Scored,
  described: dict[str, Any],
) -> None:
  """Fills the folder of a run, as if it had been trained alone."""
  workdir = workdir_lib.Workdir(group.runs[number].workdir)
  files.write_json(workdir.config, described)
  checkpoint.save_best(
    workdir.checkpoints,
    workdir_lib.config_hash(config.Run, described),
    _own_params(group, number, end.best_params),
    end.histories[number],
  )
  workdir_lib.write_metrics(workdir, end.histories[number].rows)
  results.write(workdir, scored)


def _left(root: pathlib.Path) -> list[list[Any]]:
  """The folders of groups, and what `_read_group` says of each."""
  found = []
  for path in sorted(root.glob('groups/*/')):
    if (path / 'group.json').exists():
      found.append([path.name, *_read_group(path / 'group.json')])
    elif _OWN_FOLDER.fullmatch(path.name):
      shutil.rmtree(path)  # what a killed `_discard` left
  return found


def _read_group(path: pathlib.Path) -> tuple[list[str], list[str]]:
  """The folders of a group's runs, and its tasks."""
  found = files.read_json(path)
  try:
    return [str(n) for n in found['runs']], [str(n) for n in found['tasks']]
  except (KeyError, TypeError):
    raise errors.UserError(
      f'{path}: damaged; move {path.parent} away to train its runs anew'
    ) from None


def _discard(folder: pathlib.Path) -> None:
  """Removes a group's folder; with its `group.json` it counts as gone."""
  (folder / 'group.json').unlink()
  shutil.rmtree(folder)


def _own_params(group: Ensemble, number: int, params: dict) -> dict:
  """A run's parameters, R = 1, in a network that has its tasks alone."""
  own = jax.tree.map(lambda leaf_R: leaf_R[number], params)
  own = network.select(
    own, group.model, group.task_set, group.own_tasks(number)
  )
  return jax.tree.map(lambda leaf: leaf[None], own)


def _unfinished(runs: Sequence[config.Run]) -> tuple[config.Run, ...]:
  finished = distributed.broadcast_from_primary(
    lambda: [results.is_finished(run.workdir) for run in runs]
  )
  return tuple(
    run for run, done in zip(runs, finished, strict=True) if not done
  )
