"""In which colors things are worn: tables of shares.

The tail is long, so that many colors are on less than 1% of the labelled
photos.
"""

from imat_jax.data.drawing.dice import tables

BY_CLASS = tables(
  shoe='black 28, brown 18, white 16, grey 8, tan 6, red 5, navy 4, blue 4,'
  ' beige 4, pink 3, nude 1.5, silver 1.5, gold 1.5, burgundy 1, green 1,'
  ' yellow 0.7, orange 0.4, purple 0.5, royal blue 0.4, multicolor 0.5,'
  ' khaki 0.6, turquoise 0.2, fuchsia 0.2, coral 0.2',
  dress='red 16, pink 13, white 13, black 9, blue 7, purple 5, green 5,'
  ' light blue 4, yellow 4, navy 3, royal blue 3, burgundy 2.5, beige 2,'
  ' coral 2, grey 2, turquoise 1.5, ivory 1.5, fuchsia 1.2, orange 1,'
  ' mint 0.8, lavender 0.8, gold 0.8, multicolor 1.2, brown 0.4,'
  ' silver 0.4, peach 0.5, light pink 0.8, emerald 0.5, dark green 0.3',
  pants='black 22, khaki 13, grey 13, blue 11, navy 9, beige 6, brown 5,'
  ' white 4, army green 4, dark blue 2, light blue 2, red 1.5, burgundy 1,'
  ' pink 0.7, green 0.7, camel 0.6, purple 0.3, yellow 0.3, orange 0.2,'
  ' mint 0.2, dark grey 1.5, coral 0.2, multicolor 0.3',
  outerwear='black 34, grey 13, navy 10, brown 9, camel 7, army green 6,'
  ' red 4, blue 3, beige 4, khaki 3, white 2, burgundy 2, green 1.5,'
  ' pink 1, yellow 1, dark grey 2, light blue 0.4, orange 0.7, purple 0.5,'
  ' dark green 0.8, royal blue 0.5, mint 0.1, turquoise 0.2, lavender 0.2',
)

# Factors on the shares of BY_CLASS; a color that is not named keeps its share.
BY_MATERIAL = tables(
  denim='blue 60, dark blue 60, light blue 50, black 0.7, white 0.6, red 0.1,'
  ' khaki 0.05, pink 0.1, brown 0, beige 0, army green 0, navy 0.5,'
  ' burgundy 0, camel 0, green 0, yellow 0, purple 0',
  leather='black 2, brown 2.5, tan 3, burgundy 2, camel 2, pink 0.4, blue 0.4,'
  ' green 0.3, army green 0.3, light blue 0.1, yellow 0.3',
  suede='brown 3, tan 4, camel 4, beige 2, grey 2, white 0.2, gold 0, silver 0',
  fur='brown 2, white 4, grey 3, beige 2, black 1.5, blue 0.1, navy 0.1,'
  ' army green 0.2, royal blue 0.1',
  sequined='gold 25, silver 25, black 1.5, brown 0',
  glitter='gold 25, silver 25, red 2, brown 0.1',
  tulle='white 3, pink 3, lavender 3, light pink 4, black 0.3, brown 0',
  lace='white 3, ivory 4, black 1.4, brown 0.2',
  linen='white 4, beige 5, khaki 3, black 0.4',
)
BY_WEARER = tables(
  men='pink 0.1, red 0.4, purple 0.2, light pink 0, lavender 0, coral 0.2,'
  ' fuchsia 0, gold 0.1, silver 0.2, nude 0, brown 1.6, navy 1.7, grey 1.5,'
  ' army green 1.7, turquoise 0.3, mint 0.2, burgundy 0.6',
  women='pink 1.5, red 1.4, white 1.2, army green 0.7',
  kids='pink 4, red 3, yellow 5, light blue 3, green 3, orange 6, turquoise 5,'
  ' purple 3, black 0.25, brown 0.5, grey 0.7, beige 0.4, navy 0.8,'
  ' multicolor 5, khaki 0.5, royal blue 2, mint 3, nude 0',
  baby='light pink 20, light blue 12, white 3, mint 20, yellow 6, pink 6,'
  ' lavender 9, black 0.03, brown 0.2, grey 0.3, navy 0.3, nude 0, red 0.5',
)
