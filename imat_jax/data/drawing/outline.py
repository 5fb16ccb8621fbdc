"""Outlines: arrays [N, 2] of x (to the right) and y (down), closed if areas."""

import numpy as np


def smooth(points, rounds: int = 2) -> np.ndarray:
  """Cuts the corners of a closed outline (Chaikin's scheme)."""
  points = np.asarray(points, np.float32)
  for _ in range(rounds):
    after = np.roll(points, -1, axis=0)
    cut = [0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after]
    points = np.stack(cut, axis=1).reshape(-1, 2)
  return points


def mirrored(right) -> np.ndarray:
  """The closed outline whose right half runs from top to bottom."""
  right = np.asarray(right, np.float32)
  return np.concatenate([right, right[::-1] * (-1, 1)])


def ellipse(x: float, y: float, width: float, height: float) -> np.ndarray:
  """Centre and half axes."""
  angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
  return np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], 1)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
  """An upright rectangle."""
  corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
  return np.asarray(corners, np.float32)


def ribbon(path, widths) -> np.ndarray:
  """The area around a path, as wide as `widths` says at each of its points."""
  path = np.asarray(path, np.float32)
  along = np.gradient(path, axis=0)
  across = along[:, ::-1] * (-1, 1)
  across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-6
  offset = across * np.asarray(widths, np.float32)[:, None] / 2
  return np.concatenate([path + offset, (path - offset)[::-1]])


def along(path, share: float, points: int = 7) -> np.ndarray:
  """The first `share` of a path, as `points` equal steps."""
  path = np.asarray(path, np.float32)
  steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
  reached = np.concatenate([[0], np.cumsum(steps)])
  at = np.linspace(0, share * reached[-1], points)
  return np.stack([np.interp(at, reached, path[:, i]) for i in (0, 1)], 1)


def bounds(outlines) -> tuple[np.ndarray, np.ndarray]:
  """The least and the greatest corner of all outlines."""
  points = np.concatenate(outlines)
  return points.min(axis=0), points.max(axis=0)
