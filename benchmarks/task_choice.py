"""Can one run tell which tasks help the first? A study is the truth.

  python -m experiments.study --workdir=STUDY … \\
    --task_sets='article;article,color;article,usage;article,color,usage'
  python -m benchmarks.task_choice --study=STUDY --looks=LOOKS

The study has one model, and every set of the tasks beside the first. A set's
gain is what its run has at the last epoch more than the run of the first task
alone, seed by seed. For each seed the run of all tasks is trained once more,
and every 20 steps each predictor is asked what a task, or a set, would do to
the first one (kept in LOOKS). Prints what the sets gain, and how well each
predictor agrees, with 95% intervals over seeds.
"""

import argparse
import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from scipy import stats

from benchmarks import duel
from imat_jax import config, options, tasks, train
from imat_jax.data import source
from imat_jax.models.network import Network
from imat_jax.reporting import results, statistics, suggestion
from imat_jax.runtime import run_folders
from imat_jax.runtime import workdir as workdir_lib
from imat_jax.study import grid
from imat_jax.study.config import Study
from imat_jax.training import (
  compiled,
  gradient_similarity,
  inputs,
  look_ahead,
  optimizer,
  sharding,
)
from imat_jax.training.ensemble import Ensemble
from imat_jax.training.inputs import StepInput

EVERY = 20  # steps from one look to the next
RESAMPLES = 2000
# How scores agree with gains: over the single tasks, and over all sets.
MEASURES = (
  *('rank correlation of tasks', 'of sets', 'right signs of tasks', 'of sets'),
  'regret',
)


Ask = Callable[..., dict[str, jax.Array]]


class Truth(NamedTuple):
  """A study's runs; its G task sets begin with the first task alone.

  Attributes:
    member_GxT: which tasks a set has, of the T beside the first.
    value: at the last epoch, S × G by score; more is better.
    runs: of all tasks, by seed.
    names: of the tasks, the first one's at first.
  """

  member_GxT: np.ndarray
  value: dict[str, np.ndarray]
  runs: list[config.Run]
  names: tuple[str, ...]


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--study', type=pathlib.Path, required=True)
  parser.add_argument('--looks', type=pathlib.Path, required=True)
  flags = parser.parse_args()
  truth = read_truth(flags.study)
  scores = predict(look_at_all(flags.looks, truth), truth)
  gains = {name: x - x[:, :1] for name, x in truth.value.items()}
  print(_gain_table(truth, gains))
  for name, gain_SxG in gains.items():
    for together in False, True:
      number = 'all runs together' if together else 'one run'
      print(f'\n{name}, predicted from {number}:\n')
      print(_agreement_table(scores, gain_SxG, truth.member_GxT, together))


def read_truth(folder: pathlib.Path) -> Truth:
  """Of the seeds whose runs are finished."""
  stored = run_folders.read_config(folder, Study)
  study = options.from_json(Study, stored['config'])
  study = dataclasses.replace(study, workdir=str(folder))
  planned = grid.make(study, source.read_tasks(study.data_dir))
  cells = sorted(planned.cells, key=lambda cell: len(cell.tasks))
  first, *others = names = cells[-1].tasks
  if {frozenset(cell.tasks) for cell in cells} != {
    frozenset((first, *some))
    for number in range(len(names))
    for some in itertools.combinations(others, number)
  } or len(planned.methods) > 1:
    raise SystemExit(f'{folder}: not one model with every set of {others}')
  seeds = [
    seed
    for seed in range(study.seeds)
    if all(results.is_finished(grid.run_folder(study, c, seed)) for c in cells)
  ]

  def last(cell: grid.Cell, seed: int) -> Mapping[str, float]:
    workdir = workdir_lib.Workdir(grid.run_folder(study, cell, seed))
    return workdir_lib.read_rows(workdir)[-1]['validation'][first]

  rows = [[last(cell, seed) for cell in cells] for seed in seeds]
  return Truth(
    member_GxT=np.array([[n in cell.tasks for n in others] for cell in cells]),
    value={
      name: sign
      * np.array([[row[name] for row in of_seed] for of_seed in rows])
      for name, sign in (('accuracy', 1), ('loss', -1))
    },
    runs=[planned.run(cells[-1], seed) for seed in seeds],
    names=names,
  )


def look_at_all(folder: pathlib.Path, truth: Truth) -> list[dict[str, Any]]:
  """The answers for each seed; those that the folder has are read."""
  folder.mkdir(parents=True, exist_ok=True)
  paths = [folder / f'seed_{run.seed}.npz' for run in truth.runs]
  (first, *_) = truth.runs
  trunk = first.model.trunk
  task_set = source.read_tasks(first.data_dir).select(first.tasks)
  with train.prepared(first.batch_size, trunk.uses_kernels):
    # Of all seeds.
    data = inputs.open_inputs(first, trunk, task_set)
    ask = _ask(first, task_set, data.steps_per_epoch, truth.member_GxT)
    for run, path in zip(truth.runs, paths, strict=True):
      if not path.exists():
        np.savez(path, **look(Ensemble((run,), task_set), data, ask))
  return [dict(np.load(path)) for path in paths]


def look(
  ensemble: Ensemble, data: inputs.StreamedInputs, ask: Ask
) -> dict[str, np.ndarray]:
  """Trains one run and asks every `EVERY` steps; returns all answers, L × …"""
  start = compiled.fresh(ensemble)
  state, sums = sharding.replicate((start.state, start.metrics))
  train_step = compiled.train_step(ensemble, data.steps_per_epoch)
  num_steps = ensemble.training.epochs * data.steps_per_epoch
  batches, answers = data.train(ensemble.seed_R, 0), []
  for step, step_input in zip(range(num_steps), batches, strict=False):
    if step % EVERY == 0:
      held_out = data.held_out(step // EVERY)
      answers.append(jax.device_get(ask(state, step_input, held_out)))
    state, sums = train_step(state, sums, step_input)
  return jax.tree.map(lambda *leaves: np.stack(leaves), *answers)


def _ask(
  run: config.Run,
  task_set: tasks.TaskSet,
  steps_per_epoch: int,
  member_GxT: np.ndarray,
) -> Ask:
  """The jitted questions: (state, input, validation batch) → answers.

  They are the first task's loss on the validation batch after the optimizer's
  step on each set (G); on both the validation batch and the step's own photos
  after that on the first task and each other (1 + T, first alone), and after
  none and a plain one on each other alone (1 + T); the cosines with the first
  task's gradient, and which of the others have a label (T).
  """
  network = Network(run.model, task_set)
  num_steps = run.epochs * steps_per_epoch
  rule = optimizer.make(run.optimizer, run.model.trunk, num_steps)
  plain = optax.sgd(run.optimizer.learning_rate)
  alone_TxT = np.eye(len(task_set), dtype=np.float32)
  alone_TxT[0] = 0  # no step
  both_TxT = np.maximum(alone_TxT, np.eye(len(task_set))[0])
  set_GxT = np.pad(member_GxT, ((0, 0), (1, 0)), constant_values=1)

  def ask(state, step_input, held_out):
    state, order = jax.tree.map(lambda x: x[0], (state, step_input.order))
    batch = StepInput(step_input.shared, order).batch(
      state, run.model.trunk.shape, run.augmentation, task_set
    )

    def after(rule, photos, set_LxT):
      start = state
      if rule is plain:
        start = state.replace(opt_state=plain.init(state.params))
      weight_LxT = set_LxT * state.weight_T[None]
      return look_ahead.loss_after(
        network, rule, start, batch, photos, weight_LxT
      )

    cosines = gradient_similarity.add(
      network, gradient_similarity.zeros(len(task_set)), state, batch
    )
    return {
      'sets': after(rule, held_out, set_GxT),
      'validation': after(rule, held_out, both_TxT),
      'train': after(rule, batch, both_TxT),
      'plain validation': after(plain, held_out, alone_TxT),
      'plain train': after(plain, batch, alone_TxT),
      'cosine': cosines.sum_TxT[0, 1:],
      'labelled': (batch.label_BxT >= 0).any(0)[1:],
    }

  return jax.jit(ask)


def predict(
  looks: Sequence[Mapping[str, np.ndarray]], truth: Truth
) -> dict[str, np.ndarray]:
  """What each predictor gives the sets, S × G: 0 for the first task alone."""
  member_GxT = truth.member_GxT

  def summed(
    value_LxT: np.ndarray,
    of: Mapping[str, np.ndarray],
    over_looks: Callable[[np.ndarray], float] = np.mean,
  ) -> np.ndarray:
    """Of a set's tasks, each over the looks at which it has a label."""
    columns = zip(value_LxT.T, of['labelled'].T, strict=True)
    return member_GxT @ [over_looks(x_L[has_L]) for x_L, has_L in columns]

  def saved(loss_LxG: np.ndarray) -> np.ndarray:
    return 1 - loss_LxG[:, 1:] / loss_LxG[:, :1]

  label_NxT = _train_labels(truth)
  information_T = [
    suggestion.mutual_information(label_NxT[:, 0], label_N)
    for label_N in label_NxT[:, 1:].T
  ]
  num_labels_T = (label_NxT[:, 1:] >= 0).sum(0)
  by_predictor = {
    'look-ahead, validation photos': lambda of: summed(
      saved(of['validation']), of
    ),
    "the same, the interval's lower end": lambda of: summed(
      saved(of['validation']), of, lambda x_L: _interval(x_L).low
    ),
    'the same, of whole sets': lambda of: np.append(
      0, saved(of['sets']).mean(0)
    ),
    'look-ahead, train photos': lambda of: summed(saved(of['train']), of),
    'TAG, train photos': lambda of: summed(saved(of['plain train']), of),
    'TAG, validation photos': lambda of: summed(
      saved(of['plain validation']), of
    ),
    'cosine of gradients': lambda of: summed(of['cosine'], of),
    'mutual information': lambda _: member_GxT @ information_T,
    'number of labels': lambda _: member_GxT @ num_labels_T,
    'more tasks': lambda _: member_GxT.sum(1),
    'fewer tasks': lambda _: -member_GxT.sum(1),
  }
  return {
    name: np.stack([score_of(of_seed) for of_seed in looks])
    for name, score_of in by_predictor.items()
  }


def _interval(values: np.ndarray) -> statistics.Interval:
  return statistics.interval(statistics.over_seeds(values))


def _train_labels(truth: Truth) -> np.ndarray:
  """Of all tasks, N × (1 + T)."""
  data_dir = truth.runs[0].data_dir
  task_set = source.read_tasks(data_dir).select(truth.names)
  return source.Source(data_dir, 'train', task_set).label_NxT()


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Rank correlation over the last axis; 0 where one side is constant."""
  first, second = (stats.rankdata(x, axis=-1) for x in (first, second))
  first, second = (x - x.mean(-1, keepdims=True) for x in (first, second))
  norm = np.sqrt((first**2).sum(-1) * (second**2).sum(-1))
  return (first * second).sum(-1) / np.where(norm > 0, norm, np.inf)


def agreement(
  score: np.ndarray, gain: np.ndarray, member_GxT: np.ndarray
) -> np.ndarray:
  """How scores of sets agree with what they gain.

  Args:
    score, gain: … × G, broadcast; 0 for the first task alone, which is set 0.
    member_GxT: which tasks a set has.

  Returns:
    … × M, the `MEASURES`: rank correlation, and the share of right signs; and
    what the set with the highest score gains less than the best one.
  """
  score, gain = np.broadcast_arrays(score, gain)
  size_G = member_GxT.sum(1)
  groups = [size_G == 1, size_G > 0]
  ranks = [spearman(score[..., g], gain[..., g]) for g in groups]
  right = (score > 0) == (gain > 0)
  signs = [right[..., g].mean(-1) for g in groups]
  chosen = np.take_along_axis(gain, score.argmax(-1)[..., None], -1)[..., 0]
  return np.stack([*ranks, *signs, gain.max(-1) - chosen], -1)


def chance(gain: np.ndarray, member_GxT: np.ndarray) -> np.ndarray:
  """The `MEASURES` that a random score expects: it chooses any set."""
  zero = np.zeros(gain.shape[:-1])
  half = zero + 0.5
  return np.stack(
    [zero, zero, half, half, gain.max(-1) - gain.mean(-1)], axis=-1
  )


def ceiling(gain_SxG: np.ndarray, member_GxT: np.ndarray) -> np.ndarray:
  """The `MEASURES` of one half of the seeds for the other, over all halves."""
  seeds = range(len(gain_SxG))
  halves = itertools.combinations(seeds, len(gain_SxG) // 2)
  pairs = [(h, [s for s in seeds if s not in h]) for h in map(list, halves)]
  score, gain = (
    np.stack([gain_SxG[pair[i]].mean(0) for pair in pairs]) for i in (0, 1)
  )
  return agreement(score, gain, member_GxT).mean(0)


def with_interval(
  measure: Callable[[np.ndarray], np.ndarray], number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """A measure of seeds, with the percentiles of its bootstrap.

  Args:
    measure: of the numbers of seeds, … × S, gives … × M.
    number: of seeds.
  """
  rng = np.random.default_rng(0)
  index_RxS = rng.integers(number, size=(RESAMPLES, number))
  low_M, high_M = np.quantile(measure(index_RxS), [0.025, 0.975], axis=0)
  return measure(np.arange(number)), low_M, high_M


def _gain_table(truth: Truth, gains: Mapping[str, np.ndarray]) -> str:
  """Of each set the mean gain, with Student's interval."""
  first, *others = truth.names
  rows = []
  for g, member_T in enumerate(truth.member_GxT):
    names = [n for n, is_in in zip(others, member_T, strict=True) if is_in]
    row = [', '.join((first, *names))]
    for name, gain_SxG in gains.items():
      if g == 0:
        row.append(f'{abs(truth.value[name][:, 0].mean()):.3f}')
        continue
      mean, low, high = _interval(gain_SxG[:, g])
      row.append(f'{mean:.3f} ({low:.3f} to {high:.3f})')
    rows.append(row)
  return duel.table(('tasks', *(f'{name} gained' for name in gains)), rows)


def _agreement_table(
  scores: Mapping[str, np.ndarray],
  gain_SxG: np.ndarray,
  member_GxT: np.ndarray,
  together: bool,
) -> str:
  """A row per predictor, and what chance and other seeds would have.

  Each run's scores are compared, and their agreement averaged; together, the
  scores are averaged first.
  """

  def of_predictor(score_SxG: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    def measure(index):
      score, gain = score_SxG[index], gain_SxG[index].mean(-2)[..., None, :]
      if together:
        score = score.mean(-2, keepdims=True)
      return agreement(score, gain, member_GxT).mean(-2)

    return measure

  def by_chance(index):
    return chance(gain_SxG[index].mean(-2), member_GxT)

  measures = {name: of_predictor(score) for name, score in scores.items()}
  rows = [
    [name, *_cells(*with_interval(measure, len(gain_SxG)))]
    for name, measure in {**measures, 'chance': by_chance}.items()
  ]
  of_halves = [f'{x:.3f}' for x in ceiling(gain_SxG, member_GxT)]
  return duel.table(
    ('predictor', *MEASURES),
    [*rows, ['half of the seeds, for the other', *of_halves]],
  )


def _cells(
  mean_M: np.ndarray, low_M: np.ndarray, high_M: np.ndarray
) -> list[str]:
  return [
    f'{mean:.3f} ({low:.3f} to {high:.3f})'
    for mean, low, high in zip(mean_M, low_M, high_M, strict=True)
  ]


if __name__ == '__main__':
  main()
