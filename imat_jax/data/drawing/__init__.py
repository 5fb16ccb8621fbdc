"""The drawing of the demo photos: what there is to wear, and its picture.

  vocabulary   Kaggle's names of tasks and labels
  wardrobe     tables: what is worn by whom, in which color and material
  population   parameters, sampled: Garment, Scene, Photo and its annotations
  outline      curves                    cloth     how a material looks
  canvas       outlines of cloth, lit    pattern   how it is printed
  figure       a person and the pose     shoes dresses pants outerwear
  scene        background, props         camera    light, blur, noise
  photo        Photo → pixels

Parameters are drawn first, as frozen dataclasses; the picture is a pure
function of them.
"""
