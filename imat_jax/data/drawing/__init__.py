"""The drawing of the demo photos: what there is to wear, and its picture.

  what there is   vocabulary  Kaggle's names of tasks and labels
                  wardrobe    what is worn by whom, and of what it is made
                  dyes        in which color
  one photo       garment     its traits; setting: how it is taken; labels: what
                              people said of it; population: all three
                  difficulty  the constants that make it hard to tell apart
  its shapes      outline     curves; figure: a person in a pose
                  dresses, pants, outerwear, shoes, profile, things
  its look        palette, pattern, noise, cloth: color, print and weave
                  canvas      outlines of cloth, lit
  its picture     scene       background; studio: all together; camera: exposure

The parameters come first, as frozen dataclasses; the picture is a pure function
of them.
"""
