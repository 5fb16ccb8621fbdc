"""A PNG is a photo, whatever its metadata chunks."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from imat_jax import inference
from imat_jax.data import image_validation, png, preprocess
from imat_jax.data.types import Resize

RNG = np.random.default_rng(0)
IMAGE = Image.fromarray(RNG.integers(0, 256, (20, 30, 3), np.uint8))


def saved(image: Image.Image = IMAGE, **options) -> bytes:
  body = io.BytesIO()
  image.save(body, 'PNG', **options)
  return body.getvalue()


PLAIN = saved()
HEAD, END = 33, len(PLAIN) - 12  # behind IHDR, before IEND


def chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
  if checksum is None:
    checksum = zlib.crc32(kind + content)
  framed = struct.pack('>I', len(content)) + kind + content
  return framed + struct.pack('>I', checksum)


def text(size: int) -> bytes:
  return b'k\0\0' + zlib.compress(b'y' * size)


HISTORY = b'XML:com.adobe.xmp\0\1\0\0\0' + zlib.compress(b'y ' * 2_000_000)
NOTES = {
  'long text': chunk(b'zTXt', text(3_000_000)),
  'history of edits': chunk(b'iTXt', HISTORY),
  'many texts': b''.join(chunk(b'zTXt', text(900_000)) for _ in range(80)),
  'plain text': chunk(b'tEXt', b'k\0' + b'y' * 5_000_000),
  'profile of a printer': chunk(b'iCCP', text(3_000_000)),
  'profile that does not unpack': chunk(b'iCCP', b'k\0\0nonsense'),
  'profile of another method': chunk(b'iCCP', b'k\0\7nonsense'),
  'wrong checksum of a text': chunk(b'tEXt', b'k\0v', checksum=7),
  'wrong checksum of EXIF': chunk(b'eXIf', b'MM\0*', checksum=7),
  'wrong checksum of a time': chunk(b'tIME', b'\0' * 7, checksum=7),
  'short gamma': chunk(b'gAMA', b'\0'),
  'short size': chunk(b'pHYs', b'\0'),
  'unknown': chunk(b'prVt', b'?', checksum=7),
}


@pytest.mark.parametrize('name', NOTES)
@pytest.mark.parametrize('place', [HEAD, END])
def test_notes_cost_no_photo(tmp_path, name, place):
  body = PLAIN[:place] + NOTES[name] + PLAIN[place:]
  assert image_validation.check(body, 8).width == 30
  path = tmp_path / 'a.jpg'
  path.write_bytes(body)
  clean = preprocess.encoded(io.BytesIO(PLAIN), Resize(16)).jpeg
  assert preprocess.encoded(path, Resize(16)).jpeg == clean
  assert inference.prepare(path, (12, 12), Resize(16)).shape == (12, 12, 3)


def test_no_chunk_of_the_image_is_dropped():
  """Its palette, what is transparent, and how it was turned."""
  exif = Image.Exif()
  exif[0x0112] = 6
  for image, options in (
    (IMAGE.convert('P'), {'transparency': 3}),
    (IMAGE.convert('L'), {'transparency': 3}),
    (IMAGE.convert('RGBA'), {'exif': exif}),
  ):
    body = saved(image, **options)
    read = Image.open(io.BytesIO(png.strip_metadata(body)))
    assert read.tobytes() == Image.open(io.BytesIO(body)).tobytes()
    assert read.info.get('transparency') == options.get('transparency')
    assert read.getexif() == Image.open(io.BytesIO(body)).getexif()


@pytest.mark.parametrize('how', ['add_text', 'add_itxt'])
@pytest.mark.parametrize('packed', [False, True])
def test_an_editor_may_say_in_a_text_how_it_is_turned(how, packed):
  info = PngImagePlugin.PngInfo()
  value = '<x tiff:Orientation="6"/>'
  getattr(info, how)('XML:com.adobe.xmp', value, zip=packed)
  body = png.strip_metadata(saved(pnginfo=info))
  assert Image.open(io.BytesIO(body)).getexif()[0x0112] == 6


def test_the_first_frame_of_an_animation():
  body = saved(save_all=True, append_images=[Image.new('RGB', IMAGE.size)])
  assert preprocess.encoded(io.BytesIO(body), Resize(16)).jpeg == (
    preprocess.encoded(io.BytesIO(PLAIN), Resize(16)).jpeg
  )


@pytest.mark.parametrize(
  'body, error',
  [
    (PLAIN[:-60], 'truncated'),
    (PLAIN[:HEAD] + chunk(b'tEXt', b'x' * 99)[:50], 'truncated'),
    (PLAIN[:60] + bytes(99) + PLAIN[159:], 'damaged'),
    (PLAIN[:HEAD] + PLAIN[END:], 'damaged'),
    (PLAIN[:29] + b'oops' + PLAIN[HEAD:], 'damaged'),
  ],
)
def test_truncated_is_what_is_cut_off(body, error):
  with pytest.raises(image_validation.InvalidImage, match=error):
    image_validation.check(body, 8)
