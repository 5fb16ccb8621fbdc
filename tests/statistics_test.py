import pytest

from imat_jax import tasks
from imat_jax.data import statistics

TASK_SET = tasks.TaskSet(
  (
    tasks.Task('apparel', ('dress', 'shoe')),
    tasks.Task('color', ('blue', 'red', 'other')),
    tasks.Task('age', ('kids',)),
    tasks.Task('shoe:color', ('blue', 'red')),
  )
)
LABELS = [
  {'apparel': 'shoe', 'color': 'red', 'shoe:color': 'red'},
  {'apparel': 'shoe', 'color': 'teal', 'shoe:color': 'teal'},
  {'apparel': 'dress', 'color': 'red'},
  {'apparel': 'shoe'},
]

TABLE = """\
images                    train  validation
-------------------------------------------
listed                    1,234           4
kept                          4           0
lost: download: http 404      0           4
lost: no file             1,230           0
irregular: two classes        2           0

apparel      train  validation
------------------------------
dress    1 (25.0%)    0 (0.0%)
shoe     3 (75.0%)    0 (0.0%)

task     labels  filled in train  filled in validation  commonest   rarest
--------------------------------------------------------------------------
apparel       2       4 (100.0%)              0 (0.0%)     shoe 3  dress 1
color         3        3 (75.0%)              0 (0.0%)      red 2   blue 0
age           1         0 (0.0%)              0 (0.0%)     kids 0   kids 0"""


def test_describe_counts_the_labels_as_they_are_after_folding():
  described = statistics.describe(TASK_SET, LABELS)
  assert list(described) == ['apparel', 'color', 'age', 'shoe:color']
  assert described['apparel'] == {
    'labelled': 4,
    'fill_rate': 1.0,
    'counts': {'dress': 1, 'shoe': 3},
  }
  assert described['color'] == {
    'labelled': 3,
    'fill_rate': 0.75,
    'counts': {'blue': 0, 'red': 2, 'other': 1},
  }
  assert described['age'] == {
    'labelled': 0,
    'fill_rate': 0.0,
    'counts': {'kids': 0},
  }


def test_a_label_without_a_number_is_no_label():
  """Teal is unknown in shoe:color, which has no `other`."""
  described = statistics.describe(TASK_SET, LABELS)['shoe:color']
  assert described == {
    'labelled': 1,
    'fill_rate': 0.25,
    'counts': {'blue': 0, 'red': 1},
  }


def test_describe_of_no_photo_has_zeros():
  for described in statistics.describe(TASK_SET, []).values():
    assert (described['labelled'], described['fill_rate']) == (0, 0.0)
    assert set(described['counts'].values()) == {0}


@pytest.fixture
def numbers():
  train = {
    'listed': 1234,
    'kept': 4,
    'lost': {'no file': 1230},
    'irregular': {'two_classes': 2, 'repeated_labels': 0},
    'near_duplicates': {'of_its_own': 0},
    'tasks': statistics.describe(TASK_SET, LABELS),
  }
  validation = {
    'listed': 4,
    'kept': 0,
    'lost': {'download: http_404': 4},
    'irregular': {'two_classes': 0, 'repeated_labels': 0},
    'near_duplicates': {'of_its_own': 0},
    'tasks': statistics.describe(TASK_SET, []),
  }
  return {'splits': {'train': train, 'validation': validation}}


def test_the_table_shows_what_counts_and_what_was_lost(numbers):
  assert statistics.table(numbers) == TABLE
