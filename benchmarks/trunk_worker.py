"""A trunk of ours as a contestant of `benchmarks/trunks.py`.

  python -m benchmarks.trunk_worker --work=resnet_step

A step is that of the training loop, of one task with four labels: it also
counts the metrics, checks the gradients and keeps the parameters' mean.
"""

import argparse

import flax
import jax

from benchmarks import stepping
from benchmarks.peers import worker, workload
from imat_jax import config
from imat_jax.data.types import Batch
from imat_jax.models.presets import imagenet, modern
from imat_jax.training.inputs import StepInput

MODELS = {
  'resnet': (modern.MODERN, modern.MODERN_TRAINING),
  'lite0': (imagenet.FINETUNED, imagenet.FINETUNED_TRAINING),
}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--work', choices=workload.TRUNKS, required=True)
  flags = parser.parse_args()
  worker.serve(lambda: prepare(workload.TRUNKS[flags.work]))


def prepare(work: workload.TrunkWork):
  kind = prepare_step if work.is_step else prepare_forward
  return {'jax': jax.__version__, 'flax': flax.__version__}, kind(work)


def prepare_step(work: workload.TrunkWork):
  model, training = MODELS[work.trunk]
  run = config.Run(data_dir='', workdir='', model=model, **training)
  trainer = stepping.Trainer(run, stepping.task_set((workload.TRUNK_LABELS,)))
  photos, labels = workload.trunk_batch(work)
  step_inputs = [StepInput(Batch(photos, labels[:, None]), None)]

  def repeat() -> int:
    trainer.train(step_inputs)
    return work.photos

  for _ in range(3):
    repeat()
  return repeat


def prepare_forward(work: workload.TrunkWork):
  trunk = MODELS[work.trunk][0].trunk.make()
  photos, _ = workload.trunk_batch(work)
  variables = jax.jit(lambda key, x: trunk.init(key, x, deterministic=True))(
    jax.random.key(0), photos[:1]
  )
  apply = jax.jit(lambda v, x: trunk.apply(v, x, deterministic=True))

  def repeat() -> int:
    jax.block_until_ready(apply(variables, photos))
    return work.photos

  repeat()
  return repeat


if __name__ == '__main__':
  main()
