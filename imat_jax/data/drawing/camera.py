"""From light to bytes: exposure, color cast, blur, noise, JPEG."""

import cv2
import numpy as np

from imat_jax.data.drawing import noise
from imat_jax.data.drawing.setting import Setting


def expose(
  picture: np.ndarray, setting: Setting, rng: np.random.Generator
) -> np.ndarray:
  """What the sensor makes of the light: uint8 [H, W, 3], RGB."""
  gains = 255 * setting.exposure * np.asarray(setting.cast)
  sensed = cv2.convertScaleAbs(picture * gains.astype(np.float32))
  sensed = cv2.GaussianBlur(sensed, (0, 0), setting.blur)
  grain = noise.grain(rng, sensed.shape)
  gain = 255 * setting.noise / noise.GRAIN
  return cv2.addWeighted(sensed, 1, grain, gain, -127.5 * gain)


def jpeg(picture: np.ndarray, quality: int) -> bytes:
  """The file's content."""
  bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
  ok, content = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
  if not ok:
    raise RuntimeError('OpenCV cannot write JPEG')
  return content.tobytes()
