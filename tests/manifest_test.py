"""The manifest accepts any bytes, as of a killed run or an editor."""

import dataclasses
import json
import pathlib
import tempfile

from hypothesis import given
from hypothesis import strategies as st

from imat_jax.data import image_validation, manifest

VALUES = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
  lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
  max_leaves=8,
)
NAMES = [field.name for field in dataclasses.fields(manifest.Entry)]
TEXTS = st.text()
SIZES = st.integers(1, 10**5)
CAME = st.builds(
  lambda image_id, url, width, height, attempts: manifest.ok(
    image_id, url, image_validation.Picture('0' * 64, width, height), attempts
  ),
  TEXTS,
  st.none() | TEXTS,
  SIZES,
  SIZES,
  SIZES,
)
FAILED = st.builds(manifest.failed, TEXTS, st.none() | TEXTS, TEXTS, SIZES)


def _read(content: bytes) -> dict[str, manifest.Entry]:
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, 'a.manifest.jsonl')
    path.write_bytes(content)
    return manifest.read(path)


@given(st.binary() | st.lists(st.sampled_from(b'{}[]":,\n0aZ\\')).map(bytes))
def test_any_bytes_are_lines_or_none(content):
  for key, line in _read(content).items():
    assert line.imageId == key


@given(st.fixed_dictionaries({name: VALUES for name in NAMES}))
def test_any_values_are_a_line_or_none(fields):
  for line in _read(json.dumps(fields).encode()).values():
    assert isinstance(line.is_permanent, bool)
    assert isinstance(line.imageId, str)


@given(st.lists(CAME | FAILED, max_size=8), st.integers(0, 400))
def test_what_is_written_is_read_whatever_was_torn_off(lines, cut):
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, 'a.manifest.jsonl')
    manifest.write(path, lines)
    last = {line.imageId: line for line in lines}
    assert manifest.read(path) == last
    whole = path.read_bytes()
    torn = whole[: max(len(whole) - cut, 0)]
    path.write_bytes(torn)
    number = torn.count(b'\n')
    read = manifest.read(path)
    remaining = {line.imageId: line for line in lines[:number]}
    assert remaining.keys() <= read.keys()
    assert all(line in lines for line in read.values())
