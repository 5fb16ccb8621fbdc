#!/usr/bin/env bash
# The container's entry point: checks the machine, then runs a module.
#
#   bash launch/run_module.sh [--dry_run] MODULE [flags]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ "${1:-}" = --dry_run ]; then
  shift
  printf '+ python -m imat_jax.doctor\n+ exec python -m %s\n' "$*"
  exit
fi
python -m imat_jax.doctor
exec python -m "$@"
