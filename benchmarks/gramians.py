"""How far the Gramian at the features is from that at the trunk's parameters.

  python -m benchmarks.gramians --data_dir=data/products \\
    --tasks=article,color,usage,gender,age [--steps=0,50,500]

Trains the plain sum and halts after so many steps. There each of 16 batches has
both Gramians: how alike are the cosines of the tasks' gradients and their
lengths, and what do methods without a state make of the two? Of each method: by
how much its weights differ, as shares of their sum, and the cosine of its two
updates of the trunk; and of its update with that of the plain sum, to which it
compares. Public 3M and `resnet`, 64 pixels, batches of 128, Adam, seed 0.
"""

import argparse
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import stepping
from imat_jax import config, options
from imat_jax.data import source
from imat_jax.models.network import Network
from imat_jax.models.trunks.paper import Paper
from imat_jax.models.trunks.resnet import ResNet
from imat_jax.strategies import Evidence, Strategy
from imat_jax.training import gradients, inputs, losses

MODELS = {
  'public_3m': config.Model(trunk=Paper(image_size=64)),
  'resnet': config.Model(trunk=ResNet(image_size=64), head_widths=()),
}
METHODS = (
  *('mgda', 'pcgrad', 'cagrad', 'impartial_gradient', 'aligned', 'nash'),
  *('upgrad', 'dualproj', 'conflict_free'),
)
BATCHES = 16


class _Keeps(Strategy):
  """Its state is what it saw."""

  def init(self, num_tasks: int) -> tuple:
    return ()

  def update(self, evidence: Evidence, state: Any) -> tuple:
    return evidence.weight_T, evidence


class _AtFeatures(_Keeps):
  gradients_at = 'features'


class _AtTrunk(_Keeps):
  gradients_at = 'trunk'


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--data_dir', required=True)
  parser.add_argument('--tasks', required=True)
  parser.add_argument('--steps', default='0,50,500')
  parser.add_argument('--models', default=','.join(MODELS))
  flags = parser.parse_args()
  moments = [int(number) for number in flags.steps.split(',')]
  for name in flags.models.split(','):
    run = config.Run(
      data_dir=flags.data_dir,
      workdir='',
      model=MODELS[name],
      tasks=tuple(flags.tasks.split(',')),
      task_weight_decay=1.0,
    )
    _of_run(name, run, moments)


def _of_run(name: str, run: config.Run, moments: list[int]) -> None:
  task_set = source.read_tasks(run.data_dir).select(run.tasks)
  trainer = stepping.Trainer(run, task_set)
  data = inputs.open_inputs(run, run.model.trunk, task_set)
  step_inputs = data.train([run.seed], 0)
  see = jax.jit(functools.partial(_both, run, Network(run.model, task_set)))
  for before, moment in itertools.pairwise((0, *moments)):
    trainer.train(itertools.islice(step_inputs, moment - before))
    state = jax.tree.map(lambda leaf: leaf[0], trainer.checkpoint.state)
    pairs = [
      see(state.replace(step=state.step + number), step_input)
      for number, step_input in enumerate(
        itertools.islice(step_inputs, BATCHES)
      )
    ]
    print(f'\n{name}, after {moment} steps:')
    _print_gramians(task_set.names, pairs)
    for method in METHODS:
      _print_method(method, pairs)


def _both(run, network, state, step_input) -> tuple[Evidence, Evidence]:
  """What a method sees of a batch, at the features and at the trunk."""
  batch = step_input.batch(
    state, run.model.trunk.shape, run.augmentation, network.task_set
  )
  return tuple(
    gradients.with_gramian(
      network,
      kind(),
      lambda logits: losses.masked_cross_entropy(logits, batch.label_BxT),
      state,
      batch.image_BxHxWxC,
    ).strategy
    for kind in (_AtFeatures, _AtTrunk)
  )


def _print_gramians(names, pairs) -> None:
  cosines, lengths = [], []
  for at in (0, 1):
    gramian_NxTxT = np.array([pair[at].gramian_TxT for pair in pairs])
    norm_NxT = np.sqrt(np.diagonal(gramian_NxTxT, axis1=1, axis2=2))
    norm_NxTxT = norm_NxT[:, :, None] * norm_NxT[:, None]
    rows, columns = np.triu_indices(len(names), 1)
    cosines.append((gramian_NxTxT / norm_NxTxT)[:, rows, columns])
    lengths.append(norm_NxT / norm_NxT.mean(1, keepdims=True))
  of_features, of_trunk = cosines
  for row, column, *means in zip(
    rows, columns, *(cosine.mean(0) for cosine in cosines), strict=True
  ):
    print(f'  {names[row]}, {names[column]}: {means[0]:.2f}, {means[1]:.2f}')
  for at, length in zip(('features', 'trunk'), lengths, strict=True):
    texts = [f'{n} {x:.2f}' for n, x in zip(names, length.mean(0), strict=True)]
    print(f'  lengths at the {at}, over their mean: {", ".join(texts)}')
  correlation = np.corrcoef(of_features.ravel(), of_trunk.ravel())[0, 1]
  same = (np.sign(of_features) == np.sign(of_trunk)).mean()
  print(
    f'  cosines: mean {of_features.mean():.2f}, {of_trunk.mean():.2f}; '
    f'mean difference {np.abs(of_features - of_trunk).mean():.2f}; '
    f'correlation {correlation:.2f}; the same sign {same:.0%}; '
    f'negative {(of_features < 0).mean():.0%}, {(of_trunk < 0).mean():.0%}'
  )


def _print_method(name: str, pairs) -> None:
  strategy = options.part('imat_jax.strategies', name)()
  num_tasks = len(pairs[0][0].weight_T)
  update = jax.jit(lambda seen: strategy.update(seen, strategy.init(num_tasks)))
  differences, of_both, of_sum = [], [], []
  for features, trunk in pairs:
    share_2xT = np.array([_shares(update(x)[0]) for x in (features, trunk)])
    differences.append(np.abs(share_2xT[0] - share_2xT[1]).mean())
    of_both.append(_cosine(*share_2xT, trunk.gramian_TxT))
    plain_T = np.ones(num_tasks)
    of_sum.append(_cosine(share_2xT[1], plain_T, trunk.gramian_TxT))
  print(
    f'  {name}: shares differ by {np.mean(differences):.3f}, cosine of the '
    f'updates {np.mean(of_both):.3f} (least {np.min(of_both):.3f}), with the '
    f'plain sum {np.mean(of_sum):.3f}'
  )


def _shares(weight_T: jax.Array) -> np.ndarray:
  return np.asarray(weight_T / jnp.abs(weight_T).sum())


def _cosine(one_T: np.ndarray, other_T: np.ndarray, gramian_TxT) -> float:
  """That of the gradients' sums under two weights."""
  inner, one, other = (
    a @ np.asarray(gramian_TxT, np.float64) @ b
    for a, b in ((one_T, other_T), (one_T, one_T), (other_T, other_T))
  )
  return inner / np.sqrt(one * other)


if __name__ == '__main__':
  main()
