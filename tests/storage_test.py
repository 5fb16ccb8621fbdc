"""Copies from and to a bucket, and a data set in one."""

import pathlib
import sys
import threading

import bucket
import pytest

from imat_jax import doctor, errors
from imat_jax.data import build, configs, source, tfds_builder
from imat_jax.runtime import files, outputs, storage

URL = 's3://shop/folder'
MARKS = ('SEAL.json', 'evaluation.json')


@pytest.fixture
def shop(tmp_path):
  """A bucket; its folder on this machine."""
  with bucket.known(tmp_path) as folder:
    yield folder
  storage.cached_download.cache_clear()


@pytest.fixture
def done(monkeypatch) -> list[str]:
  """What is done in buckets: actions and names."""
  calls = []
  monkeypatch.setattr(
    bucket, 'done', lambda *what: calls.append(f'{what[0]} {_last(what[1])}')
  )
  return calls


def _last(path: str) -> str:
  return path.rpartition('/')[2]


def _fill(folder: pathlib.Path, **content: str) -> None:
  for name, text in content.items():
    path = folder / name.replace('__', '/')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _content(folder: pathlib.Path) -> dict[str, str]:
  return {
    path.relative_to(folder).as_posix(): path.read_text()
    for path in sorted(folder.rglob('*'))
    if path.is_file()
  }


def _all(listing: storage.Listing) -> storage.Listing:
  return listing


def _copied(*parts: str) -> pathlib.Path:
  """As another process would."""
  return storage.cached_download.__wrapped__(URL, parts or ('/',), _all)


# How a place is written.


@pytest.mark.parametrize(
  'place',
  [
    'gs://b/a/folder',
    's3://b',
    's3://b/',
    'az://b/a.b/..c/',
    'data/built',
    '/tmp/a:b',
    '',
  ],
)
def test_a_folder_or_a_url_is_taken(place):
  assert doctor.Doctor(data_dir=place).data_dir == place


@pytest.mark.parametrize(
  'place',
  [
    'gs:/b/folder',
    'gcs://b/folder',
    'https://b/folder',
    's3://',
    's3:///folder',
    's3://b//folder',
    's3://b/../folder',
    's3://b/a/..',
    's3://b/./a',
  ],
)
def test_any_other_url_is_refused(place):
  with pytest.raises(
    ValueError, match='--workdir=.*: must be a folder, or gs:'
  ):
    doctor.Doctor(workdir=place)


def test_photos_and_annotations_stay_on_this_machine():
  with pytest.raises(ValueError, match='--images=.*: must be a local folder'):
    configs.Build(annotations='a', images='gs://b/c', data_dir='gs://b/d')


# Copies of what is only read.


def test_a_copy_is_made_once_for_each_version(shop, done):
  _fill(shop / 'folder', a='one', sub__b='two')
  _fill(shop / 'folder-too', c='three')
  first = _copied()
  assert _content(first) == {'a': 'one', 'sub/b': 'two'}
  done.clear()
  assert _copied() == first
  assert not [what for what in done if what.startswith('get')]
  _fill(shop / 'folder', a='other')
  second = _copied()
  assert _content(second) == {'a': 'other', 'sub/b': 'two'}
  assert _content(first) == {'a': 'one', 'sub/b': 'two'}


def test_a_process_sees_one_version(shop):
  _fill(shop / 'folder', a='one')
  first = storage.cached_download(URL, ('/',), _all)
  _fill(shop / 'folder', a='other')
  assert storage.cached_download(URL, ('/',), _all) == first


def test_only_the_parts_that_are_asked_for_are_copied(shop):
  _fill(shop / 'folder', a='one', ab='no', sub__b='two', subway__c='no')
  folder = _copied('a', 'sub/', 'none', 'nothing/')
  assert _content(folder) == {'a': 'one', 'sub/b': 'two'}


def test_an_interrupted_download_is_repeated(shop):
  _fill(shop / 'folder', a='one', b='two')
  (shop.parent / 'refuses').write_text('get folder/b')
  with pytest.raises(errors.UserError, match=f'{URL}: Access Denied'):
    _copied()
  (partial,) = files.cache_folder().glob('copies/*.partial')
  _fill(partial, a='half', c='left over')
  (shop.parent / 'refuses').unlink()
  assert _content(_copied()) == {'a': 'one', 'b': 'two'}


def test_what_changes_meanwhile_is_copied_again(shop, monkeypatch):
  _fill(shop / 'folder', a='one', b='two')
  changes = [
    lambda: (shop / 'folder' / 'b').unlink(),
    lambda: _fill(shop / 'folder', a='three'),  # another size
  ]

  def interfere(action, path):
    if action == 'get' and _last(path) == 'a' and changes:
      changes.pop()()

  monkeypatch.setattr(bucket, 'done', interfere)
  assert _content(_copied()) == {'a': 'three'}
  assert not changes


def test_what_changes_all_the_time_is_an_error(shop, monkeypatch):
  _fill(shop / 'folder', a='0')

  def interfere(action, path):
    if action == 'get':
      count = int((shop / 'folder' / 'a').read_text())
      _fill(shop / 'folder', a=str(count + 1))

  monkeypatch.setattr(bucket, 'done', interfere)
  with pytest.raises(errors.UserError, match='changed while being copied'):
    _copied()


def test_a_file_of_another_size_is_another(shop, tmp_path):
  _fill(shop / 'folder', a='one')
  with pytest.raises(
    storage.ConcurrentChange, match='^s3://shop/folder/a: changed'
  ):
    storage.RemoteDir(URL).get({'a': storage.File(4, 'x')}, tmp_path)


def test_two_at_once_make_one_copy(shop, done, capsys):
  _fill(shop / 'folder', a='one')
  (shop.parent / 'slow').write_text('0.1')
  folders = []
  threads = [
    threading.Thread(target=lambda: folders.append(_copied())) for _ in range(3)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert len(folders) == 3 and len(set(folders)) == 1
  assert done.count('get a') == 1


# What a bucket may do.


def test_a_bucket_that_is_not_there_is_one_line(shop):
  there = storage.RemoteDir('s3://elsewhere/folder')
  for act in (there.list, there.check, lambda: there.write('a', b'')):
    with pytest.raises(
      errors.UserError, match='^s3://elsewhere/folder: no such'
    ):
      act()


@pytest.mark.parametrize('action', ['list', 'read', 'write', 'put', 'remove'])
def test_a_bucket_that_refuses_is_one_line(shop, tmp_path, action):
  _fill(shop / 'folder', a='one')
  (shop.parent / 'refuses').write_text(action)
  there = storage.RemoteDir(URL)
  with pytest.raises(
    errors.UserError, match=f'^{URL}: Access Denied'
  ) as output:
    there.list()
    there.read('a')
    there.check()
    there.update(shop / 'folder', ['a'], [], ())
  assert '\n' not in str(output.value)


def test_a_missing_package_names_the_extra(monkeypatch):
  monkeypatch.setitem(sys.modules, 'adlfs', None)
  with pytest.raises(errors.UserError, match=r'adlfs: pip install .*\[azure\]'):
    storage.RemoteDir('az://shop/folder').list()


def test_a_name_that_leads_elsewhere_is_refused(shop, monkeypatch):
  infos = {'shop/folder/../../../evil': {'type': 'file', 'size': 1, 'etag': ''}}
  monkeypatch.setattr(bucket.Buckets, 'find', lambda *_, **__: infos)
  with pytest.raises(errors.UserError, match='is not a file name'):
    _copied()


def test_folders_in_a_listing_are_ignored(shop, monkeypatch):
  infos = {
    'shop/folder/': {'type': 'file', 'size': 0, 'etag': 'x'},
    'shop/folder/sub': {'type': 'directory', 'size': 0},
    'shop/folder/sub/a': {'type': 'file', 'size': 1, 'ETag': '"x"'},
  }
  monkeypatch.setattr(bucket.Buckets, 'find', lambda *_, **__: infos)
  listing = storage.RemoteDir(URL).list()
  assert listing == {'sub/a': storage.File(1, '"x"')}


# Copies to a bucket.


def test_marks_are_the_last_to_come_and_the_first_to_go(shop, tmp_path, done):
  here = tmp_path / 'here'
  _fill(here, a='1', run__evaluation='', x__SEAL='', x__b='2')
  for path in [*here.rglob('SEAL'), *here.rglob('evaluation')]:
    path.rename(path.with_suffix('.json'))
  _fill(shop / 'folder', old__c='3')
  _fill(shop / 'folder' / 'old', **{'SEAL.json': '4'})
  names = ['run/evaluation.json', 'x/SEAL.json', 'a', 'x/b']
  storage.RemoteDir(URL).update(here, names, ['old/c', 'old/SEAL.json'], MARKS)
  order = [what for what in done if what.split()[0] in ('put', 'remove')]
  assert order.index('remove SEAL.json') < order.index('put a')
  assert order[-5:] == [
    'put a',
    'put b',
    'put SEAL.json',
    'put evaluation.json',
    'remove c',
  ]
  assert _content(shop / 'folder') == _content(here)


def test_a_missing_local_file_is_not_an_error_of_the_bucket(shop, tmp_path):
  with pytest.raises(storage.ConcurrentChange):
    storage.RemoteDir(URL).update(tmp_path, ['gone'], [], ())


# Data sets.


def _build(kaggle, **flags) -> None:
  options = {
    'annotations': str(kaggle.annotations),
    'images': str(kaggle.images),
    'data_dir': 's3://shop/built',
  }
  build.main(configs.Build(**options | flags))
  storage.cached_download.cache_clear()


def test_a_data_set_is_built_into_a_bucket(kaggle, built, shop, capsys):
  _build(kaggle)
  there = source.read_metadata('s3://shop/built')
  assert there == source.read_metadata(built)
  task_set = source.read_tasks('s3://shop/built')
  ours = source.Source('s3://shop/built', 'train', task_set)
  theirs = source.Source(built, 'train', task_set)
  assert len(ours) == len(theirs) == 50
  assert ours[49].jpeg == theirs[49].jpeg
  names = {_last(name) for name in _names(shop / 'built')}
  assert {'statistics.json', 'near_duplicates.csv', 'metadata.json'} <= names
  assert not list(files.cache_folder().glob('build-*'))
  _build(kaggle)
  assert (
    's3://shop/built/imaterialist/1.0.0: this data set'
    in capsys.readouterr()[0]
  )
  assert source.read_metadata('s3://shop/built') == there
  with pytest.raises(errors.UserError, match='^s3://shop/.* a different data'):
    _build(kaggle, image_size=64)
  assert source.read_metadata('s3://shop/built') == there
  _build(kaggle, image_size=64, overwrite=True)
  assert source.read_metadata('s3://shop/built')['image_size'] == 64
  assert {_last(name) for name in _names(shop / 'built')} == names


def _names(folder: pathlib.Path) -> list[str]:
  return [str(path) for path in folder.rglob('*') if path.is_file()]


def test_half_a_data_set_counts_as_none(kaggle, shop, done):
  (shop.parent / 'refuses').write_text('put metadata.json')
  with pytest.raises(errors.UserError, match='Access Denied'):
    _build(kaggle)
  assert _names(shop / 'built')
  with pytest.raises(errors.UserError, match='^s3://shop/built: no data set'):
    source.read_metadata('s3://shop/built')
  assert not [what for what in done if what.startswith('get')]


@pytest.mark.parametrize(
  'name', ['statistics.json', f'{tfds_builder.FOLDER}/notes.txt']
)
def test_files_of_the_users_in_a_bucket_stay(kaggle, shop, name):
  _build(kaggle)
  path = shop / 'built' / name
  path.write_text('mine')
  before = source.read_metadata('s3://shop/built')
  with pytest.raises(errors.UserError, match=f'^s3://shop/built/{name}'):
    _build(kaggle, image_size=64, overwrite=True)
  assert path.read_text() == 'mine'
  assert source.read_metadata('s3://shop/built') == before


def test_half_of_an_upload_is_known_as_ours(kaggle, shop):
  (shop.parent / 'refuses').write_text(f'put {outputs.RECORD}')
  with pytest.raises(errors.UserError, match='Access Denied'):
    _build(kaggle)
  (shop / 'built' / 'lost_photos.csv').write_text(
    'split,image_id,reason,file,link\n'
  )  # came, in whatever order
  (shop.parent / 'refuses').unlink()
  _build(kaggle)
  assert source.read_metadata('s3://shop/built')['image_size'] == 128


def test_no_hour_is_lost_on_a_bucket_that_takes_nothing(kaggle, shop, capsys):
  (shop.parent / 'refuses').write_text('write')
  with pytest.raises(errors.UserError, match='Access Denied'):
    _build(kaggle)
  assert not capsys.readouterr().out


def test_the_doctor_looks_into_buckets(built, shop):
  _fill(shop / 'built', **{'statistics.json': '{}'})
  folder = shop / 'built' / tfds_builder.FOLDER
  folder.parent.mkdir(parents=True)
  folder.symlink_to(tfds_builder.directory(built))
  flags = doctor.Doctor(data_dir='s3://shop/built', workdir='s3://shop/run')
  finding_by_name = {finding.what: finding for finding in doctor.examine(flags)}
  assert 's3://shop/run: wrote and removed' in finding_by_name['bucket'].seen
  assert (
    '.cache/imat_jax/remote/s3/shop/run: ' in finding_by_name['workdir'].seen
  )
  assert '50 train, 21 validation' in finding_by_name['data set'].seen
  assert not any(finding.wrong for finding in finding_by_name.values())
  assert not list(shop.glob('run/*'))


def test_a_missing_bucket_is_found_by_the_doctor(shop):
  flags = doctor.Doctor(data_dir='s3://no/built', workdir='s3://no/run')
  finding_by_name = {finding.what: finding for finding in doctor.examine(flags)}
  assert 'no such bucket' in finding_by_name['bucket'].wrong
  assert 'no such bucket' in finding_by_name['data set'].wrong
