"""From parameters to pixels: a pure function of the `Photo`."""

from collections.abc import Sequence

import numpy as np

from imat_jax.data.drawing import (
  camera,
  canvas,
  dresses,
  figure,
  outerwear,
  outline,
  palette,
  pants,
  profile,
  scene,
  shoes,
)
from imat_jax.data.drawing.canvas import Frame, Part
from imat_jax.data.drawing.cloth import Cloth
from imat_jax.data.drawing.figure import FIGURES, Pose
from imat_jax.data.drawing.garment import Garment
from imat_jax.data.drawing.population import Photo
from imat_jax.data.drawing.setting import Placement, Setting

_CUTS = {
  'pants': pants.parts,
  'dress': dresses.parts,
  'outerwear': outerwear.parts,
}
_HANGER = Cloth((0.25, 0.2, 0.18))


def draw(photo: Photo) -> np.ndarray:
  """The photo as uint8 [H, W, 3], RGB."""
  setting = photo.setting
  rng = np.random.default_rng(setting.seed)
  picture = scene.background(setting.background, setting.size, rng)
  if setting.manner in ('worn', 'mannequin'):
    parts, aim = _worn(photo, rng)
    _paste(picture, parts, aim, setting, setting.place, rng)
  else:
    for garment, place in setting.beside:
      parts = _lying(garment, rng)
      _paste(picture, parts, parts, setting, place, rng)
    parts = _lying(photo.garment, rng, setting.manner == 'hanger')
    _paste(picture, parts, parts, setting, setting.place, rng)
  if setting.occluded:
    scene.occlude(picture, rng)
  if setting.printed_over:
    scene.print_over(picture, rng)
  return camera.expose(picture, setting, rng)


def _paste(
  picture: np.ndarray,
  parts: Sequence[Part],
  aim: Sequence[Part],
  setting: Setting,
  place: Placement,
  rng: np.random.Generator,
) -> None:
  """Adds a drawing to the picture, its `aim` as large as `place` says."""
  frame = _frame(aim, setting, place)
  reach, depth = rng.uniform(2, 14), rng.uniform(0.15, 0.55)
  shadow = -setting.light[0] * reach, -setting.light[1] * reach
  canvas.draw(picture, parts, frame, rng, shadow, depth)


def _frame(aim: Sequence[Part], setting: Setting, place: Placement) -> Frame:
  low, high = outline.bounds([area for part in aim for area in part.areas])
  centre = (low + high) / 2
  width, height = setting.size
  scale = place.zoom * min(width / (high - low)[0], height / (high - low)[1])
  turn = np.radians(place.rotation)
  cos, sin = scale * np.cos(turn), scale * np.sin(turn)
  flip = -1 if place.mirrored else 1
  to_middle = np.array([[1, 0, -centre[0]], [0, 1, -centre[1]], [0, 0, 1]])
  turned = np.array([[flip * cos, -sin, 0], [flip * sin, cos, 0], [0, 0, 1]])
  tilted = np.eye(3)
  tilted[2, :2] = np.divide(place.tilt, (width / 4, height / 4))
  at = np.eye(3)
  at[:2, 2] = place.x * width, place.y * height
  matrix = at @ tilted @ turned @ to_middle
  return Frame(setting.size, matrix, tuple(centre), setting.light)


def _lying(garment: Garment, rng, on_hanger: bool = False) -> list[Part]:
  """A garment that nobody wears."""
  if garment.apparel == 'shoe':
    return _pair(garment, rng)
  spread = rng.uniform(4, 20) if on_hanger else rng.uniform(20, 70)
  arms = rng.normal(spread, 5, 2)
  elbows = rng.normal(-8, 12, 2)
  pose = Pose(tuple(arms), tuple(elbows), rng.uniform(0.42, 0.8))
  parts = _CUTS[garment.apparel](garment, FIGURES[garment.size], pose)
  return _hung(garment, parts) if on_hanger else parts


def _hung(garment: Garment, parts: list[Part]) -> list[Part]:
  y = figure.SHOULDER if garment.apparel != 'pants' else figure.WAIST
  bar = np.array([(-0.75, y + 0.1), (0, y - 0.35), (0.75, y + 0.1)])
  hook = np.array(
    [(0, y - 0.35), (0, y - 0.6), (0.12, y - 0.75), (0, y - 0.85)]
  )
  return [Part(bar, _HANGER, 0.09), Part(hook, _HANGER, 0.05), *parts]


def _pair(garment: Garment, rng) -> list[Part]:
  view = rng.random()
  if view < 0.35:
    return profile.parts(garment)
  if view < 0.7:
    gap = rng.uniform(-0.5, 0.6), -rng.uniform(0.25, 0.6)
    return shoes.pair_from_side(garment, gap)
  return shoes.pair_from_above(garment, rng.uniform(0.45, 0.6))


def _worn(photo: Photo, rng) -> tuple[list[Part], list[Part]]:
  """A person with everything on, and the parts the camera aims at."""
  garment, setting = photo.garment, photo.setting
  company = {other.apparel: other for other in setting.worn_with}
  skin, hair = _skin(setting, rng)
  if garment.apparel == 'shoe':
    gap = rng.uniform(-0.6, 1.4), -rng.uniform(0.0, 0.35)
    parts = shoes.on_legs(garment, company.get('pants'), skin, gap)
    return parts, profile.parts(garment)
  company[garment.apparel] = garment
  shape = FIGURES[garment.size]
  pose = _pose(rng)
  long_hair = garment.traits['gender'] == 'women' and rng.random() < 0.75
  parts = figure.body(shape, pose, skin, hair, long_hair)
  if 'shoe' in company:
    parts += shoes.on_feet(company['shoe'], shape, pose)
  if 'dress' not in company:
    parts += figure.shirt(shape, pose, Cloth(palette.dull(rng), 'cotton'), 3.6)
  aim = []
  for apparel in ('pants', 'dress', 'outerwear'):
    if apparel in company:
      worn = _CUTS[apparel](company[apparel], shape, pose)
      parts += worn
      aim = worn if apparel == garment.apparel else aim
  return parts, aim


def _skin(setting: Setting, rng) -> tuple[Cloth, Cloth | None]:
  if setting.manner == 'mannequin':
    return Cloth(palette.from_hex(palette.MANNEQUIN)), None
  hair = Cloth(palette.one_of(palette.HAIR, rng), 'hair')
  return Cloth(palette.one_of(palette.SKIN, rng), 'skin'), hair


def _pose(rng) -> Pose:
  arms = np.abs(rng.normal(10, 9, 2))
  if rng.random() < 0.2:  # a hand on the hip
    return Pose((arms[0], 42.0), (-10.0, -75.0), rng.uniform(0.36, 0.6))
  return Pose(tuple(arms), tuple(rng.normal(-6, 8, 2)), rng.uniform(0.36, 0.6))
