import codecs
import io

import pytest
from PIL import Image

from imat_jax.data import file_kinds


def _jpeg_2000() -> bytes:
  body = io.BytesIO()
  Image.new('RGB', (8, 8)).save(body, 'JPEG2000')
  return body.getvalue()


FILES = {
  'HEIC': b'\x00\x00\x00\x18ftypheic\x00\x00',
  'JPEG 2000': _jpeg_2000(),
  'JPEG XL': b'\xff\x0a\xfa',
  'SVG': b'<?xml version="1.0"?><!-- drawn --><svg xmlns="">',
  'HTML page': b'\r\n <!DOCTYPE html><html><svg>'.replace(b'<svg>', b''),
  'XML': b'<?xml version="1.0"?><Error><Code>AccessDenied',
  'JSON': b'{"error": "not found"}',
  'PDF': b'%PDF-1.7',
  'film or camera raw': b'\x00\x00\x00\x20ftypisom',
  'Git LFS pointer': b'version https://git-lfs.github.com/spec/v1',
  'empty file': b'',
  'nothing but zeros': bytes(100),
  'text': b'404: not found',
  'no known format': b'\x07\x01\x02\x03',
}


@pytest.mark.parametrize('kind', FILES)
def test_kinds_are_distinguished(kind):
  assert file_kinds.name(FILES[kind][: file_kinds.HEAD]) == kind


@pytest.mark.parametrize('mark', [codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
def test_pages_with_a_byte_order_mark(mark):
  encoding = 'utf-8' if mark == codecs.BOM_UTF8 else 'utf-16-le'
  page = mark + '<html>Straße'.encode(encoding)
  assert file_kinds.name(page) == 'HTML page'
