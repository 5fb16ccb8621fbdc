"""The embedded demo data: draws photos of shoes, dresses, pants and outerwear.

They come in the format that Kaggle ships and the download leaves, so that
everything else can be tried without the network:

  python -m imat_jax.data.garments --annotations=raw --images=photos

leaves raw/fgvc4_iMat.*.json, photos/SPLIT/ID.jpg and, for each split,
photos/SPLIT.manifest.jsonl; other files of these names are refused, not
replaced. As in the report's data, a photo has about 1.5
labels of those that it could have, many of them rare and some wrong. The same
seed draws the same bytes, and fewer photos are the first of more.
"""

import collections
import concurrent.futures
import functools
import itertools
import multiprocessing
import os
import pathlib
from collections.abc import Iterable
from concurrent.futures import Executor

import cv2
import numpy as np
from PIL import Image

from imat_jax import config as config_lib
from imat_jax import errors
from imat_jax.data import image_validation, kaggle, manifest
from imat_jax.data.drawing import (
  camera,
  labels,
  population,
  studio,
  vocabulary,
  wardrobe,
)
from imat_jax.data.drawing.population import Photo
from imat_jax.runtime import files, outputs, progress

_CHUNK = 16  # photos that go to a process at a time


def main(config: config_lib.Garments) -> None:
  """Draws both splits and prints what they hold.

  Raises:
    UserError: a file is in the way that this command did not write.
  """
  counts = {'train': config.train, 'validation': config.validation}
  for path in kaggle.map_paths(config.annotations):
    outputs.check(path)
  for split, count in counts.items():
    outputs.check(kaggle.split_path(config.annotations, split))
    _check_photos(config.images, split, count)
  _write_maps(config.annotations)
  with _processes() as pool:
    for split, count in counts.items():
      _write_split(config, split, count, pool)


def url(split: str, image_id: str) -> str:
  """The link in the annotation file; nothing answers there."""
  return f'https://example.com/{split}/{image_id}.jpg'


def split_content(split: str, photos: Iterable[Photo]) -> dict:
  """The content of `fgvc4_iMat.SPLIT.data.json`; the first photo has id 1."""
  images, given = [], []
  for number, photo in enumerate(photos, 1):
    image_id = str(number)
    images.append({'imageId': image_id, 'url': [url(split, image_id)]})
    given += (
      {
        'taskId': vocabulary.TASK_IDS[task],
        'imageId': image_id,
        'labelId': vocabulary.LABEL_IDS[label],
      }
      for task, label in photo.labels
    )
  return {'images': images, 'annotations': given}


def encoded(photo: Photo) -> bytes:
  """The JPEG of a photo."""
  return camera.jpeg(studio.draw(photo), photo.setting.quality)


def summary(split: str, photos: list[Photo]) -> str:
  """A few lines: the classes and how many photos have a label of each task."""
  classes = collections.Counter(p.garment.apparel for p in photos)
  count = sum(len(p.labels) for p in photos)
  asked = collections.Counter(
    name
    for p in photos
    for name in {task.partition(':')[2] for task, _ in p.labels}
  )
  lines = [
    f'{split}: {len(photos):,} photos, {count:,} labels',
    f'  classes   {_shares(classes, wardrobe.APPAREL, len(photos))}',
    f'  labelled  {_shares(asked, labels.ASKED, len(photos))}',
  ]
  return '\n'.join(lines)


def contact_sheet(
  seed: int = 0, columns: int = 10, side: int = 96
) -> Image.Image:
  """The README's picture: a row with the first photos of each class.

  To draw it again:

    from imat_jax.data import garments
    garments.contact_sheet().save('docs/garments.png', optimize=True)
  """
  rows = []
  for apparel in wardrobe.APPAREL:
    photos = population.photos(seed, 'train', 100 * columns)
    found = (p for p in photos if p.garment.apparel == apparel)
    row = [studio.draw(p) for p in itertools.islice(found, columns)]
    tiles = [
      cv2.resize(t, (side, side), interpolation=cv2.INTER_AREA) for t in row
    ]
    rows.append(np.hstack(tiles))
  return Image.fromarray(np.vstack(rows))


def _shares(counts: collections.Counter, names: Iterable[str], total: int):
  return ', '.join(f'{name} {counts[name] / total:.1%}' for name in names)


def _check_photos(images: str, split: str, count: int) -> None:
  """Raises where a photo is in the way that the manifest does not know as ours.

  A manifest of others' photos is in the way, too.
  """
  path = manifest.path(images, split)
  lines = manifest.read(path)
  # One line that is none may be the first of a start that was killed.
  is_none = path.exists() and not lines and b'\n' in path.read_bytes()
  if is_none or any(x.url != url(split, x.imageId) for x in lines.values()):
    raise errors.UserError(
      f'{path}: is of photos that this command did not draw; give another '
      '--images'
    )
  for number in range(1, count + 1):
    photo = _path(images, split, str(number))
    line = lines.get(str(number))
    if os.path.lexists(photo) and not (
      line
      and photo.is_file()
      and line.sha256 == image_validation.digest(photo.read_bytes())
    ):
      raise errors.UserError(
        f'{photo}: a photo that this command did not draw, or that was changed '
        'since, is there; move it away or give another --images'
      )


def _path(images: str, split: str, image_id: str) -> pathlib.Path:
  return pathlib.Path(images) / split / f'{image_id}.jpg'


def _write_maps(directory: str) -> None:
  task_path, label_path = kaggle.map_paths(directory)
  outputs.write_json(task_path, vocabulary.task_map())
  outputs.write_json(label_path, vocabulary.label_map())


def _write_split(
  config: config_lib.Garments, split: str, count: int, pool: Executor
) -> None:
  photos = list(population.photos(config.seed, split, count))
  path = kaggle.split_path(config.annotations, split)
  outputs.write_json(path, split_content(split, photos))
  path = manifest.path(config.images, split)
  lines = manifest.read(path)
  (path.parent / split).mkdir(parents=True, exist_ok=True)
  manifest.write(path, lines.values())  # the last one may be torn
  draw = functools.partial(_draw, config.seed, split)
  drawn = pool.map(draw, range(count), chunksize=_CHUNK)
  with path.open('a') as file, progress.Progress(count, split, 'photo') as bar:
    for line, body in drawn:
      photo = _path(config.images, split, line.imageId)
      if lines.get(line.imageId) != line or not photo.exists():
        # In this order: killed in between, what is there is known as ours.
        photo.unlink(missing_ok=True)
        manifest.append(file, line)
        files.write_bytes(photo, body)
      lines[line.imageId] = line
      bar.advance()
  # Photos of an earlier start that drew more stay, and are still known.
  manifest.write(path, lines.values())
  print(summary(split, photos))


def _processes() -> Executor:
  # Spawned, as a fork of a process that has started jax may hang. One thread
  # each: the processes already take all cores.
  return concurrent.futures.ProcessPoolExecutor(
    mp_context=multiprocessing.get_context('spawn'),
    initializer=cv2.setNumThreads,
    initargs=(1,),
  )


def _draw(seed: int, split: str, index: int) -> tuple[manifest.Entry, bytes]:
  """Draws a photo: its line in the manifest, and its JPEG."""
  image_id = str(index + 1)
  photo = population.photo(seed, split, index)
  body = encoded(photo)
  found = image_validation.Picture(
    image_validation.digest(body), *photo.setting.size
  )
  line = manifest.ok(image_id, url(split, image_id), found, attempts=1)
  return line, body


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, config_lib.Garments)
