"""A person: proportions, a pose, and the body's parts.

The unit is the height of an adult's head; y runs from 0, the top of the head,
to FLOOR. The levels are those of everybody; children are wider and have larger
heads instead of being shorter, as a photo of one garment has no other scale.
"""

import dataclasses

import numpy as np

from imat_jax.data.drawing import outline
from imat_jax.data.drawing.canvas import Part
from imat_jax.data.drawing.cloth import Cloth

SHOULDER, ARMPIT, WAIST, HIP, CROTCH = 1.5, 2.15, 2.95, 3.75, 4.2
KNEE, ANKLE, FLOOR = 5.75, 7.3, 7.7


@dataclasses.dataclass(frozen=True)
class Figure:
  """Half widths, the width of a thigh, and the size of the head."""

  shoulder: float
  chest: float
  waist: float
  hip: float
  thigh: float
  head: float


@dataclasses.dataclass(frozen=True)
class Pose:
  """Angles of the arms in degrees from hanging down, and the step.

  Attributes:
    arms: of the upper arms; elbows: by how much the lower arms differ.
    stance: half the distance of the ankles.
  """

  arms: tuple[float, float]
  elbows: tuple[float, float]
  stance: float


FIGURES = {
  'men': Figure(0.98, 0.86, 0.74, 0.74, 0.66, 1.0),
  'women': Figure(0.80, 0.72, 0.55, 0.79, 0.66, 1.0),
  'kids': Figure(0.96, 0.92, 0.88, 0.92, 0.80, 1.3),
  'baby': Figure(1.16, 1.14, 1.14, 1.2, 1.04, 1.65),
}


def arm(figure: Figure, pose: Pose, side: int) -> np.ndarray:
  """Shoulder, elbow and wrist; `side` is -1 (left in the picture) or 1."""
  index = (side + 1) // 2
  upper = np.radians(pose.arms[index])
  lower = upper + np.radians(pose.elbows[index])
  shoulder = np.array([0.9 * figure.shoulder, SHOULDER + 0.16])
  elbow = shoulder + 1.25 * np.array([np.sin(upper), np.cos(upper)])
  wrist = elbow + 1.15 * np.array([np.sin(lower), np.cos(lower)])
  return np.array([shoulder, elbow, wrist]) * (side, 1)


def leg(figure: Figure, pose: Pose, side: int) -> np.ndarray:
  """Hip, knee and ankle."""
  hip = 0.5 * figure.hip
  knee = 0.45 * hip + 0.55 * pose.stance + 0.05
  path = [(hip, HIP + 0.2), (knee, KNEE), (pose.stance, ANKLE)]
  return np.array(path) * (side, 1)


def body(
  figure: Figure,
  pose: Pose,
  skin: Cloth,
  hair: Cloth | None,
  has_long_hair: bool,
) -> list[Part]:
  """A person without clothes; a mannequin has no hair and no head."""
  parts = []
  if hair and has_long_hair:
    parts.append(Part(_long_hair(figure), hair))
  for side in (-1, 1):
    parts.append(Part(_leg(figure, pose, side), skin))
    parts.append(Part(_arm(figure, pose, side), skin))
  parts.append(Part(_torso(figure), skin))
  neck = outline.box(-0.2, 0.8, 0.2, 1.5)
  parts.append(Part(neck, skin.dyed(0.85)))
  if hair:
    parts += _head(figure, skin, hair)
  return parts


def shirt(figure: Figure, pose: Pose, cloth: Cloth, hem: float) -> list[Part]:
  """A T-shirt, for those who would have nothing on."""
  sleeves = [
    Part(outline.ribbon(outline.along(arm(figure, pose, s), 0.42),
                        np.linspace(0.62, 0.55, 7)), cloth)
    for s in (-1, 1)
  ]  # fmt: skip
  right = [
    (0.3, SHOULDER - 0.12),
    (figure.shoulder, SHOULDER + 0.05),
    (figure.chest * 1.08, ARMPIT),
    (figure.waist * 1.15, WAIST),
    (figure.hip * 1.1, hem),
  ]
  return [*sleeves, Part(outline.mirrored(right), cloth)]


def _leg(figure, pose, side):
  path = outline.along(leg(figure, pose, side), 1, 9)
  shape = (1, 0.95, 0.82, 0.7, 0.6, 0.58, 0.56, 0.45, 0.34)
  return outline.ribbon(path, np.multiply(shape, figure.thigh))


def _arm(figure, pose, side):
  path = outline.along(arm(figure, pose, side), 1, 7)
  hand = path[-1:] + (path[-1] - path[-2]) * 0.9
  widths = np.array([0.42, 0.4, 0.36, 0.34, 0.3, 0.26, 0.2, 0.26])
  return outline.ribbon(
    np.concatenate([path, hand]), widths * figure.thigh / 0.66
  )


def _torso(figure):
  right = [
    (0.2, SHOULDER - 0.15),
    (figure.shoulder, SHOULDER + 0.05),
    (figure.chest, ARMPIT),
    (figure.waist, WAIST),
    (figure.hip, HIP),
    (figure.hip * 0.95, CROTCH),
  ]
  return outline.smooth(outline.mirrored(right))


def _head(figure, skin, hair):
  y, size = 1.05 - 0.5 * figure.head, 0.5 * figure.head
  face = outline.ellipse(0, y, 0.76 * size, size)
  cap = outline.ellipse(0, y - 0.3 * size, 0.84 * size, 0.78 * size)
  front = outline.ellipse(0, y + 0.2 * size, 0.66 * size, 0.76 * size)
  return [Part(face, skin), Part(cap, hair), Part(front, skin)]


def _long_hair(figure):
  y, size = 1.05 - 0.5 * figure.head, 0.5 * figure.head
  return outline.ellipse(0, y + 0.5 * size, 0.95 * size, 1.55 * size)
