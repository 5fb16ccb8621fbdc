"""Labels as points, and groups of them that form themselves.

  embedders   features of photos: lab (the color of the centre), a trained
              trunk, vae (a variational autoencoder, trained by vae_training)
  vectors     from features of photos to vectors of labels, and draws of them
  clusters    from vectors to groups: how many, how stable, how good

`study.label_space` is the program, `experiments.label_space` its command.
"""
