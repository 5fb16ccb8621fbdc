"""The embedded demo data: draws photos of shoes, dresses, pants and outerwear.

They come in the format that Kaggle ships and the download leaves, so that
everything else can be tried without the network:

  python -m imat_jax.data.garments --annotations=raw --images=photos

leaves raw/fgvc4_iMat.*.json, photos/SPLIT/ID.jpg and photos/SPLIT.manifest.jsonl.
As in the data of the report, a photo has about 1.5 labels of 45 that it could
have, some of them rare and some wrong. The same seed draws the same bytes, and
fewer photos are the first of more.
"""

import collections
import concurrent.futures
import functools
import io
import json
import multiprocessing
import os
import pathlib
from collections.abc import Iterable

import cv2
import numpy as np
from PIL import Image

from imat_jax import config as config_lib
from imat_jax import files, progress
from imat_jax.data import annotations, manifest, picture
from imat_jax.data.drawing import (
  camera,
  photo,
  population,
  vocabulary,
  wardrobe,
)
from imat_jax.data.drawing.population import Photo

_CHUNK = 16  # photos that a process draws at a time


def main(config: config_lib.Garments) -> None:
  """Draws both splits and prints what they hold."""
  _write_maps(config.annotations)
  for split, count in zip(
    population.SPLITS, (config.train, config.validation), strict=True
  ):
    photos = list(population.photos(config.seed, split, count))
    _write_annotations(config.annotations, split, photos)
    _write_photos(config, split, count)
    print(summary(split, photos))


def url(split: str, image_id: str) -> str:
  """The link in the annotation file; nothing answers there."""
  return f'https://example.com/{split}/{image_id}.jpg'


def split_content(split: str, photos: Iterable[Photo]) -> dict:
  """The content of `fgvc4_iMat.SPLIT.data.json`; the first photo has id 1."""
  images, labels = [], []
  for number, photo_ in enumerate(photos, 1):
    image_id = str(number)
    images.append({'imageId': image_id, 'url': [url(split, image_id)]})
    labels += (
      {
        'taskId': vocabulary.TASK_IDS[task],
        'imageId': image_id,
        'labelId': vocabulary.LABEL_IDS[label],
      }
      for task, label in photo_.annotations
    )
  return {'images': images, 'annotations': labels}


def encoded(seed: int, split: str, index: int) -> bytes:
  """The JPEG of photo `index`, a function of these three alone."""
  drawn = population.photo(seed, split, index)
  return camera.jpeg(photo.draw(drawn), drawn.scene.quality)


def summary(split: str, photos: list[Photo]) -> str:
  """A few lines: the classes and how many photos have a label of each task."""
  classes = collections.Counter(p.garment.apparel for p in photos)
  labels = sum(len(p.annotations) for p in photos)
  asked = collections.Counter(
    name
    for p in photos
    for name in {task.partition(':')[2] for task, _ in p.annotations}
  )
  lines = [
    f'{split}: {len(photos):,} photos, {labels:,} labels',
    f'  classes   {_shares(classes, wardrobe.APPAREL, len(photos))}',
    f'  labelled  {_shares(asked, population.ASKED, len(photos))}',
  ]
  return '\n'.join(lines)


def contact_sheet(seed: int = 0, columns: int = 10, side: int = 96) -> bytes:
  """The picture of the README as PNG: the first photos of each class, in rows."""
  tiles = []
  for apparel in wardrobe.APPAREL:
    found = (
      p
      for p in population.photos(seed, 'train', 100 * columns)
      if p.garment.apparel == apparel
    )
    tiles += [photo.draw(next(found)) for _ in range(columns)]
  sheet = Image.fromarray(photo.contact(tiles, columns, side))
  content = io.BytesIO()
  sheet.save(content, 'png', optimize=True)
  return content.getvalue()


def _shares(counts: collections.Counter, names: Iterable[str], total: int):
  return ', '.join(f'{name} {counts[name] / total:.1%}' for name in names)


def _write_maps(directory: str) -> None:
  tasks, labels = annotations.map_paths(directory)
  files.write_json(tasks, vocabulary.task_map())
  files.write_json(labels, vocabulary.label_map())


def _write_annotations(directory: str, split: str, photos: list[Photo]) -> None:
  path = annotations.split_path(directory, split)
  files.write_text(path, json.dumps(split_content(split, photos)) + '\n')


def _write_photos(config: config_lib.Garments, split: str, count: int) -> None:
  draw = functools.partial(_draw_chunk, config.seed, split, config.images)
  chunks = [range(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK)]
  lines = []
  with progress.Progress(count, split, 'photo') as bar, _processes() as pool:
    for found in pool.map(draw, chunks):
      lines += found
      bar.advance(len(found))
  manifest.write(manifest.path(config.images, split), lines)


def _processes() -> concurrent.futures.Executor:
  # Spawned, as a fork of a process that has started jax may hang.
  context = multiprocessing.get_context('spawn')
  workers = len(os.sched_getaffinity(0))
  return concurrent.futures.ProcessPoolExecutor(
    workers, context, initializer=cv2.setNumThreads, initargs=(1,)
  )


def _draw_chunk(
  seed: int, split: str, images: str, indices: range
) -> list[manifest.Line]:
  return [_draw_one(seed, split, images, index) for index in indices]


def _draw_one(seed: int, split: str, images: str, index: int) -> manifest.Line:
  image_id = str(index + 1)
  body = encoded(seed, split, index)
  files.write_bytes(pathlib.Path(images) / split / f'{image_id}.jpg', body)
  link = url(split, image_id)
  return manifest.came(image_id, link, picture.check(body, 1), attempts=1)


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, config_lib.Garments)
