"""Runs a study: trains what its grid still lacks, group by group.

A group in progress has a folder of its own, `groups/…`, with its checkpoints;
when it ends each of its runs gets one under `runs/`, as if it had been trained
alone, and the group's goes.
"""

import functools
import hashlib
import json
import pathlib
import shutil
import sys
from collections.abc import Iterator, Sequence

import jax

from imat_jax import config, files, progress, tasks
from imat_jax.data import source
from imat_jax.models import heads
from imat_jax.study import engine, estimate, grid, report, results
from imat_jax.training import checkpoint, feed, loop
from imat_jax.training import workdir as workdir_lib
from imat_jax.training.group import Group

# What XLA says when the device's memory is full.
_FULL = 'RESOURCE_EXHAUSTED'


def run_study(study: config.Study) -> None:
  """Trains, compares and reports; goes on where it was stopped."""
  engine.prepare()
  built = source.read_tasks(study.data_dir)
  planned = grid.make(study, built)
  for line in planned.left_out:
    print(line, file=sys.stderr)
  sweep = Sweep(planned, built)
  if study.dry_run:
    print(estimate.table(planned, sweep.whole_groups(), sweep.data))
    return
  workdir = workdir_lib.Workdir(study.workdir)
  with workdir_lib.locked(workdir):
    workdir_lib.claim(
      workdir,
      study,
      built.select(planned.task_names),
      sweep.fingerprint,
      begun=(workdir.path / 'runs').exists(),
    )
    sweep.train_all()
    print(report.write_study(workdir, planned))


class Sweep:
  """The training of a grid."""

  def __init__(self, planned: grid.Grid, built: tasks.TaskSet):
    self._planned, self._built = planned, built
    self._study = planned.study
    self._root = pathlib.Path(self._study.workdir)
    metadata = source.read_metadata(self._study.data_dir)
    self.fingerprint = metadata['fingerprint']

  def whole_groups(self) -> dict[str, Group]:
    """All runs of each model."""
    names = self._planned.task_names
    return {
      model: self._group(self._planned.runs(model), names)
      for model in self._study.models
    }

  @functools.cache  # noqa: B019 — a process has one sweep
  def data(self, task_set: tasks.TaskSet) -> feed.Data:
    """The photos, with labels of these tasks."""
    return feed.open_data(self._study, self._study.geometry, task_set)

  def train_all(self) -> None:
    """Trains the runs that are not finished, as many at once as fit."""
    whole = self.whole_groups()
    runs = [run for group in whole.values() for run in group.runs]
    done = len(runs) - len(_unfinished(runs))
    with progress.Progress(len(runs), 'study', 'run', done) as bar:
      for group in self._in_progress():
        self._train(group, bar)
      for group in whole.values():
        todo = _unfinished(group.runs)
        size = len(todo) and self._size(group)
        for first in range(0, len(todo), size or 1):
          part = todo[first : first + size]
          self._train(self._group(part, group.task_set.names), bar)

  def _size(self, group: Group) -> int:
    """How many runs of a group go at once."""
    if self._study.runs_at_once or not self._study.resident:
      return self._study.runs_at_once or 1
    return estimate.runs_that_fit(group, self.data(group.task_set))

  def _group(self, runs: Sequence[config.Run], names: Sequence[str]) -> Group:
    return Group(tuple(runs), self._built.select(names))

  def _in_progress(self) -> Iterator[Group]:
    """Groups that an earlier start left, if the grid still has their runs."""
    models = self._study.models
    runs = [run for model in models for run in self._planned.runs(model)]
    known = {self._name(run): run for run in runs}
    for folder in sorted(self._root.glob('groups/*')):
      if not (folder / 'group.json').exists():
        shutil.rmtree(folder)  # what a killed `_discard` left
        continue
      found = files.read_json(folder / 'group.json')
      if set(found['runs']) <= known.keys():
        yield self._group([known[n] for n in found['runs']], found['tasks'])

  def _name(self, run: config.Run) -> str:
    return str(pathlib.Path(run.workdir).relative_to(self._root))

  def _train(self, group: Group, bar: progress.Progress) -> None:
    """Trains a group and leaves its runs' results."""
    described = [
      workdir_lib.describe(run, group.own_tasks(r), self.fingerprint)
      for r, run in enumerate(group.runs)
    ]
    identities = [workdir_lib.identity(config.Run, d) for d in described]
    text = json.dumps([identities, group.task_set.to_json()])
    identity = hashlib.sha256(text.encode()).hexdigest()
    folder = self._root / 'groups' / identity[:16]
    content = {
      'tasks': group.task_set.names,
      'runs': [self._name(run) for run in group.runs],
    }
    files.write_json(folder / 'group.json', content)
    end = self._train_if_it_fits(group, folder / 'checkpoints', identity)
    if end is None:
      half = (len(group) + 1) // 2
      bar.say(f'{len(group)} runs at once do not fit into the memory: {half}')
      _discard(folder)
      for runs in (group.runs[:half], group.runs[half:]):
        self._train(Group(runs, group.task_set), bar)
      return
    data = self.data(group.task_set)
    for r, scored in enumerate(engine.score(group, data, end)):
      workdir = workdir_lib.Workdir(group.runs[r].workdir)
      files.write_json(workdir.config, described[r])
      checkpoint.write_best(
        workdir.checkpoints,
        identities[r],
        _own_params(group, r, end.best_params),
        end.courses[r],
      )
      workdir_lib.write_metrics(workdir, end.courses[r])
      results.write(workdir, scored)
    _discard(folder)
    bar.advance(len(group))

  def _train_if_it_fits(
    self, group: Group, checkpoints: pathlib.Path, identity: str
  ) -> checkpoint.Checkpoint | None:
    try:
      return loop.train(
        group,
        self.data(group.task_set),
        checkpoints,
        identity,
        on_start=lambda here: None,
        on_save=lambda here: None,
        says_epochs=False,
      )
    except jax.errors.JaxRuntimeError as error:
      if _FULL in str(error) and len(group) > 1:
        return None
      raise


def _discard(folder: pathlib.Path) -> None:
  """Removes a group's folder; with its `group.json` it counts as gone."""
  (folder / 'group.json').unlink()
  shutil.rmtree(folder)


def _own_params(group: Group, number: int, params: dict) -> dict:
  """A run's parameters, R = 1, in a network that has its tasks alone."""
  own = jax.tree.map(lambda leaf_R: leaf_R[number], params)
  own = heads.select(own, group.model, group.task_set, group.own_tasks(number))
  return jax.tree.map(lambda leaf: leaf[None], own)


def _unfinished(runs: Sequence[config.Run]) -> list[config.Run]:
  return [r for r in runs if not results.is_finished(pathlib.Path(r.workdir))]
