"""Draws docs/garments.png: a row with the first demo photos of each class.

python docs/garments.py
"""

import pathlib

import numpy as np
from PIL import Image

from imat_jax.data.garments import render, sample

COLUMNS, SIDE = 10, 96

rows = {apparel: [] for apparel in sample.APPAREL}
for photo in sample.photos(0, 'train', 100 * COLUMNS):
  row = rows[photo.garment.apparel]
  if len(row) < COLUMNS:
    row.append(Image.fromarray(render.render(photo)).resize((SIDE, SIDE)))
sheet = np.vstack([np.hstack(row) for row in rows.values()])
Image.fromarray(sheet).save(pathlib.Path(__file__).with_suffix('.png'))
