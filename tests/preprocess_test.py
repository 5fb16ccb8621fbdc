import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from imat_jax import inference
from imat_jax.data import image_validation, preprocess
from imat_jax.data.types import Resize

SIDE = 16
RED, GREEN, BLUE = (200, 40, 40), (40, 180, 60), (40, 60, 200)
GRAY, WHITE = (128, 128, 128), (255, 255, 255)
QUADRANTS = [[RED, GREEN], [BLUE, GRAY]]

# JPEG is lossy; the colors stand further apart than this.
CLOSE = 12


def quadrants(width=48, height=32, colors=QUADRANTS, mode='RGB'):
  image = Image.new(mode, (width, height))
  for row, line in enumerate(colors):
    for column, color in enumerate(line):
      corner = (column * width // 2, row * height // 2)
      image.paste(Image.new(mode, (width // 2, height // 2), color), corner)
  return image


def body(image, kind='JPEG', **options) -> bytes:
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


@pytest.fixture
def square(tmp_path):
  """A function: the stored form of a file's content, as colors H × W × 3."""

  def of(content: bytes) -> np.ndarray:
    path = tmp_path / 'photo.jpg'
    path.write_bytes(content)
    stored = preprocess.square(path, Resize(SIDE))
    assert stored.mode == 'RGB'
    assert stored.size == (SIDE, SIDE)
    return np.asarray(stored, int)

  return of


def assert_quadrants(stored_HxWx3, colors):
  """Compares the middle of each quadrant."""
  middles = [SIDE // 4, 3 * SIDE // 4]
  corners = stored_HxWx3[np.ix_(middles, middles)]
  np.testing.assert_allclose(corners, np.array(colors), atol=CLOSE)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'BMP', 'GIF', 'TIFF'])
def test_any_format_under_the_name_jpg(square, kind):
  assert_quadrants(square(body(quadrants(), kind)), QUADRANTS)


@pytest.mark.parametrize('size', [(48, 32), (6, 200), (16, 16), (8, 8), (1, 1)])
def test_any_shape_is_squashed_without_a_crop(square, size):
  flat = size == (1, 1)
  image = Image.new('RGB', size, RED) if flat else quadrants(*size)
  assert_quadrants(
    square(body(image, 'PNG')), [[RED] * 2] * 2 if flat else QUADRANTS
  )


def test_a_photo_far_larger_than_needed(square):
  assert_quadrants(square(body(quadrants(1600, 1200))), QUADRANTS)


def test_each_pixel_of_a_large_photo_counts(square):
  """No aliasing: one-pixel stripes give their mean."""
  stripes = np.zeros((128, 128, 3), np.uint8)
  stripes[:, ::2] = 200
  stored = square(body(Image.fromarray(stripes), 'PNG'))
  np.testing.assert_allclose(stored, 100, atol=CLOSE)


def test_grayscale(square):
  grays = [[0, 80], [160, 255]]
  colors = [[(gray,) * 3 for gray in line] for line in grays]
  for kind in ('JPEG', 'PNG'):
    stored = square(body(quadrants(colors=grays, mode='L'), kind))
    assert_quadrants(stored, colors)


def test_cmyk(square):
  image = quadrants().convert('CMYK')
  assert_quadrants(square(body(image, 'JPEG')), QUADRANTS)


@pytest.mark.parametrize('alpha, color', [(0, WHITE), (255, BLUE)])
def test_transparency_becomes_white(square, alpha, color):
  image = quadrants()
  mask = quadrants(colors=[[255, 255], [alpha, 255]], mode='L')
  image.putalpha(mask)
  expected = [[RED, GREEN], [color, GRAY]]
  for kind in ('PNG', 'WEBP'):
    stored = square(body(image, kind, lossless=True))
    assert_quadrants(stored, expected)


def test_half_transparent_is_half_white(square):
  image = Image.new('RGBA', (32, 32), (*BLUE, 128))
  mixed = tuple((channel + 255) // 2 for channel in BLUE)
  assert_quadrants(square(body(image, 'PNG')), [[mixed] * 2] * 2)


@pytest.mark.parametrize('kind', ['PNG', 'GIF'])
def test_a_palette_with_a_transparent_color(square, kind):
  image = quadrants(colors=[[0, 1], [2, 3]], mode='P')
  image.putpalette([*RED, *GREEN, *BLUE, *GRAY])
  content = body(image, kind, transparency=1)
  assert_quadrants(square(content), [[RED, WHITE], [BLUE, GRAY]])


def test_grayscale_with_transparency(square):
  image = quadrants(colors=[[(90, 255), (90, 0)]] * 2, mode='LA')
  expected = [[(90,) * 3, WHITE]] * 2
  assert_quadrants(square(body(image, 'PNG')), expected)


# EXIF orientation → how a camera stored the upright picture.
TRANSPOSED = {
  1: None,
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_90,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize('orientation', TRANSPOSED)
@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_the_photo_is_upright(square, orientation, kind):
  image = quadrants(300, 200)
  method = TRANSPOSED[orientation]
  stored = image if method is None else image.transpose(method)
  exif = Image.Exif()
  exif[0x0112] = orientation
  assert_quadrants(square(body(stored, kind, exif=exif)), QUADRANTS)


def bad_bodies():
  noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
  image = Image.fromarray(noise)
  cut = {
    kind: body(image, kind)[: len(body(image, kind)) // 2]
    for kind in ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF')
  }
  return cut | {
    'empty': b'',
    'page': b'<!DOCTYPE html><html>gone</html>',
    'zeros': bytes(2000),
    'a head alone': body(image)[:20],
  }


@pytest.mark.parametrize('name', bad_bodies())
def test_a_photo_that_does_not_decode_is_counted(tmp_path, name):
  source, target = tmp_path / 'source', tmp_path / 'target'
  source.mkdir()
  target.mkdir()
  (source / 'bad.jpg').write_bytes(bad_bodies()[name])
  stored, failed = preprocess.store(['bad'], source, target, Resize(SIDE))
  assert (stored, failed) == ({}, {'bad': 'does not decode'})
  assert list(target.iterdir()) == []


def test_store_reports_each_photo(tmp_path):
  source, target = tmp_path / 'source', tmp_path / 'target'
  source.mkdir()
  target.mkdir()
  for name, color in (('b', RED), ('a', BLUE), ('d', GREEN)):
    Image.new('RGB', (40, 30), color).save(source / f'{name}.jpg')
  (source / 'c.jpg').write_bytes(b'no photo')
  ids = ['d', 'gone', 'b', 'c', 'a', 'not/there', 'x' * 300]
  stored, failed = preprocess.store(ids, source, target, Resize(SIDE))
  assert list(stored) == ['d', 'b', 'a']
  assert failed == {
    'gone': 'no file',
    'c': 'does not decode',
    'not/there': 'no file',
    'x' * 300: 'no file',
  }
  for name, color in (('b', RED), ('a', BLUE), ('d', GREEN)):
    with Image.open(io.BytesIO(stored[name].read())) as image:
      assert image.size == (SIDE, SIDE)
      assert image.getpixel((8, 8)) == pytest.approx(color, abs=CLOSE)
  # One file, as thousands of them would take minutes to be removed.
  assert len(list(target.iterdir())) == 1


def test_a_photo_gives_the_same_bytes_each_time(tmp_path):
  path = tmp_path / 'a.jpg'
  quadrants().save(path)
  jpegs = []
  for name in ('one', 'two'):
    (tmp_path / name).mkdir()
    stored, _ = preprocess.store(['a'], tmp_path, tmp_path / name, Resize(SIDE))
    jpegs.append(stored['a'].read())
  one, two = jpegs
  assert one == two and Image.open(io.BytesIO(one)).size == (SIDE, SIDE)


def _store(tmp_path, body):
  (tmp_path / 'target').mkdir()
  (tmp_path / 'a.jpg').write_bytes(body)
  return preprocess.store(['a'], tmp_path, tmp_path / 'target', Resize(16))


def _encoded(image, kind, **options):
  body = io.BytesIO()
  image.save(body, kind, **options)
  return body.getvalue()


def test_a_damaged_avif_is_left_out(tmp_path):
  body = bytearray(_encoded(Image.new('RGB', (60, 40), 'red'), 'AVIF'))
  body[81] ^= 255
  assert _store(tmp_path, bytes(body)) == ({}, {'a': 'does not decode'})


def test_a_photo_with_damaged_exif_is_kept(tmp_path):
  exif = Image.Exif()
  exif[0x0112], exif[0x0100] = 6, 60
  red = Image.new('RGB', (60, 40), 'red')
  body = bytearray(_encoded(red, 'JPEG', exif=exif))
  body[43] = 1
  stored, _ = _store(tmp_path, bytes(body))
  assert list(stored) == ['a']


def test_a_photo_of_the_exact_size_is_resized_once_bicubic(tmp_path):
  rng = np.random.default_rng(0)
  photo = Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8))
  photo.save(tmp_path / 'a.png')
  stored = preprocess.square(tmp_path / 'a.png', Resize.of(24, exact_size=True))
  expected = photo.resize((24, 24), Image.Resampling.BICUBIC)
  np.testing.assert_array_equal(np.asarray(stored), np.asarray(expected))


def test_16_bit_gray_keeps_its_tone(tmp_path):
  gray = Image.fromarray(np.full((20, 20), 100 * 257, np.uint16))
  (tmp_path / 'a.jpg').write_bytes(_encoded(gray, 'PNG'))
  stored = preprocess.square(tmp_path / 'a.jpg', Resize(16))
  assert stored.getpixel((8, 8)) == pytest.approx((100,) * 3, abs=3)


def test_formats_are_those_of_the_download(tmp_path):
  body = _encoded(Image.new('RGB', (60, 40), 'red'), 'PPM')
  assert _store(tmp_path, body) == ({}, {'a': 'does not decode'})


def test_more_pixels_than_any_photo_has_are_left_out(tmp_path):
  """12,000 × 12,000 in kilobytes."""
  body = _encoded(Image.new('1', (12_000, 12_000)), 'PNG')
  assert len(body) < 50_000
  assert _store(tmp_path, body) == ({}, {'a': 'too many pixels'})


@pytest.mark.parametrize('size', [(1, 5000), (5000, 1)])
def test_a_line_of_pixels_is_a_photo(square, size):
  red = _encoded(Image.new('RGB', size, (200, 0, 0)), 'PNG')
  assert abs(square(red) - (200, 0, 0)).max() < 8


@pytest.mark.parametrize('kind', ['GIF', 'WEBP', 'PNG'])
def test_the_first_frame_of_an_animation_is_used(square, kind):
  first, *rest = (Image.new('RGB', (40, 40), c) for c in ('red', 'blue'))
  body = _encoded(first, kind, save_all=True, append_images=rest)
  assert abs(square(body) - (255, 0, 0)).max() < 8


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'GIF', 'AVIF', 'BMP'])
def test_a_photo_that_lacks_its_last_bytes(tmp_path, kind):
  """Left out where a decoder cannot tell what was there, else decoded."""
  rng = np.random.default_rng(0)
  noise = Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8))
  body = _encoded(noise, kind)
  for cut in (1, len(body) // 2):
    folder = tmp_path / str(cut)
    folder.mkdir()
    stored, failed = _store(folder, body[:-cut])
    assert set(failed.values()) <= {'does not decode'}
    assert len(stored) + len(failed) == 1
    assert failed or cut == 1


def test_an_id_leads_to_no_file_outside(tmp_path):
  folder = tmp_path / 'photos'
  (tmp_path / 'target').mkdir()
  folder.mkdir()
  quadrants().save(tmp_path / 'secret.jpg')
  ids = ['../secret', str(tmp_path / 'secret'), 'a\0', 'x' * 300]
  stored, failed = preprocess.store(
    ids, folder, tmp_path / 'target', Resize(16)
  )
  assert not stored and set(failed.values()) == {'no file'}


@pytest.mark.parametrize(
  'kind', ['JPEG', 'PNG', 'WEBP', 'GIF', 'AVIF', 'BMP', 'TIFF']
)
def test_what_breaks_off_is_truncated_and_nothing_else_is(kind):
  rng = np.random.default_rng(0)
  noise = Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8))
  body = _encoded(noise, kind)
  with pytest.raises(image_validation.InvalidImage, match='truncated'):
    image_validation.check(body[: len(body) // 2], 8)
  for place in (len(body) // 3, len(body) // 2, len(body) * 2 // 3):
    try:  # some decode it, with a spot
      image_validation.check(body[:place] + bytes(9) + body[place + 9 :], 8)
    except image_validation.InvalidImage as error:
      assert str(error) == 'damaged'


def slow_jpeg() -> bytes:
  """Thousands of scans, as an attack has them: half a minute in 80 kB."""
  body = _encoded(Image.new('RGB', (2000, 2000)), 'JPEG', progressive=True)
  last = body[body.rindex(b'\xff\xda') : -2]
  return body[:-2] + last * 6000 + body[-2:]


def test_a_photo_that_keeps_its_decoder_busy(tmp_path):
  """It costs itself, not the build."""
  (tmp_path / 'target').mkdir()
  (tmp_path / 'slow.jpg').write_bytes(slow_jpeg())
  quadrants().save(tmp_path / 'good.jpg')
  stored, failed = preprocess.store(
    ['slow', 'good'], tmp_path, tmp_path / 'target', Resize(SIDE)
  )
  assert list(stored) == ['good'] and failed == {'slow': 'too_slow'}
  # The same in a run that labels photos.
  assert (
    inference.prepare(tmp_path / 'slow.jpg', (SIDE, SIDE), Resize(SIDE))
    == 'too_slow'
  )


_MEASURE = """
import os, pathlib, sys, threading, time
from imat_jax.data import preprocess
from imat_jax.data.types import Resize

def resident():
  pids = [pathlib.Path(f'/proc/{os.getpid()}')]
  for tasks in pathlib.Path('/proc/self/task').glob('*/children'):
    pids += [pathlib.Path('/proc', pid) for pid in tasks.read_text().split()]
  pages = [int((pid / 'statm').read_text().split()[1]) for pid in pids]
  return sum(pages) * os.sysconf('SC_PAGE_SIZE') // 2**20

def watch():
  while True:
    peaks.append(resident())
    time.sleep(0.02)

peaks, before = [], resident()
threading.Thread(target=watch, daemon=True).start()
source, target = map(pathlib.Path, sys.argv[1:])
ids = sorted(path.stem for path in source.iterdir())
stored, failed = preprocess.store(ids, source, target, Resize(160))
print(len(stored), len(failed), max(peaks) - before)
"""


@pytest.mark.skipif(not os.path.exists('/proc/self'), reason='no /proc')
def test_large_photos_take_turns(tmp_path):
  """Each of these takes about 0.5 GB; all at once would take several."""
  source = tmp_path / 'source'
  source.mkdir()
  (tmp_path / 'target').mkdir()
  largest = _encoded(Image.new('RGBA', (7000, 7000), (9, 9, 9, 99)), 'PNG')
  for number in range(4):
    (source / f'{number}.jpg').write_bytes(largest)
  (source / 'bomb.jpg').write_bytes(
    _encoded(Image.new('1', (12_000, 12_000)), 'PNG')
  )
  command = [sys.executable, '-c', _MEASURE, source, tmp_path / 'target']
  done = subprocess.run(command, capture_output=True, text=True, check=True)
  stored, failed, mebibytes = map(int, done.stdout.split()[-3:])
  assert (stored, failed) == (4, 1)
  assert mebibytes < 1000
