"""How hard the demo data is: turn these to make it harder or easier.

With the values here the report's public 3M, trained for 20 epochs on the 2,400
train photos, told the class of 78% of the validation photos (one run, seed 0).
Shares are of all photos, unless they say otherwise.
"""

# What is in the photo.
UNUSUAL = 0.15  # before a background that says nothing of the class
EXTRA_GARMENT = 0.06  # of those not worn: garments of other classes in view
OCCLUDED = 0.06  # something lies over the garment
PRINTED_OVER = 0.05  # a banner or a mark of the shop

# How it is taken.
ZOOM = (0.8, 1.0)  # least and greatest share of the frame that it fills
SHIFT = 0.03  # of the frame's side, standard deviation
ROTATION = 5.0  # degrees, standard deviation where nobody wears it
TILT = 0.05  # of the perspective, standard deviation
EXPOSURE = 0.1  # of the logarithm, standard deviation
CAST = 0.05  # of the gains of red and blue, standard deviation
BLUR = 1.8  # pixels, the greatest standard deviation
NOISE = 0.05  # of white, the greatest standard deviation

# What is wrong in the labels.
WRONG_APPAREL = 0.02  # annotated as if it were of another class
WRONG_LABEL = 0.03  # of the annotations: another label of the task
TWO_CLASSES = 0.008  # of those with two classes in view: annotated in both
REPEATED = 0.004  # two labels for one task
NOT_ANNOTATED = 0.004
