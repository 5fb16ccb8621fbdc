"""Public 3M in PyTorch, a contestant of `benchmarks/duel.py` (see `worker`).

  torch-env/bin/python benchmarks/peers/torch_worker.py --what=step --tasks=2

`--what=step` is a training step on a fixed batch in memory; `input` a pass over
the train photos, from JPEG files to augmented float batches in [0, 1]; `epoch`
a training epoch on them, from the files or, with `--source=memory`, from the
photos decoded beforehand.
"""

import os

os.environ['NO_ALBUMENTATIONS_UPDATE'] = '1'

import albumentations as A
import cv2
import numpy as np
import torch
import worker
import workload
from torch_network import Public3M, as_tensors, masked_loss

cv2.setNumThreads(0)
SIDE = workload.SIDES['report']


def make_step(counts, geometry, variant):
  """Returns a function of (photos, labels) that trains and gives the loss."""
  torch.manual_seed(0)
  model = Public3M(counts, geometry).to(memory_format=torch.channels_last)
  if counts == [4]:
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == workload.PARAMETERS, parameters
  optimizer = torch.optim.Adam(model.parameters(), 1e-3, eps=1e-7, fused=True)
  weights = workload.task_weights(len(counts))
  loss_of = masked_loss
  if variant == 'compiled':
    loss_of = torch.compile(masked_loss, dynamic=False)

  def step(photos, labels):
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(model, photos, labels, weights)
    loss.backward()
    optimizer.step()
    return loss.item()

  return step


def prepare_step(flags):
  tasks = workload.step_tasks(flags.tasks)
  photos, labels = as_tensors(
    *workload.step_batch(flags.geometry, tasks, flags.batch_size)
  )
  step = make_step(list(tasks.values()), flags.geometry, flags.variant)
  losses = [step(photos, labels) for _ in range(3)]
  print('losses of the first steps:', losses)

  def repeat():
    step(photos, labels)
    return flags.batch_size

  return repeat


class Photos(torch.utils.data.Dataset):
  """Augmented photos with their labels, from paths or from decoded ones."""

  def __init__(self, photos, labels):
    self.photos, self.labels = photos, labels
    self.resize = A.Resize(SIDE, SIDE)
    self.augment = A.Compose(
      [
        A.HorizontalFlip(p=0.5),
        A.Affine(
          rotate=(-45, 45),
          translate_percent={'x': (-0.25, 0.25), 'y': (-0.25, 0.25)},
          scale={'x': (0.8, 1.2), 'y': (0.8, 1.2)},
          keep_ratio=False,
          border_mode=cv2.BORDER_REPLICATE,
          p=1,
        ),
      ]
    )

  def __len__(self):
    return len(self.photos)

  def __getitem__(self, i):
    photo = self.photos[i]
    if isinstance(photo, str):
      photo = self.decoded(photo)
    return self.augment(image=photo)['image'], self.labels[i]

  def decoded(self, path):
    photo = cv2.imread(path, cv2.IMREAD_COLOR_RGB)
    return self.resize(image=photo)['image']

  def in_memory(self):
    """The same photos, decoded now."""
    decoded = np.stack([self.decoded(path) for path in self.photos])
    return Photos(decoded, self.labels)


def stack(examples):
  """uint8 until the whole batch becomes float at once."""
  photos, labels = zip(*examples, strict=True)
  return torch.as_tensor(np.stack(photos)), torch.as_tensor(np.stack(labels))


def make_loader(flags):
  """Returns the batches of a pass, shuffled, and {task: labels}."""
  paths, names, columns = workload.train_photos(flags.annotations, flags.images)
  photos = Photos(paths, np.stack(list(columns.values()), axis=1))
  loader = torch.utils.data.DataLoader(
    photos.in_memory() if flags.source == 'memory' else photos,
    flags.batch_size,
    shuffle=True,
    num_workers=flags.workers,
    persistent_workers=flags.workers > 0,
    collate_fn=stack,
  )
  return loader, names


def prepare_input(flags):
  loader, _ = make_loader(flags)

  def repeat():
    return sum(len(as_tensors(*batch)[0]) for batch in loader)

  repeat()
  return repeat


def prepare_epoch(flags):
  loader, names = make_loader(flags)
  counts = [len(known) for known in names.values()]
  step = make_step(counts, 'report', flags.variant)

  def repeat():
    losses = [step(*as_tensors(*batch)) for batch in loader]
    print('mean loss of the epoch:', np.mean(losses))
    return len(loader.dataset)

  repeat()
  return repeat


def prepare(flags):
  kinds = {'step': prepare_step, 'input': prepare_input, 'epoch': prepare_epoch}
  torch.set_num_threads(flags.threads)
  versions = {'torch': torch.__version__, 'albumentations': A.__version__}
  return versions, kinds[flags.what](flags)


def main():
  parser = worker.peer_arguments(__doc__)
  parser.add_argument(
    '--variant', choices=('eager', 'compiled'), default='eager'
  )
  parser.add_argument('--workers', type=int, default=2, help='of DataLoader')
  parser.add_argument('--threads', type=int, default=os.cpu_count())
  flags = parser.parse_args()
  worker.serve(lambda: prepare(flags))


if __name__ == '__main__':
  main()
