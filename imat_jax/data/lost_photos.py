"""The listed photos that a build drops, and why."""

import collections
import csv
import io
import pathlib
from collections.abc import Collection, Iterator, Mapping

from imat_jax import errors
from imat_jax.data import file_kinds, image_validation, kaggle, preprocess

Reasons = Mapping[str, str]  # image id → why it is dropped


def reason(folder: str, image_id: str, why: str) -> str:
  """The reason, with the file's kind if it does not decode."""
  if why != preprocess.NOT_DECODED or '://' in folder:
    return why
  with (pathlib.Path(folder) / f'{image_id}.jpg').open('rb') as file:
    head = file.read(file_kinds.HEAD)
  if image_validation.has_image_signature(head):  # damaged or truncated
    return why
  return f'{why}: {file_kinds.name(head)}'


def question(split: kaggle.Split, missing: Collection[str]) -> str:
  """A question to append where missing files have links."""
  missing = set(missing)
  has_links = any(i.urls for i in split.images if i.image_id in missing)
  return '; has the download run?' if has_links else ''


def summary(folder: str, reasons: Reasons) -> str:
  """The number of photos per reason, and the first of each."""
  first = {why: key for key, why in reversed(reasons.items())}
  counts = collections.Counter(reasons.values()).most_common()
  return ', '.join(
    f'{why} {count:,} (first: {folder}/{first[why]}.jpg)'
    for why, count in counts
  )


def lines(
  images: str, reasons_by_split: Mapping[str, Reasons], path: str
) -> Iterator[str]:
  """A line per split with dropped photos.

  Args:
    images: the folder of the splits.
    reasons_by_split: see `Reasons`.
    path: of `lost_photos.csv`.
  """
  for split, reasons in reasons_by_split.items():
    if reasons:
      yield errors.printable(
        f'{split}: {len(reasons):,} photos dropped: '
        f'{summary(f"{images}/{split}", reasons)}; all are listed in {path}'
      )


def as_csv(
  images: str,
  splits: Collection[kaggle.Split],
  reasons_by_split: Mapping[str, Reasons],
) -> str:
  """The text of `lost_photos.csv`, in the order of the annotations."""
  text = io.StringIO()
  rows = csv.writer(text, lineterminator='\n')
  rows.writerow(['split', 'image_id', 'reason', 'file', 'link'])
  for split in splits:
    for image in split.images:
      why = reasons_by_split[split.name].get(image.image_id)
      if why:
        path = f'{images}/{split.name}/{image.image_id}.jpg'
        link = next(iter(image.urls), '')
        cells = split.name, image.image_id, why, path, link
        rows.writerow(map(errors.printable, cells))
  return text.getvalue()
