"""Draws photos of garments, in Kaggle's format: demo data.

  python -m imat_jax.data.garments --annotations=raw --images=photos

writes raw/fgvc4_iMat.*.json, photos/SPLIT/ID.jpg and, for each split,
photos/SPLIT.manifest.jsonl; other files of these names are refused, not
replaced. As in the paper's data, a photo has about 1.5 labels of those that it
could have, many of them rare and some wrong. The same seed draws the same
bytes, and fewer photos are the first of more.
"""

import collections
import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

import cv2

from imat_jax import config, errors, options, validators
from imat_jax.data import image_validation, kaggle, manifest
from imat_jax.data.garments import render, sample
from imat_jax.data.garments.catalog import LABEL_IDS, TASK_IDS
from imat_jax.data.garments.sample import Photo
from imat_jax.runtime import files, outputs, progress

_SOME = validators.at_least(1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Garments(options.Config):
  """Options of this command."""

  annotations: str = config.folder(
    'folder that receives the fgvc4_iMat.*.json files'
  )
  images: str = config.folder(
    'folder that receives SPLIT/ID.jpg and the manifests'
  )
  train: int = options.option('photos in the train split', 2400, _SOME)
  validation: int = options.option('photos in the validation split', 600, _SOME)
  seed: int = options.option(
    'the same seed draws the same photos', 0, config.SEED
  )


def main(garments: Garments) -> None:
  """Draws both splits and prints what they hold.

  Raises:
    UserError: a file is in the way that this command did not write.
  """
  counts = {'train': garments.train, 'validation': garments.validation}
  task_path, label_path = kaggle.map_paths(garments.annotations)
  outputs.check(task_path)
  outputs.check(label_path)
  for split, count in counts.items():
    outputs.check(kaggle.split_path(garments.annotations, split))
    _check_photos(garments.images, split, count)
  outputs.write_json(task_path, _map('task', TASK_IDS))
  outputs.write_json(label_path, _map('label', LABEL_IDS))
  # Spawned, as a fork of a process that has started jax may hang. One thread
  # each: the processes already take all cores.
  with concurrent.futures.ProcessPoolExecutor(
    mp_context=multiprocessing.get_context('spawn'),
    initializer=cv2.setNumThreads,
    initargs=(1,),
  ) as pool:
    for split, count in counts.items():
      photos = list(sample.photos(garments.seed, split, count))
      path = kaggle.split_path(garments.annotations, split)
      outputs.write_json(path, _split_content(split, photos))
      _write_photos(garments.images, split, photos, pool)
      print(_summary(split, photos))


def _map(kind: str, ids: Mapping[str, str]) -> dict:
  """The content of `fgvc4_iMat.KIND_map.json`."""
  info = [{f'{kind}Name': name, f'{kind}Id': i} for name, i in ids.items()]
  return {f'{kind}Info': info}


def _url(split: str, image_id: str) -> str:
  """The link in the annotation file; nothing answers there."""
  return f'https://example.com/{split}/{image_id}.jpg'


def _split_content(split: str, photos: Sequence[Photo]) -> dict:
  """The content of `fgvc4_iMat.SPLIT.data.json`; the first photo has id 1."""
  ids = [str(number) for number in range(1, len(photos) + 1)]
  annotations = [
    {'taskId': TASK_IDS[task], 'imageId': image_id, 'labelId': LABEL_IDS[label]}
    for image_id, photo in zip(ids, photos, strict=True)
    for task, label in photo.labels
  ]
  images = [{'imageId': x, 'url': [_url(split, x)]} for x in ids]
  return {'images': images, 'annotations': annotations}


def _check_photos(images: str, split: str, count: int) -> None:
  """Raises where a photo, or a manifest, is in the way that is not ours."""
  path, folder = manifest.path(images, split), pathlib.Path(images, split)
  entries = manifest.read(path)
  # One line that is none may be the first of a start that was killed.
  is_none = path.exists() and not entries and b'\n' in path.read_bytes()
  if is_none or any(x.url != _url(split, x.imageId) for x in entries.values()):
    raise errors.UserError(
      f'{path}: is of photos that this command did not draw; give another '
      '--images'
    )
  for number in range(1, count + 1):
    photo, entry = folder / f'{number}.jpg', entries.get(str(number))
    if os.path.lexists(photo) and not (
      entry
      and photo.is_file()
      and entry.sha256 == image_validation.digest(photo.read_bytes())
    ):
      raise errors.UserError(
        f'{photo}: a photo that this command did not draw, or that was changed '
        'since, is there; move it away or give another --images'
      )


def _write_photos(
  images: str, split: str, photos: Sequence[Photo], pool: Executor
) -> None:
  path = manifest.path(images, split)
  entries = manifest.read(path)
  folder = pathlib.Path(images, split)
  folder.mkdir(parents=True, exist_ok=True)
  manifest.write(path, entries.values())  # the last one may be torn
  bodies = pool.map(render.jpeg, photos, chunksize=16)
  with path.open('a') as file:
    for number, photo in enumerate(progress.each(photos, split, 'photo'), 1):
      body, image_id = next(bodies), str(number)
      target = folder / f'{number}.jpg'
      digest = image_validation.digest(body)
      picture = image_validation.Picture(digest, *photo.size)
      entry = manifest.ok(image_id, _url(split, image_id), picture, attempts=1)
      if entries.get(image_id) != entry or not target.exists():
        # In this order: killed in between, what is there is known as ours.
        target.unlink(missing_ok=True)
        manifest.append(file, entry)
        files.write_bytes(target, body)
      entries[image_id] = entry
  # Photos of an earlier start that drew more stay, and are still known.
  manifest.write(path, entries.values())


def _summary(split: str, photos: Sequence[Photo]) -> str:
  """The classes' shares of the photos, and labels per photo of some tasks."""
  labels = [label for photo in photos for label in photo.labels]
  counts = collections.Counter(photo.garment.apparel for photo in photos)
  counts.update(task.partition(':')[2] for task, _ in labels)
  names = (*sample.APPAREL, *sample.ASKED)
  shares = [f'{name} {counts[name] / len(photos):.1%}' for name in names]
  totals = f'{len(photos):,} photos, {len(labels):,} labels'
  return f'{split}: {totals}: {", ".join(shares)}'


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, Garments)
