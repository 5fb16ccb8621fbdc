"""Demo data: draws photos of garments. You need not read this.

Nothing of imat_jax uses it; it lets one try everything without the network.

  __main__     the command: what is written where
  catalog      what there is to wear, and Kaggle's names: catalog.toml
  sample       what is in a photo, and its few labels, some of them wrong
  render       from a sampled photo to pixels
  clothes, shoes, backgrounds    what is drawn, as outlines
  outline, textures, rasterize   how: curves, cloth, light
"""
