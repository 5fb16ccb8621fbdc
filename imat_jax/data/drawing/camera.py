"""From light to bytes: exposure, color cast, blur, noise, JPEG."""

import cv2
import numpy as np

from imat_jax.data.drawing import noise
from imat_jax.data.drawing.population import Scene


def expose(
  picture: np.ndarray, scene: Scene, rng: np.random.Generator
) -> np.ndarray:
  """What the sensor makes of the light: uint8 [H, W, 3], RGB."""
  light = picture * (scene.exposure * np.float32(scene.cast))
  light = cv2.GaussianBlur(light, (0, 0), scene.blur)
  light += scene.noise * noise.white(rng, light.shape)
  return np.clip(light * 255, 0, 255).astype(np.uint8)


def jpeg(picture: np.ndarray, quality: int) -> bytes:
  """The file's content."""
  bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
  ok, content = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
  if not ok:
    raise RuntimeError('OpenCV cannot write JPEG')
  return content.tobytes()
