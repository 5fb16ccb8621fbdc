"""The photos that are held out at random."""

import collections
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from imat_jax.data import splits


def photos(labels):
  """Photos with ids as they have them; `labels` has the label of each."""
  return {
    hashlib.sha256(str(i).encode()).hexdigest(): of_photo
    for i, of_photo in enumerate(labels)
  }


def test_each_label_has_its_share():
  listed = photos([{'x': 'abbbbbbbbb'[i % 10]} for i in range(400)])
  drawn = splits.held_out(listed, 0.2)
  assert collections.Counter(listed[i]['x'] for i in drawn) == {'a': 8, 'b': 72}


def test_more_photos_move_few():
  labels = [{'x': 'ab'[i % 2]} for i in range(1200)]
  listed = photos(labels[:1000])
  before = splits.held_out(listed, 0.2)
  after = splits.held_out(photos(labels), 0.2)
  moved = (before ^ after) & listed.keys()
  assert len(moved) <= 30  # of 1,000


LABELS = st.dictionaries(st.sampled_from('xy'), st.sampled_from('abc'))


@given(st.lists(LABELS, min_size=2, max_size=12), st.randoms())
def test_both_sides_have_photos_whatever_the_order(labels, random):
  listed = photos(labels)
  drawn = splits.held_out(listed, 0.2)
  assert 0 < len(drawn) < len(listed)
  shuffled = list(listed.items())
  random.shuffle(shuffled)
  assert splits.held_out(dict(shuffled), 0.2) == drawn


@given(st.lists(st.sampled_from('abcd'), min_size=2, max_size=30))
def test_a_label_of_two_photos_is_on_both_sides(labels):
  listed = photos([{'x': label} for label in labels])
  sides = collections.defaultdict(set)
  drawn = splits.held_out(listed, 0.2)
  for image_id, labels_of_photo in listed.items():
    sides[labels_of_photo['x']].add(image_id in drawn)
  for label, count in collections.Counter(labels).items():
    assert len(sides[label]) == min(count, 2)
