#!/usr/bin/env bash
# Runs an experiment on a machine that SSH reaches, and copies the results back.
#
#   bash launch/gpu_vm.sh [--dry_run] [USER@]HOST MODULE --data_dir=DIR \
#     --workdir=DIR [flags]
#   bash launch/gpu_vm.sh me@10.0.0.7 experiments.public_3m \
#     --data_dir=data/demo/built --workdir=runs/gpu --tasks=apparel,color
#
# The folders are in this repository and are copied to the same path there. If
# the connection breaks, the run ends; the same command resumes from its last
# checkpoint. IMAT_JAX_EXTRA=base is for a machine without a GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/remote.sh
source launch/remote.sh
take_dry_run "$@"
[ "${#ARGUMENTS[@]}" -ge 2 ] || usage
host=${ARGUMENTS[0]}

on() {
  run ssh -o ServerAliveInterval=30 -o ServerAliveCountMax=4 "$host" "$1"
}
to() {
  run rsync --archive --relative --compress --exclude='*.so' "$@" \
    "$host:imat_jax/"
}
from() {
  run mkdir -p "$1"
  run rsync --archive --compress "$host:imat_jax/$1/" "$1/"
}

carry_out "${IMAT_JAX_EXTRA:-gpu}" on from to "${ARGUMENTS[@]:1}"
