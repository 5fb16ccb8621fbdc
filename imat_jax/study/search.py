"""Runs a search: draws options, trains a run with them, tells how it went.

Optuna draws, and keeps the trials in WORKDIR/journal.log. A trial is an
ordinary run in WORKDIR/trials/NUMBER. What is drawn depends on --seed, on the
number of the trial, and on the trials before it; so a search that was killed
goes on within the trial, and ends as if nothing had happened. Several processes
share a folder: each trains a trial at a time, whose file it has locked; a trial
whose lock is free has lost its process, and the next free one takes it up.
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.storages import journal
from optuna.trial import FrozenTrial, TrialState

from imat_jax import config, errors, options, train
from imat_jax.data import source
from imat_jax.reporting import results
from imat_jax.runtime import file_lock, files, progress
from imat_jax.study import search_space
from imat_jax.study.search_config import Finalist, Search, Trial
from imat_jax.writers.base import Summary

JOURNAL = 'journal.log'
BEST = 'best.flags'
# Attributes of a trial.
_VALUES, _PROBLEM = 'values', 'problem'


class _Stopped(Exception):
  """Successive halving ended the trial."""


class _Taken(Exception):
  """Another process trains the trial."""


class _Reporter:
  """A writer that tells the study of each epoch; may end the run."""

  name = 'search'

  def __init__(self, study: optuna.Study, trial: optuna.Trial, search: Search):
    self._study, self._trial, self._search = study, trial, search

  def start(
    self, step: int, finished: Sequence[Summary], resumes: bool
  ) -> None:
    """The study knows the epochs before this start."""

  def write(self, summary: Summary) -> None:
    if summary.row is None or len(self._search.objective) > 1:
      return
    told = self._study.trials[self._trial.number].intermediate_values
    if summary.row['epoch'] not in told:
      self._trial.report(
        _score(self._search, summary.row), summary.row['epoch']
      )
    if self._search.halving and self._trial.should_prune():
      raise _Stopped

  def close(self, done: bool) -> None:
    """Nothing is open."""


def run_search(search: Search) -> None:
  """Trains the trials that are missing, then the finalists, and reports."""
  root = pathlib.Path(search.workdir)
  root.mkdir(parents=True, exist_ok=True)
  _claim(search, root)  # first, as the checks know the folder by its file
  (root / 'trials').mkdir(exist_ok=True)
  study = _study(search, root)
  begun = len(_ended(study))
  with progress.Progress(search.trials, 'search', 'trial', begun) as bar:
    while (taken := _take(study, search, root)) is not None:
      lock, trial, values = taken
      with lock:
        _train(study, trial, values, search, root)
      ended = len(_ended(study))
      bar.advance(ended - begun)
      begun = ended
  if running := study.get_trials(states=(TrialState.RUNNING,)):
    print(f'{len(running)} trials are still trained by other processes')
    return
  trials = [_as_trial(trial, search, root) for trial in _ended(study)]
  finalists = _finals(search, root, trials)
  best = min(finalists, key=lambda one: _sign(search) * np.mean(one.scores))
  lines = [f'--{name}={options.text(x)}' for name, x in best.values.items()]
  files.write_text(root / BEST, '\n'.join(lines) + '\n')
  from imat_jax.reporting import search_page

  print(
    search_page.write(
      search, trials, finalists, _importances(study), root / BEST
    )
  )


def _claim(search: Search, root: pathlib.Path) -> None:
  """Refuses a folder with another search."""
  path = root / 'search.json'
  fingerprint = source.read_metadata(search.data_dir)['fingerprint']
  fixed = {
    'data set': fingerprint[:12],
    'epochs': search.epochs,
    **options.fixed(search),
  }
  if path.exists():
    stored = files.read_json(path)
    differing = [
      f'{name}: {stored.get(name)} → {fixed.get(name)}'
      for name in dict.fromkeys([*fixed, *stored])
      if stored.get(name) != fixed.get(name)
    ]
    if differing:
      raise errors.UserError(
        f'{root}: has a search with another config ({"; ".join(differing)}); '
        'choose another --workdir'
      )
  files.write_json(path, fixed)


def _study(search: Search, root: pathlib.Path) -> optuna.Study:
  optuna.logging.set_verbosity(optuna.logging.WARNING)
  path = str(root / JOURNAL)
  lock = journal.JournalFileOpenLock(path)
  _drop_torn_line(root / JOURNAL, lock)
  backend = journal.JournalFileBackend(path, lock)
  directions = ['maximize' if _sign(search) < 0 else 'minimize', 'minimize']
  pruner = optuna.pruners.NopPruner()
  if search.halving:
    pruner = optuna.pruners.SuccessiveHalvingPruner(
      min_resource=1, reduction_factor=search.halving
    )
  return optuna.create_study(
    storage=optuna.storages.JournalStorage(backend),
    study_name='search',
    directions=directions[: len(search.objective)],
    pruner=pruner,
    load_if_exists=True,
  )


def _drop_torn_line(
  path: pathlib.Path, lock: journal.JournalFileOpenLock
) -> None:
  """Cuts what a full disk or a power cut left of the last line.

  Else the next record would be appended to it.
  """
  if not path.exists():
    return
  lock.acquire()
  try:
    content = path.read_bytes()
    if not content.endswith(b'\n'):
      os.truncate(path, content.rfind(b'\n') + 1)
  finally:
    lock.release()


def _take(
  study: optuna.Study, search: Search, root: pathlib.Path
) -> tuple[contextlib.ExitStack, optuna.Trial, dict[str, Any]] | None:
  """The next trial, its lock and its values; None if there is none to train.

  A trial of a process that has died comes first.
  """
  # One process at a time looks and draws, so that what it sees holds.
  with file_lock.file_lock(root / 'drawing.lock', lambda holder: None):
    for frozen in study.get_trials(states=(TrialState.RUNNING,)):
      if (lock := _locked(root, frozen.number)) is None:
        continue
      values = frozen.user_attrs.get(_VALUES)
      if values is not None:
        # Optuna has no public way back to a trial of an earlier process.
        return lock, optuna.Trial(study, frozen._trial_id), values
      study.tell(frozen.number, state=TrialState.FAIL)  # died while drawing
      lock.close()
    drawn = [t for t in study.get_trials() if _VALUES in t.user_attrs]
    if len(drawn) >= search.trials:
      return None
    seeds = np.random.SeedSequence((search.seed, len(drawn)))
    seed = int(seeds.generate_state(1)[0])
    if search.sampler == 'random':
      study.sampler = optuna.samplers.RandomSampler(seed)
    else:
      study.sampler = optuna.samplers.TPESampler(seed=seed)
    trial = study.ask()
    lock = _locked(root, trial.number)
    values = _draw(trial, search)
    trial.set_user_attr(_VALUES, values)
    return lock, trial, values


def _locked(root: pathlib.Path, number: int) -> contextlib.ExitStack | None:
  """A trial's lock, or None where another process has it."""

  def refuse(holder: str) -> None:
    raise _Taken(holder)

  with contextlib.ExitStack() as stack:
    try:
      path = root / 'trials' / f'{number:04}.lock'
      stack.enter_context(file_lock.file_lock(path, refuse))
    except _Taken:
      return None
    return stack.pop_all()


def _draw(trial: optuna.Trial, search: Search) -> dict[str, Any]:
  """Values of the options that the trial's network and strategy have."""
  values = {}
  for dimension in search.dimensions:
    name = dimension.name
    if not search_space.applies(search_space.changed(search.run, values), name):
      continue
    if isinstance(dimension, search_space.Choice):
      values[name] = trial.suggest_categorical(name, dimension.values)
      continue
    is_whole = isinstance(dimension.low, int)
    suggest = trial.suggest_int if is_whole else trial.suggest_float
    values[name] = suggest(name, *dimension.ends, log=dimension.is_log)
  return values


def _train(
  study: optuna.Study,
  trial: optuna.Trial,
  values: Mapping[str, Any],
  search: Search,
  root: pathlib.Path,
) -> None:
  try:
    run = _run(search, values, _folder(root, trial.number), search.seed)
    train.train(run, (_Reporter(study, trial, search),))
  except _Stopped:
    study.tell(trial, state=TrialState.PRUNED)
  except (
    errors.Diverged,
    ValueError,
  ) as error:  # options that do not go together
    trial.set_user_attr(_PROBLEM, errors.first_line(error))
    study.tell(trial, state=TrialState.FAIL)
  else:
    score, epoch, _ = _outcome(search, _folder(root, trial.number))
    study.tell(trial, (score, epoch)[: len(search.objective)])


def _finals(
  search: Search, root: pathlib.Path, trials: Sequence[Trial]
) -> list[Finalist]:
  """The best trials and the options as given, trained with other seeds."""
  finished = [trial for trial in trials if trial.score is not None]
  finished.sort(key=lambda trial: _sign(search) * trial.score)
  entrants = [(None, {})] + [
    (trial.number, trial.values) for trial in finished[: search.finalists]
  ]
  seeds = range(search.seed + 1, search.seed + 1 + search.seeds)
  finalists = []
  with (
    file_lock.file_lock(root / 'finals.lock', lambda holder: None),
    progress.Progress(len(entrants) * len(seeds), 'finalists', 'run') as bar,
  ):
    for number, values in entrants:
      name = 'given' if number is None else f'{number:04}'
      outcomes = []
      for seed in seeds:
        folder = root / 'finalists' / name / f'seed_{seed}'
        if not results.is_finished(folder):
          train.train(_run(search, values, folder, seed))
        outcomes.append(_outcome(search, folder))
        bar.advance()
      scores, _, reported = zip(*outcomes, strict=True)
      finalists.append(Finalist(number, values, scores, reported))
  return finalists


def _run(
  search: Search, values: Mapping[str, Any], folder: pathlib.Path, seed: int
) -> config.Run:
  run = search_space.changed(search.run, values)
  return dataclasses.replace(run, workdir=str(folder), seed=seed)


def _folder(root: pathlib.Path, number: int) -> pathlib.Path:
  return root / 'trials' / f'{number:04}'


def _outcome(
  search: Search, folder: pathlib.Path
) -> tuple[float, int, dict[str, Any]]:
  """The objective at the best epoch, that epoch, and what the run reports."""
  result = results.read(folder)
  epoch = result.evaluation['epoch']
  (row,) = [row for row in result.rows if row['epoch'] == epoch]
  main = result.task_set.names[0]
  reported = {
    'split': result.evaluation['split'],
    **{n: result.evaluation['tasks'][main][n] for n in ('accuracy', 'loss')},
  }
  return _score(search, row), epoch, reported


def _score(search: Search, row: Mapping[str, Any]) -> float:
  (main, *_) = row['validation']
  return row['validation'][main][search.objective[0]]


def _sign(search: Search) -> int:
  """1 where a small objective is good, -1 where a large one is."""
  return 1 if search.objective[0] == 'loss' else -1


def _ended(study: optuna.Study) -> list[FrozenTrial]:
  return [
    trial
    for trial in study.get_trials(deepcopy=False)
    if trial.state.is_finished() and _VALUES in trial.user_attrs
  ]


def _as_trial(trial: FrozenTrial, search: Search, root: pathlib.Path) -> Trial:
  values = trial.user_attrs[_VALUES]
  if trial.state == TrialState.COMPLETE:
    score, epoch, _ = _outcome(search, _folder(root, trial.number))
    return Trial(trial.number, values, score, epoch, '')
  epochs = max(trial.intermediate_values, default=0)
  problem = trial.user_attrs.get(_PROBLEM, '')
  return Trial(trial.number, values, None, epochs, problem)


def _importances(study: optuna.Study) -> dict[str, float]:
  """The share of the objective's variance that each option explains.

  Of Watanabe et al., "PED-ANOVA" (2023); empty where there are too few trials,
  or two objectives.
  """
  if len(study.directions) > 1:
    return {}
  evaluator = optuna.importance.PedAnovaImportanceEvaluator()
  try:
    return optuna.importance.get_param_importances(study, evaluator=evaluator)
  except (ValueError, RuntimeError):
    return {}
