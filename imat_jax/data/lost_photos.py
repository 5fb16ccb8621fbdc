"""Which listed photos a build could not use, and why."""

import collections
import csv
import io
import pathlib
from collections.abc import Collection, Iterator, Mapping

from imat_jax import errors
from imat_jax.data import file_kinds, image_validation, kaggle, preprocess

Lost = Mapping[str, str]  # image id → why


def reason(folder: str, image_id: str, why: str) -> str:
  """Why a photo is lost, with the kind of a file that does not decode."""
  if why != preprocess.NOT_DECODED or '://' in folder:
    return why
  with (pathlib.Path(folder) / f'{image_id}.jpg').open('rb') as file:
    head = file.read(file_kinds.HEAD)
  if image_validation.has_image_signature(head):  # damaged, or broken off
    return why
  return f'{why}: {file_kinds.name(head)}'


def question(split: kaggle.Split, missing: Collection[str]) -> str:
  """What to ask where files are missing that have links."""
  missing = set(missing)
  has_links = any(i.urls for i in split.images if i.image_id in missing)
  return '; has the download run?' if has_links else ''


def summary(folder: str, lost: Lost) -> str:
  """How many photos each reason has cost, and the first of them."""
  first = {why: key for key, why in reversed(lost.items())}
  counts = collections.Counter(lost.values()).most_common()
  return ', '.join(
    f'{why} {count:,} (first: {folder}/{first[why]}.jpg)'
    for why, count in counts
  )


def lines(images: str, lost: Mapping[str, Lost], path: str) -> Iterator[str]:
  """A line per split with lost photos.

  Args:
    images: the folder of the splits.
    lost: by split.
    path: of the list.
  """
  for split, reasons in lost.items():
    if reasons:
      yield errors.printable(
        f'{split}: {len(reasons):,} photos are lost: '
        f'{summary(f"{images}/{split}", reasons)}; each is in {path}'
      )


def as_csv(
  images: str,
  splits: Collection[kaggle.Split],
  lost: Mapping[str, Lost],
) -> str:
  """The text of `lost_photos.csv`, in the order of the annotations."""
  text = io.StringIO()
  rows = csv.writer(text, lineterminator='\n')
  rows.writerow(['split', 'image_id', 'reason', 'file', 'link'])
  for split in splits:
    for image in split.images:
      why = lost[split.name].get(image.image_id)
      if why:
        path = f'{images}/{split.name}/{image.image_id}.jpg'
        link = next(iter(image.urls), '')
        cells = split.name, image.image_id, why, path, link
        rows.writerow(map(errors.printable, cells))
  return text.getvalue()
