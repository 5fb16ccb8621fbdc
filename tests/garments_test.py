import collections
import dataclasses
import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from imat_jax import errors
from imat_jax.data import image_validation, kaggle, manifest
from imat_jax.data.garments import __main__ as garments
from imat_jax.data.garments import catalog, render, sample

COUNTS = {'train': 8, 'validation': 4}
URL = 'https://example.com'


def draw(folder, **changes) -> None:
  garments.main(
    garments.Garments(
      annotations=str(folder / 'raw'),
      images=str(folder / 'photos'),
      **COUNTS | changes,
    )
  )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('garments')
  draw(folder)
  return folder


@pytest.fixture(scope='module')
def photos():
  return list(sample.photos(0, 'train', 2000))


def contents(folder) -> dict[str, bytes]:
  paths = (p for p in folder.rglob('*') if p.is_file())
  return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


def shares(counts: collections.Counter) -> dict[str, float]:
  return {name: n / counts.total() for name, n in counts.items()}


def labels_of(photos, attribute: str) -> collections.Counter:
  labels = (label for photo in photos for label in photo.labels)
  return collections.Counter(
    name for task, name in labels if task.partition(':')[2] == attribute
  )


def traits_of(photos, attribute: str, **where: str) -> collections.Counter:
  traits = [p.garment.traits | {'apparel': p.garment.apparel} for p in photos]
  return collections.Counter(
    t[attribute] for t in traits if where.items() <= t.items()
  )


def plain_photo(apparel: str) -> sample.Photo:
  """One with nothing but a garment in one color that somebody laid down."""
  return next(
    photo
    for photo in sample.photos(1, 'train', 1000)
    if photo.garment.apparel == apparel
    and photo.garment.traits.get('pattern', 'solid') == 'solid'
    and photo.manner == 'flat'
    and not photo.others
  )


def with_trait(photo: sample.Photo, name: str, label: str) -> sample.Photo:
  traits = photo.garment.traits | {'age': 'adult'} | {name: label}
  garment = dataclasses.replace(photo.garment, traits=traits)
  return dataclasses.replace(photo, garment=garment)


def test_fewer_photos_are_the_first_of_more(folder, tmp_path):
  draw(tmp_path, train=3)
  few, many = contents(tmp_path), contents(folder)
  drawn = {name for name in few if name.startswith('photos/train/')}
  assert drawn == {f'photos/train/{i}.jpg' for i in (1, 2, 3)}
  assert all(few[name] == many[name] for name in drawn)


def test_another_start_replaces_what_an_earlier_one_drew(folder, tmp_path):
  draw(tmp_path, train=10, seed=1)
  draw(tmp_path)
  drawn, fresh = contents(tmp_path), contents(folder)
  for name in fresh:
    if name.endswith(('.jpg', '.json')):
      assert drawn[name] == fresh[name], name
  draw(tmp_path, train=10, seed=1)  # photos 9 and 10 are still known as ours


@pytest.mark.parametrize(
  'name',
  [
    *('raw/fgvc4_iMat.train.data.json', 'raw/fgvc4_iMat.task_map.json'),
    *('photos/validation/4.jpg', 'photos/train.manifest.jsonl'),
  ],
)
def test_files_of_the_users_are_not_overwritten(tmp_path, name):
  path = tmp_path / name
  path.parent.mkdir(parents=True)
  path.write_text('mine\n')
  with pytest.raises(errors.UserError, match=name):
    draw(tmp_path)
  assert contents(tmp_path) == {name: b'mine\n'}


def test_photos_of_a_download_are_not_overwritten(tmp_path):
  """Kaggle's photos have numbers, too."""
  path = manifest.path(tmp_path / 'photos', 'train')
  (path.parent / 'train').mkdir(parents=True)
  (path.parent / 'train' / '1.jpg').write_bytes(b'mine')
  picture = image_validation.Picture(image_validation.digest(b'mine'), 9, 9)
  entry = manifest.ok('1', 'https://shop.example/1.jpg', picture, 1)
  manifest.write(path, [entry])
  before = contents(tmp_path)
  with pytest.raises(errors.UserError, match='did not draw'):
    draw(tmp_path)
  assert contents(tmp_path) == before


def test_a_photo_that_the_user_changed_stays(tmp_path):
  draw(tmp_path, train=1, validation=1)
  path = tmp_path / 'photos' / 'train' / '1.jpg'
  path.write_bytes(b'mine')
  with pytest.raises(errors.UserError, match='train/1.jpg: .* changed since'):
    draw(tmp_path, train=1, validation=1)
  assert path.read_bytes() == b'mine'


def test_a_killed_start_resumes(folder, tmp_path):
  """The same seed draws the same bytes."""
  draw(tmp_path)
  (tmp_path / 'photos' / 'train' / '3.jpg').unlink()
  path = manifest.path(tmp_path / 'photos', 'train')
  path.write_bytes(path.read_bytes()[:-20])  # a torn last line, and its photo
  (tmp_path / 'photos' / 'train' / '8.jpg').unlink()
  (tmp_path / 'photos' / '.DS_Store').write_text('x')
  draw(tmp_path)
  (tmp_path / 'photos' / '.DS_Store').unlink()
  assert contents(tmp_path) == contents(folder)


def test_seeds_and_splits_differ():
  keys = [(0, 'train', 0), (0, 'train', 1), (0, 'validation', 0),
          (1, 'train', 0)]  # fmt: skip
  drawn = {render.jpeg(sample.photo(*key)) for key in keys}
  assert len(drawn) == len(keys)


def test_rendering_keeps_no_state():
  photo = sample.photo(3, 'train', 0)
  first = render.render(photo)
  render.render(sample.photo(3, 'train', 1))
  np.testing.assert_array_equal(render.render(photo), first)


@pytest.mark.parametrize('split', COUNTS)
def test_split_file_has_the_form_of_kaggle(folder, split):
  path = folder / 'raw' / f'fgvc4_iMat.{split}.data.json'
  content = json.loads(path.read_text())
  assert content.keys() == {'images', 'annotations'}
  urls = {
    str(i + 1): f'{URL}/{split}/{i + 1}.jpg' for i in range(COUNTS[split])
  }
  assert content['images'] == [
    {'imageId': image_id, 'url': [url]} for image_id, url in urls.items()
  ]
  for record in content['annotations']:
    assert record.keys() == {'taskId', 'imageId', 'labelId'}
  # Which checks the ids.
  kaggle.read_split(folder / 'raw', split)


def test_maps_have_the_form_of_kaggle(folder):
  for kind, count in {'task': 45, 'label': 381}.items():
    path = folder / 'raw' / f'fgvc4_iMat.{kind}_map.json'
    records = json.loads(path.read_text())[f'{kind}Info']
    assert all(r.keys() == {f'{kind}Name', f'{kind}Id'} for r in records)
    ids = [record[f'{kind}Id'] for record in records]
    assert ids == [str(i + 1) for i in range(count)]


def test_annotations_read_as_they_were_drawn(folder):
  split = kaggle.read_split(folder / 'raw', 'train')
  assert [
    (a.image_id, f'{a.apparel}:{a.attribute}', a.label)
    for a in split.annotations
  ] == [
    (str(number), *label)
    for number, photo in enumerate(sample.photos(0, 'train', 8), 1)
    for label in photo.labels
  ]


@pytest.mark.parametrize('split', COUNTS)
def test_manifest_lists_the_files(folder, split):
  path = manifest.path(folder / 'photos', split)
  for line in path.read_text().splitlines():
    assert list(json.loads(line)) == [
      *('imageId', 'status', 'url', 'sha256', 'width', 'height'),
      *('attempts', 'error'),
    ]
  entries = manifest.read(path)
  assert list(entries) == [str(i + 1) for i in range(COUNTS[split])]
  for image_id, entry in entries.items():
    photo = folder / 'photos' / split / f'{image_id}.jpg'
    with Image.open(photo) as image:
      assert image.format == 'JPEG'
      assert image.size == (entry.width, entry.height)
    assert entry.sha256 == hashlib.sha256(photo.read_bytes()).hexdigest()
    assert entry.url == f'{URL}/{split}/{image_id}.jpg'
    assert (entry.status, entry.attempts, entry.error) == ('ok', 1, None)


def test_summary_names_the_classes(capsys, tmp_path):
  draw(tmp_path, train=1, validation=1)
  printed = capsys.readouterr().out
  assert 'train: 1 photos' in printed and 'validation: 1 photos' in printed
  assert all(apparel in printed for apparel in sample.APPAREL)


def test_photos_vary_in_size(photos):
  sizes = np.array([photo.size for photo in photos])
  assert sizes.min() >= 200 and sizes.max() <= 320
  ratio = sizes[:, 0] / sizes[:, 1]
  assert ratio.min() < 0.8 and ratio.max() > 1.25


@pytest.mark.parametrize('apparel', sample.APPAREL)
@pytest.mark.parametrize(
  'attribute, one, other',
  [
    ('color', 'red', 'blue'),
    ('material', 'leather', 'suede'),
    ('age', 'adult', 'kids'),
    ('gender', 'men', 'women'),
  ],
)
def test_a_trait_shows(apparel, attribute, one, other):
  photo = plain_photo(apparel)
  first, second = (
    render.render(with_trait(photo, attribute, label)).astype(int)
    for label in (one, other)
  )
  assert first.shape == second.shape == (*photo.size[::-1], 3)
  changed = np.abs(first - second).max(axis=2) > 15
  assert changed.mean() > 0.01


def test_colors_are_as_named():
  for apparel in sample.APPAREL:
    photo = plain_photo(apparel)
    red = render.render(with_trait(photo, 'color', 'red')).mean(axis=(0, 1))
    blue = render.render(with_trait(photo, 'color', 'blue')).mean(axis=(0, 1))
    assert red[0] > blue[0] and red[2] < blue[2]


def test_shares_of_the_classes(photos):
  drawn = shares(collections.Counter(p.garment.apparel for p in photos))
  expected = shares(collections.Counter(sample.APPAREL))
  assert drawn == pytest.approx(expected, abs=0.03)


def test_sparsity_is_that_of_the_paper(photos):
  per_photo = sum(len(p.labels) for p in photos) / len(photos)
  assert per_photo == pytest.approx(1.5, abs=0.06)
  for attribute, share in sample.ASKED.items():
    filled = labels_of(photos, attribute).total() / len(photos)
    assert filled == pytest.approx(share, abs=0.025), attribute


@pytest.mark.parametrize('attribute, least', [('color', 4), ('material', 3)])
def test_some_labels_are_rare(photos, attribute, least):
  share_by_label = shares(labels_of(photos, attribute))
  assert sum(share < 0.01 for share in share_by_label.values()) >= least
  assert sum(share > 0.02 for share in share_by_label.values()) >= 8


def test_attributes_depend_on_the_class(photos):
  def share(attribute, label, **where):
    return shares(traits_of(photos, attribute, **where)).get(label, 0)

  assert share('material', 'leather', apparel='shoe') > 0.35
  assert share('material', 'leather', apparel='dress') < 0.05
  assert share('material', 'denim', apparel='pants') > 0.3
  assert share('gender', 'women', apparel='dress') > 0.95
  assert 0.4 < share('gender', 'women', apparel='pants') < 0.6
  assert share('color', 'black', age='adult') > 2 * share(
    'color', 'black', age='kids'
  )
  assert share('color', 'pink', gender='men', age='adult') < 0.02


def test_labels_are_wrong_as_often_as_stated(photos):
  apparel, label, total = 0, 0, 0
  for photo in photos:
    own = [x for x in photo.labels if x[0].startswith(photo.garment.apparel)]
    apparel += bool(photo.labels) and not own
    wrong = [x for x in own if photo.garment.traits[x[0].split(':')[1]] != x[1]]
    label, total = label + len(wrong), total + len(own)
  share = apparel / len(photos)
  assert share == pytest.approx(sample.WRONG_APPAREL, abs=0.012)
  assert label / total == pytest.approx(sample.WRONG_LABEL, abs=0.015)


def test_a_handful_is_irregular(photos):
  tasks = [[task for task, _ in photo.labels] for photo in photos]
  irregular = {
    'two classes': sum(len({t.split(':')[0] for t in x}) > 1 for x in tasks),
    'repeated': sum(len(set(x)) < len(x) for x in tasks),
    'without': sum(not x for x in tasks),
  }
  for name, count in irregular.items():
    assert 2 <= count <= 20, name


def test_tables_use_kaggles_words():
  for apparel in sample.APPAREL:
    table, kinds = catalog.TABLES[apparel], catalog.TABLES['kinds'][apparel]
    details = [table['details'], *kinds.values()]
    labels = {*kinds, *table['color']}
    for detail in details:
      for attribute in detail.keys() - {'wearer'}:
        labels |= detail[attribute].keys()
        assert f'{apparel}:{attribute}' in catalog.TASK_IDS
    assert labels <= catalog.LABEL_IDS.keys()


def test_all_that_there_is_can_be_rendered(photos):
  """A photo of each kind of garment, material, pattern, shape, background."""
  missing = set()
  for photo in photos:
    known = {(photo.background,), (photo.manner,)}
    known |= {(photo.garment.apparel, *x) for x in photo.garment.traits.items()}
    if known - missing:
      missing |= known
      assert render.render(photo).std() > 1
