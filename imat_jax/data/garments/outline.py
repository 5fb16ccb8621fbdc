"""Outlines: arrays [N, 2] of x (to the right) and y (down), closed if areas."""

import numpy as np


def smooth(points: np.ndarray) -> np.ndarray:
  """Cuts the corners of a closed outline (Chaikin's scheme)."""
  for _ in range(2):
    after = np.roll(points, -1, axis=0)
    cut = [0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after]
    points = np.stack(cut, axis=1).reshape(-1, 2)
  return points


def sides(points) -> list[np.ndarray]:
  """The outline on the right, and its mirror image on the left."""
  return [np.multiply(points, (side, 1)) for side in (1, -1)]


def mirrored(right) -> np.ndarray:
  """The closed outline whose right half runs from top to bottom."""
  right, left = sides(right)
  return np.concatenate([right, left[::-1]])


def ellipse(x: float, y: float, width: float, height: float) -> np.ndarray:
  """Centre and half axes."""
  angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
  return np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], 1)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
  """An upright rectangle."""
  return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def ribbon(path, widths) -> np.ndarray:
  """The area around a path, as wide as `widths` says at each of its points."""
  across = np.gradient(path, axis=0)[:, ::-1] * (-1, 1)
  across /= np.linalg.norm(across, axis=1, keepdims=True)
  offset = across * np.reshape(widths, (-1, 1)) / 2
  return np.concatenate([path + offset, (path - offset)[::-1]])


def along(path: np.ndarray, share: float, points: int = 7) -> np.ndarray:
  """The first `share` of a path, as `points` equal steps."""
  steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
  reached = np.concatenate([[0], np.cumsum(steps)])
  at = np.linspace(0, share * reached[-1], points)
  return np.stack([np.interp(at, reached, axis) for axis in path.T], 1)
