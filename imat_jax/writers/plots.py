"""Plots of a training run: a grid of photos, a confusion matrix."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from imat_jax import errors
from imat_jax.training import scores

_ACROSS, _GAP = 8, 4  # of a grid: images, and pixels between them
_CAPTION, _LETTERS = 16, 12  # pixels of a line, and of its letters
_LONGEST = 24  # letters of a label
_CELLS, _SMALLEST, _LARGEST = 640, 16, 44  # of a matrix: pixels, and of a cell
_NUMBERED = 26  # pixels of a cell that has room for a number
_MARGIN, _LINE = 10, 18
_NONE, _ALL = np.array([255, 255, 255]), np.array([11, 100, 145])
_INK, _PAPER, _EMPTY = (20, 20, 20), (255, 255, 255), (228, 228, 228)


class Caption(NamedTuple):
  """A line of text below an image."""

  text: str
  color: str | tuple[int, int, int] = _INK


def image_grid(
  images: Sequence[Image.Image], captions: Sequence[Sequence[Caption]] = ()
) -> Image.Image:
  """Images in rows of eight, unscaled, each with its captions below."""
  captions = captions or [()] * len(images)
  width = max((image.width for image in images), default=1)
  height = max((image.height for image in images), default=1)
  lines = max(map(len, captions), default=0)
  across = max(1, min(len(images), _ACROSS))
  step_x, step_y = width + _GAP, height + lines * _CAPTION + _GAP
  rows = max(1, -(-len(images) // across))
  sheet = Image.new(
    'RGB', (across * step_x - _GAP, rows * step_y - _GAP), _PAPER
  )
  pen, font = ImageDraw.Draw(sheet), _font(_LETTERS)
  for i, (image, below) in enumerate(zip(images, captions, strict=True)):
    left, top = i % across * step_x, i // across * step_y
    sheet.paste(image, (left + (width - image.width) // 2, top))
    for line, (text, color) in enumerate(below):
      place = left + 2, top + height + line * _CAPTION + 1
      text = _cut(errors.printable(text), font, width - 4)
      pen.text(place, text, color, font)
  return sheet


def confusion(
  confusion_KxK: np.ndarray, labels: Sequence[str], title: str
) -> Image.Image:
  """A confusion matrix, in % of each row's photos.

  Rows are true labels with their numbers of photos, columns predicted ones;
  rows without photos are grey.
  """
  names = [_short(label) for label in labels]
  support_K = confusion_KxK.sum(1)
  rows = [f'{n} ({s})' for n, s in zip(names, support_K, strict=True)]
  share_KxK = scores.row_shares(confusion_KxK)
  cell = int(np.clip(_CELLS // len(names), _SMALLEST, _LARGEST))
  font, lines = (
    _font(12),
    [title, 'rows: true (photos), in %; columns: predicted'],
  )
  left = max(map(font.getlength, rows)) + 2 * _MARGIN
  top = max(map(font.getlength, names)) + len(lines) * _LINE + 3 * _MARGIN
  left, top, side = round(left), round(top), cell * len(names)
  width = max(left + side, *(round(font.getlength(x)) for x in lines))
  sheet = Image.new('RGB', (width + _MARGIN, top + side + _MARGIN), _PAPER)
  draw = ImageDraw.Draw(sheet)
  for i, line in enumerate(lines):
    draw.text((_MARGIN, _MARGIN + i * _LINE), line, _INK, font)
  for k, (row, column) in enumerate(zip(rows, names, strict=True)):
    middle = k * cell + cell // 2
    draw.text((left - _MARGIN // 2, top + middle), row, _INK, font, 'rm')
    _draw_upright(sheet, (left + middle, top - _MARGIN // 2), column, font)
    for j in range(len(names)):
      place = left + j * cell, top + k * cell
      share = share_KxK[k, j] if support_K[k] else None
      _draw_cell(draw, place, cell, share)
  return sheet


def png(image: Image.Image) -> bytes:
  """The image as a PNG file."""
  file = io.BytesIO()
  image.save(file, 'PNG')
  return file.getvalue()


def _draw_upright(
  sheet: Image.Image, foot: tuple[int, int], text: str, font
) -> None:
  """Writes a vertical line of text above the middle of its column."""
  strip = Image.new('L', (round(font.getlength(text)) + 1, _LINE))
  ImageDraw.Draw(strip).text((0, _LINE // 2), text, 255, font, 'lm')
  strip = strip.rotate(90, expand=True)
  place = foot[0] - _LINE // 2, foot[1] - strip.height
  sheet.paste(_INK, place, strip)


def _draw_cell(
  draw: ImageDraw.ImageDraw,
  place: tuple[int, int],
  cell: int,
  share: float | None,
) -> None:
  x, y = place
  color = _EMPTY
  if share is not None:
    color = tuple(np.rint(_NONE + share * (_ALL - _NONE)).astype(int))
  corners = x, y, x + cell - 1, y + cell - 1
  draw.rectangle(corners, color, outline=_EMPTY)
  percent = round(100 * (share or 0))
  if percent and cell >= _NUMBERED:
    ink = _PAPER if share > 0.5 else _INK
    middle = x + cell // 2, y + cell // 2
    draw.text(middle, str(percent), ink, _font(12), 'mm')


def _short(label: str) -> str:
  text = errors.printable(label)
  return text if len(text) <= _LONGEST else f'{text[: _LONGEST - 1]}…'


def _cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
  """As much of the text as fits."""
  while text and font.getlength(text) > width:
    text = text[:-2].rstrip('…') + '…' if len(text) > 2 else ''
  return text


def _font(size: int):
  return ImageFont.load_default(size)
