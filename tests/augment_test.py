import math
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from imat_jax import config
from imat_jax.data import augment

STILL = config.Augmentation(rotation=0.0, shift=0.0, zoom=0.0, flip=0.0)
FILLS = ('nearest', 'constant', 'reflect')
TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
MIRROR = np.diag([-1.0, 1.0, 1.0])


class Parameters(NamedTuple):
  """What a random warp was made of."""

  angle: float  # degrees
  shift_x: float  # shares of the width
  shift_y: float
  zoom_x: float
  zoom_y: float
  is_mirrored: bool


def draw(number, augmentation):
  number_B = np.array([number], np.uint32)
  return augment.random_warps(np.uint32(0), 'test', number_B, augmentation)[0]


def parameters(matrix) -> Parameters:
  """Takes rotate(shift(zoom(mirror(point)))) apart.

  Fails where the matrix is no such composition.
  """
  np.testing.assert_array_equal(matrix[2], [0, 0, 1])
  (a, b), (c, d) = matrix[:2, :2]
  assert a * b + c * d == pytest.approx(0, abs=1e-6)
  angle = math.atan2(-b, d)
  cos, sin = math.cos(angle), math.sin(angle)
  signed_x = a * cos + c * sin
  x, y = matrix[:2, 2]
  return Parameters(
    angle=math.degrees(angle),
    shift_x=(x * cos + y * sin) / 2,
    shift_y=(y * cos - x * sin) / 2,
    zoom_x=abs(signed_x),
    zoom_y=math.hypot(b, d),
    is_mirrored=signed_x < 0,
  )


def place(point, drawn: Parameters):
  """Where a point of the output lies in the photo; ±1 are the edges."""
  x, y = point
  x = -x if drawn.is_mirrored else x
  x, y = x * drawn.zoom_x, y * drawn.zoom_y
  # A share of the width, which is 2.
  x, y = x + 2 * drawn.shift_x, y + 2 * drawn.shift_y
  angle = math.radians(drawn.angle)
  cos, sin = math.cos(angle), math.sin(angle)
  return x * cos - y * sin, x * sin + y * cos


def pixel(photo, column: int, row: int, fill: str):
  """The photo's pixel, or what stands in its stead outside of it."""
  height, width = photo.shape[:2]
  inside = 0 <= column < width and 0 <= row < height
  if fill == 'constant' and not inside:
    return np.zeros(3)
  if fill == 'reflect':  # dcba|abcd|dcba, and so on
    column, row = column % (2 * width), row % (2 * height)
    column = min(column, 2 * width - 1 - column)
    row = min(row, 2 * height - 1 - row)
  return photo[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]


def bilinear(photo, x: float, y: float, fill: str):
  """The photo at a place in pixels; centres are at whole numbers."""
  column, row = math.floor(x), math.floor(y)
  u, v = x - column, y - row
  return (
    (1 - u) * (1 - v) * pixel(photo, column, row, fill)
    + u * (1 - v) * pixel(photo, column + 1, row, fill)
    + (1 - u) * v * pixel(photo, column, row + 1, fill)
    + u * v * pixel(photo, column + 1, row + 1, fill)
  )


def around(x: float):
  """Coordinates between which cv2 may sample when it is asked for x.

  cv2 rounds a place to 1/32 pixel, so it is off by 1/64 at most, and by next to
  nothing from its fixed-point sums. Bilinear interpolation is monotone from one
  whole number to the next: over such a span its extremes are at the ends, or
  at a whole number between them.
  """
  reach = 1 / 64 + 1 / 500
  return x - reach, x + reach, min(max(round(x), x - reach), x + reach)


def slow_bounds(photo, drawn: Parameters, shape: tuple[int, int], fill: str):
  """The least and the most that each output pixel may be, H × W × 3."""
  height, width = photo.shape[:2]
  least, most = np.empty((2, *shape, 3))
  for row in range(shape[0]):
    for column in range(shape[1]):
      point = (2 * column + 1) / shape[1] - 1, (2 * row + 1) / shape[0] - 1
      x, y = place(point, drawn)
      x, y = (x + 1) * width / 2 - 0.5, (y + 1) * height / 2 - 0.5
      samples = [
        bilinear(photo, near_x, near_y, fill)
        for near_x in around(x)
        for near_y in around(y)
      ]
      least[row, column] = np.min(samples, axis=0)
      most[row, column] = np.max(samples, axis=0)
  return least, most


def noise(height, width, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize('fill', FILLS)
@pytest.mark.parametrize(
  'seed, stored, shape',
  [(0, 20, (16, 16)), (1, 20, (16, 12)), (2, 9, (9, 14)), (3, 20, (5, 5))],
)
def test_a_random_warp_agrees_with_the_definition(seed, stored, shape, fill):
  photo = noise(stored, stored)
  matrix = draw(seed, config.Augmentation())
  warped = augment.warp(photo, matrix, shape, fill)
  assert (warped.shape, warped.dtype) == ((*shape, 3), np.uint8)
  least, most = slow_bounds(photo, parameters(matrix), shape, fill)
  # One gray level for the rounding of the weights and of the result.
  assert (warped >= least - 1).all()
  assert (warped <= most + 1).all()


@pytest.mark.parametrize('fill', FILLS)
def test_a_warp_of_extremes_agrees_with_the_definition(fill):
  """Far outside of the photo, mirrored, upside down, and not square."""
  photo = noise(7, 12)
  drawn = Parameters(170.0, 0.9, -0.8, 1.9, 1.6, True)
  corners = [place(p, drawn) for p in ((0, 0), (1, 0), (0, 1))]
  origin, right, down = np.array(corners)
  matrix = np.eye(3)
  matrix[:2] = np.stack([right - origin, down - origin, origin], axis=1)
  warped = augment.warp(photo, matrix, (11, 8), fill)
  least, most = slow_bounds(photo, drawn, (11, 8), fill)
  assert (warped >= least - 1).all()
  assert (warped <= most + 1).all()


def test_parameters_are_in_their_ranges_and_fill_them():
  augmentation = config.Augmentation(
    rotation=30.0, shift=0.1, zoom=0.4, flip=0.5
  )
  drawn = np.array(
    [parameters(draw(seed, augmentation)) for seed in range(2000)]
  )
  bounds = [(-30, 30), (-0.1, 0.1), (-0.1, 0.1), (0.6, 1.4), (0.6, 1.4)]
  for values, (low, high) in zip(drawn.T, bounds, strict=False):
    width = high - low
    slack = 1e-6 * width
    assert low - slack <= values.min() < low + 0.01 * width
    assert high - 0.01 * width < values.max() <= high + slack
    # Uniform: the quartiles of 2,000 draws are off by 0.01 in a deviation.
    quarters = (np.quantile(values, [0.25, 0.5, 0.75]) - low) / width
    np.testing.assert_allclose(quarters, [0.25, 0.5, 0.75], atol=0.05)


def test_parameters_are_independent_of_each_other():
  augmentation = config.Augmentation()
  drawn = np.array(
    [parameters(draw(seed, augmentation)) for seed in range(2000)]
  )
  related = np.corrcoef(drawn.T) - np.eye(6)
  assert np.abs(related).max() < 0.1


@pytest.mark.parametrize('flip', [0.0, 0.2, 0.5, 1.0])
def test_the_share_of_mirror_images(flip):
  augmentation = config.Augmentation(flip=flip)
  drawn = [parameters(draw(seed, augmentation)) for seed in range(1000)]
  share = np.mean([result.is_mirrored for result in drawn])
  assert share == pytest.approx(flip, abs=0.05 if 0 < flip < 1 else 0)


def test_the_same_number_draws_the_same_warp():
  augmentation = config.Augmentation()
  np.testing.assert_array_equal(draw(3, augmentation), draw(3, augmentation))
  assert not np.allclose(draw(3, augmentation), draw(4, augmentation))


def test_zero_augmentation_is_the_identity():
  np.testing.assert_array_equal(draw(5, STILL), augment.IDENTITY)


@pytest.mark.parametrize('fill', ['nearest', 'reflect'])
@pytest.mark.parametrize('stored, side', [(40, 32), (32, 40), (40, 10)])
def test_zero_augmentation_is_a_plain_resize(stored, side, fill):
  # Neighbours differ by 50 at most, hence by 50 / 64 in each direction over the
  # 1/64 pixel that either function may be off, plus a rounding each.
  photo = cv2.resize(noise(5, 5), (stored, stored))
  photo = (photo // 5).astype(np.uint8)
  warped = augment.warp(photo, draw(0, STILL), (side, side), fill)
  resized = cv2.resize(photo, (side, side), interpolation=cv2.INTER_LINEAR)
  np.testing.assert_allclose(warped.astype(int), resized, atol=3)


@pytest.mark.parametrize('fill', FILLS)
def test_identity_at_the_same_size_changes_nothing(fill):
  photo = noise(23, 23)
  warped = augment.warp(photo, augment.IDENTITY, (23, 23), fill)
  np.testing.assert_array_equal(warped, photo)


@pytest.mark.parametrize('fill', FILLS)
def test_flip_1_is_a_mirror_image(fill):
  augmentation = config.Augmentation(
    rotation=0.0, shift=0.0, zoom=0.0, flip=1.0
  )
  photo = noise(24, 24)
  warped = augment.warp(photo, draw(1, augmentation), (24, 24), fill)
  np.testing.assert_array_equal(warped, photo[:, ::-1])


@pytest.mark.parametrize('fill', FILLS)
@pytest.mark.parametrize('side', [23, 24])
def test_a_quarter_turn_is_exact(side, fill):
  photo = noise(side, side)
  warped = augment.warp(photo, TURN, (side, side), fill)
  np.testing.assert_array_equal(warped, np.rot90(photo))
  warped = augment.warp(photo, TURN @ MIRROR, (side, side), fill)
  np.testing.assert_array_equal(warped, np.rot90(photo)[:, ::-1])


def test_a_shift_of_a_quarter_moves_by_a_quarter_of_the_width():
  matrix = np.eye(3)
  matrix[0, 2] = 0.5  # the width is 2
  photo = noise(16, 16)
  warped = augment.warp(photo, matrix, (16, 16), 'constant')
  np.testing.assert_array_equal(warped[:, :12], photo[:, 4:])
  assert (warped[:, 12:] == 0).all()
  warped = augment.warp(photo, matrix, (16, 16), 'nearest')
  np.testing.assert_array_equal(warped[:, 12:], photo[:, [15] * 4])
  warped = augment.warp(photo, matrix, (16, 16), 'reflect')
  np.testing.assert_array_equal(warped[:, 12:], photo[:, [15, 14, 13, 12]])


def test_a_crop_is_a_part_of_the_photo_of_the_right_size():
  """Its corners lie in the photo; area and ratio fill their ranges."""
  plain = dict.fromkeys(('rotation', 'shift', 'zoom', 'flip'), 0.0)
  augmentation = config.Augmentation(**plain, crop=0.3)
  matrix = augment.random_warps(
    np.uint32(1), 'augment', np.arange(4000, dtype=np.uint32), augmentation
  )
  corners = matrix @ np.array([[-1, 1], [-1, 1], [1, 1]], np.float32)
  assert np.abs(corners[:, :2]).max() <= 1 + 1e-6
  width, height = matrix[:, 0, 0], matrix[:, 1, 1]
  area, whole = width * height, np.maximum(width, height) < 1
  assert 0.29 < area.min() < 0.31 and 0.95 < area.max() <= 1
  ratio = (width / height)[whole]  # longer ones are cut off
  assert (
    0.75 - 1e-6 <= ratio.min() < 0.76 and 1.32 < ratio.max() <= 4 / 3 + 1e-6
  )
  assert abs(np.corrcoef(corners[:, 0, 0] + width, area)[0, 1]) < 0.05


def test_a_zoom_over_one_shows_more_than_the_photo():
  photo = np.full((16, 16, 3), 200, np.uint8)
  zoomed_out = augment.warp(
    photo, np.diag([2.0, 2.0, 1.0]), (16, 16), 'constant'
  )
  assert (zoomed_out[5:11, 5:11] == 200).all()
  assert (zoomed_out[:3] == 0).all()
  zoomed_in = augment.warp(
    photo, np.diag([0.5, 0.5, 1.0]), (16, 16), 'constant'
  )
  assert (zoomed_in == 200).all()
