#!/usr/bin/env bash
# Runs a module of this repository in its virtual environment.
#
#   bash launch/local.sh                                  the demo
#   bash launch/local.sh MODULE [flags]                   python -m MODULE [flags]
#   bash launch/local.sh experiments.public_3m --help
#
# The demo draws photos of garments, builds a data set of them, trains a small
# network of today on it and lists the files it wrote. Run again, it resumes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/environment.sh
source launch/environment.sh
prepare_environment base

if [ $# -gt 0 ]; then
  exec "$PYTHON" -m "$@"
fi

demo=runs/demo
if [ ! -f data/demo/built/statistics.json ]; then
  "$PYTHON" -m imat_jax.data.garments \
    --annotations=data/demo/annotations --images=data/demo/images
  "$PYTHON" -m imat_jax.data.build --annotations=data/demo/annotations \
    --images=data/demo/images --data_dir=data/demo/built
fi
# Few epochs, so less is drawn than in a long training; and no other colors, as
# one task is the color.
exec "$PYTHON" -m experiments.from_scratch --data_dir=data/demo/built \
  --workdir="$demo" --tasks=apparel,color --image_size=48 --epochs=7 \
  --batch_size=32 --crop=0.7 --color_jitter=0
