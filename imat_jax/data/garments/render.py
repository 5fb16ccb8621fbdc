"""From a sampled photo to pixels: a pure function of the `Photo`."""

import cv2
import numpy as np

from imat_jax.data.garments import backgrounds, clothes, shoes, textures
from imat_jax.data.garments.rasterize import Part, draw
from imat_jax.data.garments.sample import Garment, Photo
from imat_jax.data.garments.textures import Cloth

# How hard the photos are: shares of all, and standard deviations.
OCCLUDED = 0.06  # something lies over the garment
ZOOM = (0.8, 1.0)  # least and greatest share of the frame that it fills
SHIFT = 0.03  # of the frame's side
ROTATION = 5.0  # degrees, where nobody wears it
EXPOSURE = 0.1  # of the logarithm
CAST = 0.04  # of the gains of red, green and blue
BLUR = 1.8  # pixels, the greatest standard deviation
NOISE = 0.05  # of white, the greatest standard deviation

_SKINS = ((0.94, 0.8, 0.71), (0.73, 0.52, 0.38), (0.42, 0.28, 0.2))
_HAIRS = ((0.14, 0.11, 0.09), (0.45, 0.3, 0.18), (0.73, 0.55, 0.33))
_MANNEQUIN, _HANGER = Cloth((0.87, 0.85, 0.83)), Cloth((0.25, 0.2, 0.18))


def jpeg(photo: Photo) -> bytes:
  """The file of a photo."""
  bgr = cv2.cvtColor(render(photo), cv2.COLOR_RGB2BGR)
  quality = [cv2.IMWRITE_JPEG_QUALITY, 45 + photo.seed % 50]
  _, content = cv2.imencode('.jpg', bgr, quality)
  return content.tobytes()


def render(photo: Photo) -> np.ndarray:
  """The photo as uint8 [H, W, 3], RGB."""
  rng, size = np.random.default_rng(photo.seed), np.array(photo.size)
  image_HxWxC = backgrounds.draw(photo.background, photo.size[::-1], rng)
  light = rng.normal(-0.35, 0.3), -rng.uniform(0.2, 0.8)
  for other in () if photo.is_worn else photo.others:
    parts, zoom = _lying(other, rng), rng.uniform(0.3, 0.65)
    at = size * _off_centre(rng, 0.45)
    matrix = _matrix(parts, size, at, zoom, rng.normal(0, 30))
    draw(image_HxWxC, parts, matrix, light, rng)
  parts, aim = _worn(photo, rng) if photo.is_worn else _shown(photo, rng)
  at = size * (0.5 + rng.normal(0, SHIFT, 2))
  # A person who is turned would float.
  angle = rng.normal(0, ROTATION) * (0.25 if photo.is_worn else 1)
  matrix = _matrix(aim, size, at, rng.uniform(*ZOOM), angle)
  draw(image_HxWxC, parts, matrix, light, rng)
  if rng.random() < OCCLUDED:
    at = size * _off_centre(rng, rng.uniform(0.2, 0.5))
    backgrounds.clutter(image_HxWxC, at, 0.18 * min(photo.size), rng)
  if rng.random() < 0.5:
    image_HxWxC = image_HxWxC[:, ::-1]
  return _exposed(image_HxWxC, rng)


def _shown(photo: Photo, rng) -> tuple[list[Part], list[Part]]:
  """What lies or hangs, and at what the camera is aimed: the same."""
  parts = _lying(photo.garment, rng)
  if photo.manner == 'hanger':
    is_pants = photo.garment.apparel == 'pants'
    y = clothes.WAIST if is_pants else clothes.SHOULDER
    bar = np.array([(-0.75, y + 0.1), (0, y - 0.35), (0.75, y + 0.1)])
    hook = np.array([(0, y - 0.35), (0, y - 0.65), (0.12, y - 0.75)])
    parts = [Part(bar, _HANGER, 0.09), Part(hook, _HANGER, 0.05), *parts]
  return parts, parts


def _lying(garment: Garment, rng: np.random.Generator) -> list[Part]:
  if garment.apparel == 'shoe':
    return shoes.lying(garment, rng)
  who = clothes.body(garment.size, rng.uniform(8, 60), rng)
  return clothes.cut(garment, who)


def _worn(photo: Photo, rng) -> tuple[list[Part], list[Part]]:
  """A person with everything on, and at what the camera is aimed."""
  skin, hair = _MANNEQUIN, None
  if photo.manner == 'worn':
    skin = Cloth(textures.shade_of(_SKINS[rng.integers(3)], rng), 'skin')
    hair = Cloth(_HAIRS[rng.integers(3)], 'fur')
  who = clothes.body(photo.garment.size, 10, rng)
  aim = clothes.cut(photo.garment, who)
  worn = {x.apparel: clothes.cut(x, who) for x in photo.others}
  worn[photo.garment.apparel] = aim
  top = skin if 'dress' in worn else Cloth(textures.dull(rng), 'cotton')
  parts = list(clothes.person(who, skin, hair, top))
  for apparel in ('pants', 'dress', 'outerwear'):
    parts += worn.get(apparel, [])
  return parts, aim


def _off_centre(rng: np.random.Generator, away: float) -> np.ndarray:
  angle = rng.uniform(0, 2 * np.pi)
  return 0.5 + away * np.array([np.cos(angle), np.sin(angle)])


def _matrix(aim: list[Part], size, at, zoom: float, angle: float) -> np.ndarray:
  """From units to pixels: `aim` fills `zoom` of the frame, at `at`."""
  points = np.concatenate([part.outline for part in aim])
  low, high = points.min(0), points.max(0)
  centre = (low + high) / 2
  scale = zoom * min(size / (high - low))
  matrix = cv2.getRotationMatrix2D(tuple(centre), angle, scale)
  matrix[:, 2] += at - centre
  return matrix


def _exposed(image_HxWxC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """What the camera makes of the light."""
  gains = np.exp(rng.normal(0, EXPOSURE)) * (1 + rng.normal(0, CAST, 3))
  image_HxWxC = cv2.convertScaleAbs(image_HxWxC * np.float32(255 * gains))
  blur = 0.2 + BLUR * rng.random() ** 2
  image_HxWxC = cv2.GaussianBlur(image_HxWxC, (0, 0), blur)
  grain = rng.integers(0, 256, image_HxWxC.shape, np.uint8)
  gain = 255 * NOISE * rng.random() ** 2 / 73.9  # the deviation of bytes
  return cv2.addWeighted(image_HxWxC, 1, grain, gain, -127.5 * gain)
