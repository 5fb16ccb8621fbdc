"""Which labels belong together? Groups of them that form themselves.

A label is the mean of its train photos' features: of the color of their centre,
of a trained run's trunk, of a variational autoencoder that is trained here on
all train photos (killed, it resumes); or it is a column of the run's head.
Labels that are near each other become a group; bootstrap decides how many
groups there are.

  python -m experiments.label_space --data_dir=data/built \\
    --workdir=spaces/color
  python -m experiments.label_space … --run=runs/color \\
    --embedders=lab,trunk,head,vae
  python -m experiments.label_space … --task=article --curated=

The page compares the groups with groups by hand and with random ones. Each
embedder's are in WORKDIR/groups_EMBEDDER.yaml, for the data set:

  python -m imat_jax.data.build … --groups=spaces/color/groups_lab.yaml
"""

from imat_jax import flags
from imat_jax.study import preflight
from imat_jax.study.label_space_config import LabelSpace


def main(settings: LabelSpace) -> None:
  preflight.check_label_space(settings)
  from imat_jax.study import label_space  # here: a typo comes first

  label_space.run_label_space(settings)


if __name__ == '__main__':
  flags.run(main, LabelSpace)
