"""The color that a label names, as red, green and blue in 0 … 1."""

import colorsys

import numpy as np

Rgb = tuple[float, float, float]

MULTICOLOR = 'multicolor'

_HEX = {
  'army green': '4d5230',
  'beige': 'd8c6a4',
  'black': '1b1a1c',
  'blue': '2f5f9e',
  'brown': '5f3d26',
  'burgundy': '641c2c',
  'camel': 'b98a55',
  'coral': 'f0755f',
  'dark blue': '1f3356',
  'dark green': '1c4430',
  'dark grey': '4b4c50',
  'emerald': '078a5e',
  'fuchsia': 'd4259a',
  'gold': 'cda548',
  'green': '3f8c45',
  'grey': '8f9094',
  'ivory': 'f2ead6',
  'khaki': 'a3906a',
  'lavender': 'b9a6dd',
  'light blue': '92bbe0',
  'light pink': 'f6ccd5',
  'mint': 'a5e0c6',
  'multicolor': 'd09060',
  'navy': '1d2545',
  'nude': 'e3bda2',
  'orange': 'ee7a1e',
  'peach': 'fbc19f',
  'pink': 'ee82a6',
  'purple': '6c3a91',
  'red': 'c0222d',
  'royal blue': '1f45c4',
  'silver': 'bcbfc6',
  'tan': 'bd8c5a',
  'turquoise': '2fb8b6',
  'white': 'f3f2ef',
  'yellow': 'f2cb32',
}

# Light, between and dark; and of the hair.
SKIN = ('f0cdb4', 'dcae8c', 'b98461', '8b5a3c', '5b3a28')
HAIR = ('241c18', '4a3020', '7b5531', 'b98d54', '8a8784')
MANNEQUIN = 'dedad4'


def rgb(name: str, rng: np.random.Generator) -> Rgb:
  """A shade of the color: dyes, and eyes, differ a little."""
  hue, saturation, value = colorsys.rgb_to_hsv(*from_hex(_HEX[name]))
  hue += rng.normal(0, 0.012)
  saturation *= np.exp(rng.normal(0, 0.12))
  value *= np.exp(rng.normal(0, 0.09))
  shade = colorsys.hsv_to_rgb(hue % 1, min(saturation, 1), min(value, 1))
  return tuple(map(float, shade))


def bright(rng: np.random.Generator) -> Rgb:
  """Any strong color."""
  hue, value = rng.random(), rng.uniform(0.6, 1)
  return colorsys.hsv_to_rgb(hue, rng.uniform(0.5, 0.95), value)


def soft(rng: np.random.Generator) -> Rgb:
  """A color of walls and paper."""
  return colorsys.hsv_to_rgb(
    rng.random(), rng.uniform(0.05, 0.45), rng.uniform(0.5, 1)
  )


def dull(rng: np.random.Generator) -> Rgb:
  """A color of rooms and things."""
  hue = rng.choice((0.08, 0.1, 0.12, 0.55, 0.6)) + rng.normal(0, 0.03)
  return colorsys.hsv_to_rgb(hue % 1, rng.uniform(0, 0.4), rng.uniform(0.25, 1))


def sky(rng: np.random.Generator) -> Rgb:
  """From a grey to a blue day."""
  saturation, value = rng.uniform(0.05, 0.5), rng.uniform(0.7, 1)
  return colorsys.hsv_to_rgb(rng.normal(0.57, 0.02), saturation, value)


def one_of(names: tuple[str, ...], rng: np.random.Generator) -> Rgb:
  """One of a tuple such as `SKIN`."""
  return from_hex(names[rng.integers(len(names))])


def from_hex(text: str) -> Rgb:
  """`'ff8000'` → (1.0, 0.5, 0.0)."""
  return tuple(int(text[i : i + 2], 16) / 255 for i in (0, 2, 4))
