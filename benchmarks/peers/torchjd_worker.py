"""Public 3M with TorchJD, a contestant of `benchmarks/strategies.py`.

  torchjd-env/bin/python benchmarks/peers/torchjd_worker.py --tasks=5 \\
    --aggregator=MGDA

A training step on a fixed batch in memory: the Jacobian of the tasks' losses at
the trunk's parameters, its aggregation, and Adam.
"""

import argparse
import importlib.metadata
import os

import torch
import torchjd.aggregation
import torchjd.autojac
import worker
import workload
from torch_network import Public3M, as_tensors, task_losses


def make_step(counts, aggregator):
  """Returns a function of (photos, labels) that trains and gives the losses."""
  torch.manual_seed(0)
  model = Public3M(counts, 'report').to(memory_format=torch.channels_last)
  optimizer = torch.optim.Adam(model.parameters(), 1e-3, eps=1e-7, fused=True)

  def step(photos, labels):
    optimizer.zero_grad(set_to_none=True)
    features = model.trunk(photos)
    losses = task_losses([head(features) for head in model.heads], labels)
    torchjd.autojac.mtl_backward(losses, features=features)
    torchjd.autojac.jac_to_grad(model.trunk.parameters(), aggregator)
    optimizer.step()
    return [loss.item() for loss in losses]

  return step


def prepare(flags):
  torch.set_num_threads(os.cpu_count())
  tasks = workload.step_tasks(flags.tasks)
  photos, labels = as_tensors(*workload.step_batch('report', tasks, 128))
  aggregator = getattr(torchjd.aggregation, flags.aggregator)()
  step = make_step(list(tasks.values()), aggregator)
  for _ in range(3):
    print('losses of the first steps:', step(photos, labels))

  def repeat():
    step(photos, labels)
    return len(photos)

  versions = {
    'torch': torch.__version__,
    'torchjd': importlib.metadata.version('torchjd'),
  }
  return versions, repeat


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--tasks', type=int, default=5)
  parser.add_argument('--aggregator', required=True)
  flags = parser.parse_args()
  worker.serve(lambda: prepare(flags))


if __name__ == '__main__':
  main()
