"""What people should know of a data set goes from a file to pages and cards."""

import contextlib
import io
import pathlib

import pytest
import tiny

from imat_jax import errors
from imat_jax.data import build, configs, description, source
from imat_jax.data import kaggle as kaggle_files

TEXT = """
title = "Shapes <b>of</b> one color"
source = "drawn by a test"
license = "CC0"

[labels]
apparel = "people"
colour = "computed from the pixels"
"""


def _build(kaggle, tmp_path, text: str) -> str:
  path = tmp_path / 'description.toml'
  path.write_text(text)
  printed = io.StringIO()
  with contextlib.redirect_stdout(printed):
    build.main(
      configs.Build(
        annotations=str(kaggle.annotations),
        images=str(kaggle.images),
        data_dir=str(tmp_path / 'built'),
        image_size=32,
        description=str(path) if text else '',
      )
    )
  return printed.getvalue()


def test_pages_and_cards_show_it(kaggle, tmp_path):
  _build(kaggle, tmp_path, TEXT)
  printed = tiny.run(
    str(tmp_path / 'built'),
    tmp_path / 'run',
    tasks=('apparel', 'color', 'age'),
    epochs=1,
  )
  said = 'labelled by: apparel: people; color: computed from the pixels'
  page = (tmp_path / 'run/report.html').read_text()
  assert said in page and 'drawn by a test' in page
  assert 'Shapes &lt;b&gt;of' in page and '<b>of' not in page
  assert '<dt>age labelled by</dt><dd>not stated</dd>' in page
  card = (tmp_path / 'run/README.md').read_text()
  assert '* `color` is labelled by: `computed from the pixels`' in card
  assert '* `age` is labelled by: `not stated`' in card
  assert '(of the data: `CC0`)' in card
  assert printed


def test_another_description_makes_no_other_data_set(kaggle, tmp_path):
  _build(kaggle, tmp_path, TEXT)
  one = source.read_metadata(tmp_path / 'built')
  for text, license in ((TEXT.replace('CC0', 'MIT'), 'MIT'), ('', None)):
    assert 'already exists, unchanged' in _build(kaggle, tmp_path, text)
    two = source.read_metadata(tmp_path / 'built')
    assert two['fingerprint'] == one['fingerprint']
    assert (description.of(two) or {}).get('license') == license


def test_a_task_of_one_class_is_labelled_like_the_attribute():
  metadata = {'description': {'labels': {'color': 'x', 'shoe:age': 'y'}}}
  names = ('shoe:color', 'shoe:age', 'dress:age', 'apparel')
  texts = [description.labelled_by(metadata, name) for name in names]
  assert texts == ['x', 'y', None, None]
  assert description.labelled_by({}, 'color') is None
  grouped = metadata | {'groups': {'color_groups': {'task': 'color'}}}
  assert description.labelled_by(grouped, 'color_groups') == 'x'


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('title = ', 'description.toml: Invalid value'),
    ('licence = "MIT"', "unknown key 'licence'; it may have: title, source"),
    ('license = 1', 'license must be a text'),
    ('labels = "people"', r'\[labels\] must be a table'),
    ('[labels]\ncolor = " "', 'labels.color must be a text'),
    ('[labels]\nsize = "x"', "no task 'size'; available: age, apparel, color"),
  ],
)
def test_a_bad_file_is_one_line(kaggle, tmp_path, text, message):
  with pytest.raises(errors.UserError, match=message) as caught:
    _build(kaggle, tmp_path, text)
  assert '\n' not in str(caught.value)


def test_a_file_that_is_not_there(kaggle, tmp_path):
  with pytest.raises(errors.UserError, match='no: No such file'):
    description.read(str(tmp_path / 'no'), [])


def test_the_description_of_the_study_names_its_tasks():
  experiments = pathlib.Path(__file__).parents[1] / 'experiments'
  clothing = experiments.parents[1] / 'shared/data/clothing'
  if not clothing.is_dir():
    pytest.skip('needs the shared photos of clothes')
  path = str(experiments / 'clothing.toml')
  read = description.read(path, kaggle_files.task_names(clothing))
  labels = read['description']['labels']
  assert 'pixels' in labels['color'] and labels['apparel'] == 'people'
