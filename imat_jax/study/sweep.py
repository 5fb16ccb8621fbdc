"""Runs a study: trains what its grid still lacks, ensemble by ensemble.

One in progress has a folder of its own, `groups/…`, with its checkpoints; when
it ends each of its runs gets one under `runs/`, as if it had been trained
alone, and the ensemble's is removed.
"""

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
from imat_jax.reporting import results, study_page
from imat_jax.runtime import distributed, files, progress, run_folders
from imat_jax.runtime import workdir as workdir_lib
from imat_jax.study import dry_run, grid
from imat_jax.study.config import Study
from imat_jax.training import checkpoint, inputs, scoring
from imat_jax.training.ensemble import Ensemble
from imat_jax.writers.multi import MultiWriter

# XLA's error when the device's memory is full.
_FULL = 'RESOURCE_EXHAUSTED'
# How the folder of an ensemble is named, see `Sweep._folder`.
_OWN_FOLDER = re.compile('[0-9a-f]{16}')


def run_study(study: Study) -> None:
  """Trains, compares and reports; resumes where it was stopped."""
  with (
    distributed.initialize(study.cluster),
    train.prepared(study.batch_size, uses_kernels=True),
  ):
    _run_study(study)


def _run_study(study: Study) -> None:
  built = source.read_tasks(study.data_dir)
  planned = grid.make(study, built)
  if distributed.is_primary():
    for line in planned.left_out:
      print(errors.printable(line), file=sys.stderr)
  sweep = Sweep(planned, built)
  workdir = workdir_lib.Workdir(study.workdir)
  if study.dry_run:
    run_folders.refuse_foreign(workdir.path)
    table = dry_run.table(
      planned, sweep.whole_ensembles(), sweep.size, sweep.data
    )
    distributed.broadcast_from_primary(
      lambda: print(f'{table}\n\n{dry_run.seeds_table(planned)}')
    )
    return
  with workdir_lib.lock(workdir), workdir_lib.synced(workdir):
    task_set = built.select(planned.task_names)
    distributed.broadcast_from_primary(
      lambda: _claim(workdir, study, task_set, sweep.data_set)
    )
    sweep.train_all()
    distributed.broadcast_from_primary(
      lambda: print(study_page.write(workdir, planned))
    )


def _claim(
  workdir: workdir_lib.Workdir,
  study: Study,
  task_set: tasks.TaskSet,
  data_set: dict[str, Any],
) -> None:
  begun = any((workdir.path / n).exists() for n in ('runs', 'groups'))
  if begun and not workdir.config.exists():
    raise errors.UserError(
      f'{workdir.path}: runs are here, but {workdir.config.name} is gone; '
      'put it back or give another --workdir'
    )
  workdir_lib.init_or_check(workdir, study, task_set, data_set, begun)


class Sweep:
  """The training of a grid."""

  def __init__(self, planned: grid.Grid, built: tasks.TaskSet):
    self._planned, self._built = planned, built
    self._study = planned.study
    self._data = None
    self._root = workdir_lib.Workdir(self._study.workdir).path
    self.data_set = train.check_data_set(self._study.data_dir)

  def whole_ensembles(self) -> dict[str, Ensemble]:
    """All runs of each method."""
    names = self._planned.task_names
    return {
      method: self._ensemble(self._planned.runs(method), names)
      for method in self._planned.methods
    }

  def data(self, ensemble: Ensemble) -> inputs.StreamedInputs:
    """The photos, with labels of an ensemble's tasks; the last ones stay."""
    trunk, task_set = ensemble.model.trunk, ensemble.task_set
    (first, *_) = ensemble.runs
    drawn = first.label_share and (first.label_share, first.seed)
    key = (trunk if trunk.is_frozen else trunk.shape), task_set, drawn
    if self._data is None or self._data[0] != key:
      self._data = None  # its memory goes first
      self._data = key, inputs.open_inputs(first, trunk, task_set)
    return self._data[1]

  def train_all(self) -> None:
    """Trains the runs that are not finished, as many at once as fit."""
    whole = self.whole_ensembles()
    runs = [run for ensemble in whole.values() for run in ensemble.runs]
    done = len(runs) - len(_unfinished(runs))
    with progress.Progress(len(runs), 'study', 'run', done) as bar:
      for ensemble in self._in_progress():
        self._train(ensemble, bar)
      for ensemble in whole.values():
        size = None
        while todo := _unfinished(ensemble.runs):
          size = size or self.size(Ensemble(todo, ensemble.task_set))
          part = Ensemble(todo[:size], ensemble.task_set)
          if not self._train(part, bar):
            size = (len(part) + 1) // 2
            bar.say(f'{len(part)} runs at once do not fit; now {size}')

  def size(self, ensemble: Ensemble) -> int:
    """How many runs of an ensemble go at once."""
    if any(run.label_share for run in ensemble.runs):
      return 1  # each draws its own labels
    if self._study.runs_at_once or not self._study.cache_on_device:
      return self._study.runs_at_once or 1
    return dry_run.runs_that_fit(ensemble, self.data(ensemble))

  def _ensemble(
    self, runs: Sequence[config.Run], names: Sequence[str]
  ) -> Ensemble:
    return Ensemble(tuple(runs), self._built.select(names))

  def _in_progress(self) -> Iterator[Ensemble]:
    """Those that an earlier start left, if the grid still has their runs."""
    methods = self._planned.methods
    runs = [run for method in methods for run in self._planned.runs(method)]
    known = {self._name(run): run for run in runs}
    for folder, names, task_names in distributed.broadcast_from_primary(
      lambda: _in_folders(self._root)
    ):
      if not set(names) <= known.keys() or not set(task_names) <= {
        *self._built.names
      }:
        continue
      ensemble = self._ensemble([known[name] for name in names], task_names)
      if _unfinished(ensemble.runs) and self._folder(ensemble).name == folder:
        yield ensemble
      else:
        path = self._root / 'groups' / folder
        distributed.broadcast_from_primary(lambda path=path: _discard(path))

  def _name(self, run: config.Run) -> str:
    path = workdir_lib.Workdir(run.workdir).path
    return str(path.relative_to(self._root))

  def _described(self, ensemble: Ensemble) -> list[dict[str, Any]]:
    """What the `config.json` of each run will hold."""
    return [
      workdir_lib.describe(run, ensemble.own_tasks(r), self.data_set)
      for r, run in enumerate(ensemble.runs)
    ]

  def _identity(self, ensemble: Ensemble) -> str:
    """A digest of all that must not change while an ensemble is trained."""
    runs = [
      workdir_lib.config_hash(config.Run, described)
      for described in self._described(ensemble)
    ]
    text = json.dumps([runs, ensemble.task_set.to_json()])
    return hashlib.sha256(text.encode()).hexdigest()

  def _folder(self, ensemble: Ensemble) -> pathlib.Path:
    return self._root / 'groups' / self._identity(ensemble)[:16]

  def _train(self, ensemble: Ensemble, bar: progress.Progress) -> bool:
    """Trains an ensemble, writes the results; False if it does not fit."""
    folder = self._folder(ensemble)
    content = {
      'tasks': ensemble.task_set.names,
      'runs': [self._name(run) for run in ensemble.runs],
    }
    distributed.broadcast_from_primary(
      lambda: files.write_json(folder / 'group.json', content)
    )
    end = self._train_if_it_fits(ensemble, folder / 'checkpoints')
    if end is not None:
      new = _unfinished(ensemble.runs)
      scored = train.evaluate_best(ensemble, self.data(ensemble), end)
      described = self._described(ensemble)

      def write_results() -> None:
        for r, run in enumerate(ensemble.runs):
          if run in new:
            _write_results(ensemble, r, end, scored[r], described[r])

      distributed.broadcast_from_primary(write_results)
      bar.advance(len(new))
    distributed.broadcast_from_primary(lambda: _discard(folder))
    return end is not None

  def _train_if_it_fits(
    self, ensemble: Ensemble, checkpoints: pathlib.Path
  ) -> checkpoint.Checkpoint | None:
    try:
      return train.fit(
        ensemble,
        self.data(ensemble),
        checkpoints,
        self._identity(ensemble),
        MultiWriter(),
      )
    except jax.errors.JaxRuntimeError as error:
      if _FULL not in str(error) or len(ensemble) == 1:
        raise
      if distributed.broadcast_from_primary(
        lambda: any(checkpoint.steps(checkpoints))
      ):
        raise errors.UserError(
          f'{checkpoints.parent}: {len(ensemble)} runs that are on their way '
          'do not fit into the memory now; free some and start again'
        ) from None
    return None


def _write_results(
  ensemble: Ensemble,
  number: int,
  end: checkpoint.Checkpoint,
  scored: scoring.Scored,
  described: dict[str, Any],
) -> None:
  """Fills the folder of a run, as if it had been trained alone."""
  workdir = workdir_lib.Workdir(ensemble.runs[number].workdir)
  files.write_json(workdir.config, described)
  checkpoint.save_best(
    workdir.checkpoints,
    workdir_lib.config_hash(config.Run, described),
    _own_variables(ensemble, number, end.best_variables),
    end.histories[number],
  )
  workdir_lib.write_metrics(workdir, end.histories[number].rows)
  results.write(workdir, scored)


def _in_folders(root: pathlib.Path) -> list[list[Any]]:
  """The folders of ensembles, with the content that `_read_group` returns."""
  folders = []
  for path in sorted(root.glob('groups/*/')):
    if (path / 'group.json').exists():
      folders.append([path.name, *_read_group(path / 'group.json')])
    elif _OWN_FOLDER.fullmatch(path.name):
      shutil.rmtree(path)  # what a killed `_discard` left
  return folders


def _read_group(path: pathlib.Path) -> tuple[list[str], list[str]]:
  """The folders of an ensemble's runs, and its tasks."""
  content = files.read_json(path)
  try:
    return [str(n) for n in content['runs']], [str(n) for n in content['tasks']]
  except (KeyError, TypeError):
    raise errors.UserError(
      f'{path}: damaged; move {path.parent} away to train its runs anew'
    ) from None


def _discard(folder: pathlib.Path) -> None:
  """Removes an ensemble's folder; with its `group.json` it counts as gone."""
  (folder / 'group.json').unlink()
  shutil.rmtree(folder)


def _own_variables(
  ensemble: Ensemble, number: int, variables: dict[str, Any]
) -> dict[str, Any]:
  """A run's variables, R = 1, in a network that has its tasks alone."""
  variables = jax.tree.map(lambda leaf_R: leaf_R[number], variables)
  variables = network.select(
    variables, ensemble.model, ensemble.task_set, ensemble.own_tasks(number)
  )
  return jax.tree.map(lambda leaf: leaf[None], variables)


def _unfinished(runs: Sequence[config.Run]) -> tuple[config.Run, ...]:
  finished = distributed.broadcast_from_primary(
    lambda: [results.is_finished(run.workdir) for run in runs]
  )
  return tuple(
    run for run, done in zip(runs, finished, strict=True) if not done
  )
