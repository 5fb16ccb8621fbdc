"""Exports a trained run to one file that does not need this package.

  python -m imat_jax.export --run=runs/demo --format=stablehlo
  python -m imat_jax.export --run=runs/demo --format=onnx --output=demo.onnx

The file has the network of the best epoch, from any number of photos to a
probability per label of each task, and as metadata the tasks, their label names
and the preprocessing. stablehlo is for jax, with the package flatbuffers, on
CPU, GPU or TPU; onnx is for onnxruntime and others, and writing it needs
jax2onnx: pip install 'imat_jax[onnx]'. docs/export.md shows how to load each.
"""

import dataclasses
import pathlib
from typing import Literal

from imat_jax import config, errors, options
from imat_jax.runtime import files, outputs, progress, run_folders
from imat_jax.training import trained_model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(options.Config):
  """Options of `imat_jax.export`."""

  run: str = config.place('workdir of a trained run')
  format: Literal['stablehlo', 'onnx'] = options.option(
    'stablehlo: for jax; onnx: for onnxruntime and others', 'stablehlo'
  )
  output: str = config.file(
    'file to write; empty: RUN/model.stablehlo or RUN/model.onnx', ''
  )


def main(command: Export) -> None:
  """Writes the file and prints its tasks."""
  run_folders.check(command.run)
  path = target(command)
  # Imported late, so that --help and path errors are fast.
  from imat_jax import artefact

  if command.format == 'onnx':
    artefact.converter()  # raises before the run is loaded
  trained = trained_model.load(command.run)
  progress.say(f'{command.run}: exporting to {command.format}')
  write = {'stablehlo': artefact.stablehlo, 'onnx': artefact.onnx}
  content = write[command.format](trained)
  outputs.write_bytes(path, content)
  print(f'{path}: {len(content) / 1e6:.1f} MB')
  for task in trained.task_set:
    print(f'  {task.name}: {len(task.labels)} labels')


def target(command: Export) -> pathlib.Path:
  """The file to write.

  Raises:
    UserError: it cannot be written.
  """
  if command.output:
    path = pathlib.Path(command.output)
  elif files.is_url(command.run):
    raise errors.UserError(
      f'{command.run}: is in a bucket; set --output=FILE to a local file'
    )
  else:
    path = pathlib.Path(command.run, f'model.{command.format}')
  if command.output and not path.parent.is_dir():
    raise errors.UserError(
      f'{path.parent}: no such folder; create it, or choose another --output'
    )
  outputs.check(path)
  return path


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, Export)
