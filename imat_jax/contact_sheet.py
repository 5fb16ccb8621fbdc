"""An image grid: photos in rows, each with its predicted labels below."""

import io
import pathlib
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from imat_jax import errors, inference, tasks
from imat_jax.data import image_validation, preprocess

_SIDE = 180  # of a photo
_GAP = 10
_LINE = 17
_TEXT = 13
_COLUMNS = 8
_MOST_TASKS = 8  # that have a line
_INK, _SURE, _UNSURE = '#222222', '#1a7f37', '#b35900'


def draw(
  predictions: Sequence[inference.Prediction], task_set: tasks.TaskSet
) -> bytes:
  """A PNG of photos with the likeliest label of each of the first tasks.

  A label is green where the run is confident: a probability of 0.5 or more.
  """
  names = task_set.names[:_MOST_TASKS]
  columns = max(1, min(_COLUMNS, len(predictions)))
  rows = -(-len(predictions) // columns)
  width, height = _SIDE + _GAP, _SIDE + _GAP + _LINE * (len(names) + 1)
  sheet = Image.new(
    'RGB', (columns * width + _GAP, max(1, rows) * height + _GAP), 'white'
  )
  pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
  for number, prediction in enumerate(predictions):
    row, column = divmod(number, columns)
    left, top = _GAP + column * width, _GAP + row * height
    photo = _thumbnail(prediction.path)
    sheet.paste(photo, (left + (_SIDE - photo.width) // 2, top))
    top += _SIDE + 2
    title = errors.printable(pathlib.Path(prediction.path).name)
    pen.text((left, top), _cut(pen, title, font), _INK, font)
    for line, name in enumerate(names, 1):
      ((label, probability),) = prediction.best(task_set, name)
      text = _cut(pen, errors.printable(f'{probability:.2f} {label}'), font)
      color = _SURE if probability >= 0.5 else _UNSURE
      pen.text((left, top + line * _LINE), text, color, font)
  body = io.BytesIO()
  sheet.save(body, 'PNG')
  return body.getvalue()


def _thumbnail(path: str) -> Image.Image:
  with image_validation.opened(pathlib.Path(path)) as image:
    image.draft('RGB', (_SIDE, _SIDE))
    upright = preprocess.upright_rgb(image)
  upright.thumbnail((_SIDE, _SIDE))
  return upright


def _cut(pen: ImageDraw.ImageDraw, text: str, font) -> str:
  """As much of the text as fits below a photo."""
  while text and pen.textlength(text, font) > _SIDE:
    text = text[:-2].rstrip('…') + '…' if len(text) > 2 else ''
  return text
