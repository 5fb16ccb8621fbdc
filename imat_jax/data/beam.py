"""`preprocess.store` on the workers of an Apache Beam pipeline.

They run the code of `preprocess`, so the data set has the same bytes. Results
come back as JSON lines in a shared folder, the pipeline's `--temp_location` or
one on this machine.
"""

import base64
import io
import json
import os
import pathlib
import shlex
import tempfile
import uuid
from collections.abc import Iterator, Sequence

import numpy as np

from imat_jax import errors
from imat_jax.data import preprocess
from imat_jax.data.types import Resize
from imat_jax.runtime import extras, files


def store(
  image_ids: Sequence[str],
  source: str,
  target: pathlib.Path,
  resize: Resize,
  options: str,
) -> tuple[dict[str, preprocess.Stored], dict[str, str]]:
  """See `preprocess.store`.

  Args:
    image_ids: names of the photos, `f'{source}/{image_id}.jpg'`.
    source: a folder or URL that every worker can read.
    target: an empty local folder for the `Spool`.
    resize: to what, and how.
    options: the pipeline's, as on the command line of a Beam program.

  Raises:
    UserError: Beam is not installed, or rejects the options.
  """
  beam, beam_options = _beam(options)
  stored, failed, spool = {}, {}, preprocess.Spool(target)
  with tempfile.TemporaryDirectory(dir=target) as temp_dir:
    shared = beam_options.get_all_options().get('temp_location') or temp_dir
    parts = f'{shared.rstrip("/")}/imat_jax-{uuid.uuid4().hex}/photos'
    with beam.Pipeline(options=beam_options) as pipeline:
      _ = (
        pipeline
        | beam.Create(list(enumerate(image_ids)))
        | beam.Reshuffle()
        | beam.Map(_line, source, resize)
        | beam.io.WriteToText(parts)
      )
    for number, result in _lines(parts):
      results = stored if isinstance(result, preprocess.Encoded) else failed
      if results is stored:
        result = spool.put(result)
      results[image_ids[number]] = result
    _filesystems().delete([parts.rpartition('/')[0]])
  return tuple(
    {key: results[key] for key in image_ids if key in results}
    for results in (stored, failed)
  )


def _beam(options: str):
  extras.require('apache_beam', 'beam', '--beam')
  import apache_beam
  from apache_beam.options import pipeline_options

  try:
    beam_options = pipeline_options.PipelineOptions(
      list(map(_expanded, shlex.split(options)))
    )
    apache_beam.runners.create_runner(
      beam_options.get_all_options().get('runner') or 'DirectRunner'
    )
  except ValueError as error:
    raise errors.UserError(f'--beam: {error}') from error
  return apache_beam, beam_options


def _expanded(option: str) -> str:
  """`--name=~/folder` with `~` expanded."""
  name, equals, value = option.rpartition('=')
  return name + equals + os.path.expanduser(value)


def _filesystems():
  from apache_beam.io.filesystems import FileSystems

  return FileSystems


def _line(numbered: tuple[int, str], source: str, resize: Resize) -> str:
  """A photo as JSON: its number, then JPEG and hash, or the error."""
  number, image_id = numbered
  result = _encoded(image_id, source, resize)
  if isinstance(result, preprocess.Encoded):
    jpeg = base64.b64encode(result.jpeg).decode()
    return json.dumps([number, jpeg, result.hash_4.tolist()])
  return json.dumps([number, result])


def _encoded(
  image_id: str, source: str, resize: Resize
) -> preprocess.Encoded | str:
  from apache_beam.io.filesystem import BeamIOError

  if not files.is_safe_name(image_id):
    return preprocess.NO_FILE
  try:
    with _filesystems().open(f'{source}/{image_id}.jpg') as file:
      body = file.read()
  except (FileNotFoundError, BeamIOError):
    return preprocess.NO_FILE
  return preprocess.encoded(io.BytesIO(body), resize)


def _lines(parts: str) -> Iterator[tuple[int, preprocess.Encoded | str]]:
  (matched,) = _filesystems().match([f'{parts}-*'])
  for metadata in matched.metadata_list:
    with _filesystems().open(metadata.path) as file:
      for line in file:
        number, result, *hash_4 = json.loads(line)
        if hash_4:
          result = preprocess.Encoded(
            base64.b64decode(result), np.array(*hash_4, np.uint64)
          )
        yield number, result
