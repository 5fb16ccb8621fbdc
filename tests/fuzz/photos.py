"""Fuzzes the decoding of photos: anything but a InvalidImage is a find."""

import contextlib
import io
import pathlib
import resource
import sys
import tempfile

import atheris

with atheris.instrument_imports():
  from imat_jax.data import image_validation, preprocess
  from imat_jax.data.types import Resize

FOLDER = pathlib.Path(tempfile.mkdtemp())
(FOLDER / 'target').mkdir()
# An input that needs more has found a way around the bound.
resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))


def one_input(body: bytes) -> None:
  with contextlib.suppress(image_validation.InvalidImage):
    size = image_validation.check(body, 8)
    assert size.width * size.height <= image_validation.MAX_PIXELS
  (FOLDER / 'a.jpg').write_bytes(body)
  stored, failed = preprocess.store(
    ['a'], FOLDER, FOLDER / 'target', Resize(16)
  )
  assert len(stored) + len(failed) == 1
  for path, _ in stored.values():
    with image_validation.opened(io.BytesIO(path.read_bytes())) as image:
      assert image.size == (16, 16)


if __name__ == '__main__':
  atheris.Setup(sys.argv, one_input)
  atheris.Fuzz()
