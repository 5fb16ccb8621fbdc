"""Serves a web page that labels photos with a trained run.

  pip install 'imat_jax[demo]'
  python -m imat_jax.demo --run=runs/demo

prints the page's address. For a dropped photo the page shows each task's
probabilities and saliency map (imat_jax/models/saliency.py). Only this machine
can open it, unless --host=0.0.0.0. Photos have the size limits of the download.
"""

import dataclasses
import io
import os
import pathlib
from typing import TYPE_CHECKING

from PIL import Image

from imat_jax import config, errors, options, validators
from imat_jax.runtime import extras, run_folders

if TYPE_CHECKING:
  import gradio

  from imat_jax import inference

_MAX_MAPS = 12  # tasks with a saliency map
_TOP = 5
_MESSAGES = {
  'not_an_image': 'Not a photo: use JPEG, PNG, WebP, GIF, AVIF, BMP or TIFF.',
  'truncated': 'This photo is incomplete.',
  'damaged': 'This photo is damaged.',
  'too_small': 'This photo is too small.',
  'too_large': 'This photo has too many pixels.',
  'too_slow': 'This photo takes too long to decode.',
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demo(options.Config):
  """Options of `imat_jax.demo`."""

  run: str = config.place('workdir of a trained run')
  host: str = options.option(
    'address to serve at; 0.0.0.0 for all', '127.0.0.1'
  )
  port: int = options.option(
    'port to serve at', 7860, validators.between(1, 65535)
  )
  max_bytes: int = options.option(
    'maximum file size of a photo', 25_000_000, validators.at_least(1)
  )
  min_side: int = options.option(
    'minimum width and height in pixels', 8, validators.at_least(1)
  )


def main(command: Demo) -> None:
  """Serves the page until interrupted."""
  run_folders.check(command.run)
  extras.require('gradio', 'demo', 'the page')
  # Imported late, so that --help and path errors are fast.
  gradio = _gradio()
  from imat_jax import inference

  predictor = inference.Predictor(command.run, batch_size=1)
  print(f'http://{command.host}:{command.port} (Ctrl-C to stop)', flush=True)
  page(predictor, command.min_side).launch(
    quiet=True,
    server_name=command.host,
    server_port=command.port,
    max_file_size=command.max_bytes,
    theme=gradio.themes.Default(font='system-ui', font_mono='monospace'),
    footer_links=[],
    # These would contact other machines, or start another server.
    share=False,
    ssr_mode=False,
  )


def page(
  predictor: 'inference.Predictor', min_side: int
) -> 'gradio.blocks.Blocks':
  """The page, not yet served.

  Args:
    predictor: of the run.
    min_side: minimum width and height of a photo in pixels.
  """
  gradio = _gradio()
  names = predictor.task_set.names

  def answer(path):
    if path is None:
      return [None] * (len(names) + 1)
    try:
      return look(predictor, path, min_side)
    except errors.UserError as error:
      raise gradio.Error(str(error), print_exception=False) from None

  with gradio.Blocks(
    title='imat_jax', analytics_enabled=False, delete_cache=(600, 600)
  ) as blocks:
    gradio.Markdown('## What does this photo show?')
    with gradio.Row():
      with gradio.Column():
        photo = gradio.File(
          label='A photo', file_types=['image'], type='filepath'
        )
        maps = gradio.Gallery(
          label='What the network sees, and where it looks (orange)',
          columns=3,
          height='auto',
          interactive=False,
          format='png',
          buttons=[],
        )
      with gradio.Column():
        probabilities = [
          gradio.Label(label=name, num_top_classes=_TOP) for name in names
        ]
    photo.change(answer, photo, [maps, *probabilities], api_name='look')
  return blocks


def look(predictor: 'inference.Predictor', path: str, min_side: int) -> list:
  """The photo with its saliency maps, and label → probability of each task.

  Raises:
    UserError: not a valid photo.
  """
  from imat_jax.data import image_validation, preprocess
  from imat_jax.models import saliency

  body = pathlib.Path(path).read_bytes()
  try:
    image_validation.check(body, min_side)
  except image_validation.InvalidImage as error:
    raise errors.UserError(_MESSAGES[str(error)]) from None
  image_HxWxC = predictor.prepare(io.BytesIO(body))
  if isinstance(image_HxWxC, str):
    is_slow = image_HxWxC == preprocess.TOO_SLOW
    raise errors.UserError(_MESSAGES['too_slow' if is_slow else 'damaged'])
  trained, task_set = predictor.trained, predictor.task_set
  (probability_TxK,) = predictor.probabilities(image_HxWxC[None])
  map_TxHxW = saliency.saliency(
    trained.run.model, task_set, trained.variables, image_HxWxC
  )
  overlays = [
    (saliency.overlay(image_HxWxC, map_HxW), name)
    for name, map_HxW in zip(
      task_set.names[:_MAX_MAPS], map_TxHxW, strict=False
    )
  ]
  probabilities = [
    dict(zip(task.labels, map(float, probability_K), strict=False))
    for task, probability_K in zip(task_set, probability_TxK, strict=True)
  ]
  return [[(Image.fromarray(image_HxWxC), 'photo'), *overlays], *probabilities]


def _gradio():
  """Gradio, configured to contact no other machine."""
  os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')
  os.environ.setdefault('HF_HUB_OFFLINE', '1')
  import gradio

  return gradio


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, Demo)
