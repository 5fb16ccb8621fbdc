"""The options of `experiments.label_space`."""

import dataclasses

from imat_jax import config, options, validators


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vae(options.Config):
  """A convolutional β-VAE and how it is trained."""

  vae_side: int = options.option(
    'width and height in pixels of its photos, a multiple of 8',
    48,
    validators.between(16, 256),
  )
  vae_width: int = options.option(
    'filters of its first convolution; the others have twice and four times '
    'as many',
    32,
    validators.at_least(1),
  )
  latent_dims: int = options.option(
    'of its latent space', 32, validators.at_least(1)
  )
  beta: float = options.option(
    'weight of the KL divergence', 1.0, validators.at_least(0)
  )
  warmup_epochs: int = options.option(
    'in which that weight rises from 0', 5, validators.at_least(0)
  )
  vae_epochs: int = options.option(
    'passes over all train photos; more of them go on',
    30,
    validators.at_least(1),
    may_change=True,
  )
  batch_size: int = options.option(
    'photos per step', 64, validators.at_least(1)
  )
  learning_rate: float = options.option(
    "Adam's", 1e-3, validators.between(1e-6, 1)
  )

  def __post_init__(self):
    super().__post_init__()
    if self.vae_side % 8:
      raise ValueError(f'--vae_side={self.vae_side}: must be a multiple of 8')


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelSpace(options.Config):
  """Which labels are grouped, where, and how it is judged."""

  data_dir: str = config.place('folder with the built data set')
  workdir: str = config.folder(
    'folder of the page and the groups; start again to resume'
  )
  task: str = options.option('whose labels are grouped', 'color')
  embedders: tuple[str, ...] = options.option(
    'some of lab (the mean color of the centre of the photos), trunk (features '
    'of --run), head (what its head has learned of each label) and vae (an '
    'autoencoder)',
    ('lab', 'trunk', 'vae'),
    validators.some_of(('lab', 'trunk', 'head', 'vae')),
  )
  run: str = config.place(
    "a trained run; empty for the features of ImageNet's EfficientNet-Lite0",
    '',
  )
  curated: str = options.option(
    'groups by hand to compare with, as of `build --groups`: FILE.yaml, kaggle '
    'or products; empty for none',
    'kaggle',
  )
  min_photos: int = options.option(
    'labelled train photos of a label that is grouped',
    20,
    validators.at_least(2),
  )
  draws: int = options.option(
    'bootstrap draws of the photos, whose groups are compared',
    100,
    validators.at_least(2),
  )
  vae_seeds: int = options.option(
    'autoencoders: the draws are spread over them', 3, validators.at_least(1)
  )
  vae: Vae = options.group(Vae)

  def __post_init__(self):
    super().__post_init__()
    if 'head' in self.embedders and not self.run:
      raise ValueError(
        f'--embedders={",".join(self.embedders)}: the head of which --run?'
      )
