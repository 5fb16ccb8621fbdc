"""imat_jax as a contestant of `benchmarks/duel.py`.

  python -m benchmarks.ours_worker --what=step --tasks=2

`--what=step` is a training step on a fixed batch in memory; `input` a pass over
the train photos of a built data set, to augmented float batches in [0, 1];
`epoch` a training epoch on them. Each goes through the functions of the
training loop, so a step also counts the metrics and checks the gradients.
"""

import argparse
import itertools

import flax
import jax
import jax.numpy as jnp

from benchmarks import stepping
from benchmarks.peers import worker, workload
from imat_jax import config, options, tasks
from imat_jax.data import input_pipeline, source
from imat_jax.data.types import Batch
from imat_jax.models import network
from imat_jax.models.trunks.paper import Paper
from imat_jax.training import inputs, scoring


def main() -> None:
  parser = worker.arguments(__doc__)
  parser.add_argument('--data_dir', default='', help='the built data set')
  parser.add_argument('--strategy', default='weighted_sum')
  flags = parser.parse_args()
  worker.serve(lambda: prepare(flags))


def prepare(flags: argparse.Namespace):
  kinds = {'step': prepare_step, 'input': prepare_input, 'epoch': prepare_epoch}
  versions = {'jax': jax.__version__, 'flax': flax.__version__}
  return versions, kinds[flags.what](flags)


def run_config(flags: argparse.Namespace, names) -> config.Run:
  return config.Run(
    data_dir=flags.data_dir,
    workdir='',
    tasks=names,
    batch_size=flags.batch_size,
    model=config.Model(trunk=Paper(geometry=flags.geometry)),
    strategy=options.part_from_text('imat_jax.strategies', flags.strategy),
    cache_on_device=flags.source == 'memory',
  )


def prepare_step(flags: argparse.Namespace):
  counts = workload.step_tasks(flags.tasks)
  run = run_config(flags, tuple(counts))
  task_set = tasks.TaskSet(
    tuple(
      tasks.Task(name, tuple(map(str, range(count))))
      for name, count in counts.items()
    )
  )
  batch = Batch(*workload.step_batch(flags.geometry, counts, flags.batch_size))
  trainer = stepping.Trainer(run, task_set)

  def train() -> None:
    trainer.reset_metrics()
    trainer.train([inputs.StepInput(batch, None)])

  if flags.tasks == 1:
    size = network.num_params(run.model, task_set)
    assert size == workload.PARAMETERS
  for _ in range(3):
    train()
    print('losses of the first steps:', losses(trainer, task_set))

  def repeat() -> int:
    train()
    return flags.batch_size

  return repeat


def prepare_input(flags: argparse.Namespace):
  run = run_config(flags, workload.EPOCH_TASKS)
  task_set = source.read_tasks(run.data_dir).select(run.tasks)
  as_floats = jax.jit(lambda x_BxHxWxC: x_BxHxWxC.astype(jnp.float32) / 255)
  passes = Passes(run, task_set)

  def repeat() -> int:
    for fed in passes.next():
      jax.block_until_ready(as_floats(fed.shared.image_BxHxWxC))
    return passes.num_examples

  repeat()
  return repeat


def prepare_epoch(flags: argparse.Namespace):
  run = run_config(flags, workload.EPOCH_TASKS)
  task_set = source.read_tasks(run.data_dir).select(run.tasks)
  trainer, passes = stepping.Trainer(run, task_set), Passes(run, task_set)

  def repeat() -> int:
    trainer.reset_metrics()
    trainer.train(passes.next())
    print('losses of the epoch:', losses(trainer, task_set))
    return passes.num_examples

  repeat()
  return repeat


def losses(trainer: stepping.Trainer, task_set: tasks.TaskSet) -> list[float]:
  """The mean loss of each task over the last pass."""
  metrics = jax.tree.map(lambda leaf: leaf[0], trainer.checkpoint.metrics)
  scores = scoring.compute(metrics, task_set)
  return [of_task['loss'] for of_task in scores.values()]


class Passes:
  """The train photos' epochs; between two of them nothing is read ahead."""

  def __init__(self, run: config.Run, task_set: tasks.TaskSet):
    examples = source.Source(run.data_dir, 'train', task_set)
    self.num_examples, self._run, self._epoch = len(examples), run, 0
    self._steps = input_pipeline.num_steps(len(examples), run.batch_size)
    self._dataset = input_pipeline.train_dataset(
      examples,
      run.model.trunk.shape,
      run.batch_size,
      run.seed,
      run.augmentation,
    )
    if run.cache_on_device:
      data = inputs.open_inputs(run, run.model.trunk, task_set)
      self._fed = data.train([run.seed], 0)

  def next(self):
    if self._run.cache_on_device:
      return itertools.islice(self._fed, self._steps)
    start = self._epoch * self._steps
    self._epoch += 1
    epoch = self._dataset[: start + self._steps]
    batches = input_pipeline.iterate(epoch, self._run.loader, start)
    return (inputs.StepInput(batch, None) for batch in batches)


if __name__ == '__main__':
  main()
