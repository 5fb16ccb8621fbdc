"""Draws photos that are held out: for validation, or for the test.

Takes a share of each label's photos, those with the smallest ids: ids are
digests, so the draw is random but reproducible, and added photos move few
others. Labels with two photos or more are on both sides where possible. Photos
of a group, such as a product, stay together.
"""

import collections
import types
from collections.abc import Mapping

Labels = Mapping[str, str]  # task → label


def held_out(
  photos: Mapping[str, Labels],
  share: float,
  groups: Mapping[str, str] = types.MappingProxyType({}),
) -> set[str]:
  """The image ids of the photos that are held out.

  Args:
    photos: image id → the photo's labels; ids are hexadecimal digests.
    share: of the photos, between 0 and 1.
    groups: image id → its group; other photos are a group each.
  """
  ids_by_group = collections.defaultdict(list)
  for image_id in sorted(photos):
    group = ('group', groups[image_id]) if image_id in groups else image_id
    ids_by_group[group].append(image_id)
  # A group is drawn as its first photo, with the labels of all its photos.
  labels = {
    ids[0]: dict(pair for i in reversed(ids) for pair in photos[i].items())
    for ids in ids_by_group.values()
  }
  drawn = _draw(labels, share)
  return {i for ids in ids_by_group.values() for i in ids if ids[0] in drawn}


def _draw(photos: Mapping[str, Labels], share: float) -> set[str]:
  is_out = {}
  for ids in _strata(photos).values():
    number = round(share * len(ids))
    if len(ids) > 1:
      number = min(max(number, 1), len(ids) - 1)
    for n, image_id in enumerate(sorted(ids)):
      is_out[image_id] = n < number
  _rebalance(photos, is_out)
  return {image_id for image_id, out in is_out.items() if out}


def _strata(photos: Mapping[str, Labels]) -> dict[object, list[str]]:
  """The photos by their label in the task with most labels.

  Photos without it are grouped by the next task; labels with one photo share a
  stratum.
  """
  filled = collections.Counter(t for labels in photos.values() for t in labels)
  order = sorted(filled, key=lambda task: (-filled[task], task))
  strata = collections.defaultdict(list)
  for image_id, labels in photos.items():
    task = next((task for task in order if task in labels), None)
    strata[task, labels.get(task)].append(image_id)
  single = [ids[0] for ids in strata.values() if len(ids) == 1]
  strata = {name: ids for name, ids in strata.items() if len(ids) > 1}
  return {**strata, None: single} if single else strata


def _rebalance(photos: Mapping[str, Labels], is_out: dict[str, bool]) -> None:
  """Puts a photo of each label with two or more on each side, if possible."""
  label_photos = collections.defaultdict(list)
  for image_id in sorted(photos):
    for pair in photos[image_id].items():
      label_photos[pair].append(image_id)
  counts = collections.Counter(
    (pair, is_out[i]) for pair, ids in label_photos.items() for i in ids
  )

  def move(ids: list[str], to: bool) -> None:
    for image_id in ids:
      pairs = [*photos[image_id].items()]
      # Never the last photo of another label on this side.
      if all(
        counts[pair, is_out[image_id]] > 1 or len(label_photos[pair]) == 1
        for pair in pairs
      ):
        for pair in pairs:
          counts[pair, is_out[image_id]] -= 1
          counts[pair, to] += 1
        is_out[image_id] = to
        return

  for _, ids in sorted(label_photos.items(), key=lambda item: len(item[1])):
    sides = {is_out[image_id] for image_id in ids}
    if len(ids) > 1 and len(sides) == 1:
      move(ids, True not in sides)
