"""Labels in groups: the file, the task that a build adds, and its scores."""

import collections
import csv
import json
import pathlib

import numpy as np
import pytest

from imat_jax import errors, evaluate, tasks
from imat_jax.data import build, configs, label_groups, source
from imat_jax.reporting import grouped

NAMES = 'apparel', 'color', 'age'
GROUPS = """
color:
  cold: [blue, green]
  warm: [red, pink]
"""


@pytest.mark.parametrize(
  'text, message',
  [
    ('', 'must have groups of labels by task'),
    ('[color]', 'must have groups of labels by task'),
    ('color: [blue]', 'color: must have labels by group'),
    ('color: {cold: blue}', 'color: cold: must be a list of labels'),
    ('colors: {cold: [blue]}', "no task 'colors' (did you mean 'color'?)"),
    (
      'color: {cold: [blue], warm: [blue]}',
      "color: the label 'blue' is in cold and in warm",
    ),
    ('color:\n  a: [x]\n  a: [y]\n', "line 3: 'a' is there twice"),
    ('color: {', 'line 1: '),
  ],
)
def test_a_bad_file_is_refused_with_its_reason(tmp_path, text, message):
  path = tmp_path / 'families.yaml'
  path.write_text(text)
  with pytest.raises(errors.UserError) as raised:
    label_groups.read(str(path), NAMES)
  assert str(path) in str(raised.value)
  assert message in str(raised.value)


def test_a_missing_file_names_those_that_are_here():
  with pytest.raises(errors.UserError, match='by name: kaggle, products'):
    label_groups.read('families.yaml', NAMES)


def test_words_of_yaml_are_labels(tmp_path):
  path = tmp_path / 'families.yaml'
  path.write_text('age: {no: [off, 1.0], yes: [null]}')
  (grouping,) = label_groups.read(str(path), NAMES)
  assert grouping.name == 'age_families'
  assert grouping.group_of == {'off': 'no', '1.0': 'no', 'null': 'yes'}


def test_the_notes_name_what_does_not_fit(tmp_path):
  path = tmp_path / 'families.yaml'
  path.write_text('color: {cold: [blue, gren], warm: [red]}')
  groupings = label_groups.read(str(path), NAMES)
  counts = {'color': collections.Counter(blue=3, green=2)}
  assert label_groups.lines(groupings, counts) == [
    'color_families: 1 labels of color in 1 groups',
    'color_families: in no group, so each stays as it is: green',
    "color_families: no photo has these labels: gren (did you mean 'green'?), "
    'red',
  ]


def test_the_files_for_two_data_sets_can_be_read():
  for name, names in (('kaggle', ('color', 'material')), ('products', NAMES)):
    assert all(g.group_of for g in label_groups.read(name, names))


def test_the_products_colors_are_all_in_a_group():
  path = pathlib.Path(__file__).resolve().parents[2] / 'shared/data/products'
  if not path.is_dir():
    pytest.skip('needs the shared folder of products')
  with open(path / 'products_full.csv', newline='') as file:
    colors = {row['color'] for row in csv.DictReader(file)} - {''}
  (grouping,) = label_groups.read('products', ('color',))
  assert colors == grouping.group_of.keys()


@pytest.fixture(scope='module')
def with_groups(kaggle, tmp_path_factory) -> str:
  root = tmp_path_factory.mktemp('groups')
  (root / 'families.yaml').write_text(GROUPS)
  build.main(
    configs.Build(
      annotations=str(kaggle.annotations),
      images=str(kaggle.images),
      data_dir=str(root / 'built'),
      groups=(str(root / 'families.yaml'),),
    )
  )
  return str(root / 'built')


def test_a_build_adds_the_task(with_groups, built):
  fine, coarse = source.read_metadata(built), source.read_metadata(with_groups)
  assert coarse['tasks'] == fine['tasks'] | {'color_families': ['cold', 'warm']}
  assert coarse['groups'] == {
    'color_families': {
      'task': 'color',
      'groups': {'cold': ['blue', 'green'], 'warm': ['red', 'pink']},
    }
  }
  assert coarse['fingerprint'] != fine['fingerprint']
  both = source.read_tasks(with_groups).select(['color', 'color_families'])
  of_label = {'blue': 'cold', 'green': 'cold', 'red': 'warm', None: None}
  for label, group in source.Source(with_groups, 'train', both).label_NxT():
    names = [*both['color'].labels, None]  # -1 is a missing label
    assert both['color_families'].index(of_label[names[label]]) == group


def test_two_files_of_one_name_are_refused(with_groups, kaggle, tmp_path):
  name = str(pathlib.Path(with_groups).parent / 'families.yaml')
  with pytest.raises(errors.UserError, match='two tasks color_families'):
    build.main(
      configs.Build(
        annotations=str(kaggle.annotations),
        images=str(kaggle.images),
        data_dir=str(tmp_path),
        groups=(name, name),
      )
    )


def test_a_run_of_fine_labels_is_scored_on_the_groups(
  trained, with_groups, capsys
):
  command = evaluate.Evaluate(run=trained, data_dir=with_groups)
  evaluate.main(command)
  evaluation = json.loads(capsys.readouterr().out)
  of_groups = evaluation['groups']['color_families']
  fine = evaluation['tasks']['color']
  assert of_groups['task'] == 'color'
  assert of_groups['labels'] == ['cold', 'warm']
  assert of_groups['count'] == fine['count']
  # Whoever tells the color tells the family, and errors within one are none.
  assert of_groups['accuracy'] >= fine['accuracy']
  assert of_groups['loss'] < fine['loss']
  right = np.array(fine['confusion_matrix']).sum(1)
  assert np.array(of_groups['confusion_matrix']).sum(1).tolist() == [
    right[0] + right[1],
    right[2],
  ]


def test_a_label_of_several_groups_is_shared_by_the_train_photos():
  """Beside counting by hand: `other` is twice cold and once warm."""
  cold, warm, other, missing = 0, 1, 2, tasks.MISSING
  label_Nx2 = np.array(
    [(cold, 0)] * 4
    + [(warm, 1)] * 2
    + [(other, 0)] * 2
    + [(other, 1), (missing, 0), (cold, missing)]
  )
  shares_4x2 = grouped.group_shares(label_Nx2, 4, 2)
  overall = np.array([7 / 11, 4 / 11])  # six cold and three warm, one more each
  expected_4x2 = [
    (4 + overall[0], overall[1]),
    (overall[0], 2 + overall[1]),
    (2 + overall[0], 1 + overall[1]),
    overall,
  ]
  expected_4x2 = np.array([np.array(row) / np.sum(row) for row in expected_4x2])
  np.testing.assert_allclose(shares_4x2, expected_4x2)
